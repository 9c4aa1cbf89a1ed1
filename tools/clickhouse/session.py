"""A read-only session: one client with its bounds, and the queries that are under way on it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from hansei.context import Limits
from hansei.errors import HanseiError, QueryFailed
from hansei.tools.clickhouse import embedded, server
from hansei.tools.clickhouse.calls import call
from hansei.tools.clickhouse.failures import too_many_rows
from hansei.tools.clickhouse.handles import Handles
from hansei.tools.clickhouse.running import Running, interruptible
from hansei.tools.clickhouse.settings import session_settings
from hansei.tools.clickhouse.urls import Target

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client
    from clickhouse_connect.driver.query import QueryResult


@dataclass(frozen=True)
class SessionFacts:
    """What holds a session to its bounds.

    `limits`: ``session`` (an embedded engine's handle, for good), ``profile`` (a server's user may set nothing; its
    profile's own limits count) or ``query`` (sent along with each query).
    `readonly`: what the user's profile said before Hansei set anything: 0 it may write, 1 or 2.
    `roles`: whether an embedded engine holds the session to its tables and its project; None on a server.
    """

    limits: Literal["session", "profile", "query"]
    readonly: int
    roles: bool | None


@dataclass(frozen=True)
class Answer:
    """An answer as the driver delivers it, column by column; `seconds` is without waiting for other queries."""

    names: list[str]
    columns: Sequence[Sequence[Any]]
    rows_read: int
    bytes_read: int
    seconds: float


class Session:
    """One client that may only read. Made by `open_session`."""

    def __init__(
        self, client: Client, target: Target, limits: Limits, project_id: str | None, facts: SessionFacts
    ) -> None:
        self._client = client
        self.target = target
        self.limits = limits
        self.project_id = project_id
        self.facts = facts
        self._running = Running(self._kill)
        self._is_closed = False
        self._handles = Handles(client, self._another)

    @property
    def client(self) -> Client:
        """The client, for what is no query of the session; on an embedded engine the first of its handles."""
        return self._handles.first if self.target.engine == "chdb" else self._client

    def side_by_side(self, queries: int) -> None:
        """Lets as many queries of an embedded engine run at the same time; those of a server always do."""
        if self.target.engine == "chdb" and not self._is_closed:
            self._handles.widen(queries)

    def ask(self, sql: str, bound: dict[str, Any], *, foreign: bool = False) -> Answer:
        """Asks a SELECT; `bound` holds what `values.bindable` made of its parameters.

        An error names words of a `foreign` query, one that somebody else wrote.

        Raises:
            HanseiError: as `Reader.query`.
        """
        answer, seconds = self.send(sql, bound, foreign=foreign)
        names = list(answer.column_names)
        columns: Sequence[Sequence[Any]] = answer.result_columns
        if not names:
            # An embedded engine sends nothing at all for a result without rows, not even its columns.
            described, _ = self.send(f"DESCRIBE TABLE ({sql}\n)", bound)
            names = list(described.result_columns[0])
            columns = []
        if columns and len(columns[0]) > self.limits.result_rows:
            raise too_many_rows(self.limits)
        read = answer.summary or {}
        return Answer(
            names,
            columns or [[] for _ in names],
            int(read.get("read_rows", 0)),
            int(read.get("read_bytes", 0)),
            seconds,
        )

    def send(self, sql: str, bound: dict[str, Any], *, foreign: bool = False) -> tuple[QueryResult, float]:
        """Sends one statement, again when it was lost on the way. Returns its result, and the seconds that it took."""
        if self._is_closed:
            raise QueryFailed("The ClickHouse session is closed.", "Open a new one.")
        send = self._send_embedded if self.target.engine == "chdb" else self._send_http
        words_of = sql if foreign else ""
        return call(lambda: send(sql, bound), self.target, self.limits, repeat=True, words_of=words_of)

    def close(self) -> None:
        """Ends the session."""
        if not self._is_closed:
            self._is_closed = True
            if self.target.engine == "chdb":
                self._handles.close()
            else:
                self._client.close()

    def _send_http(self, sql: str, bound: dict[str, Any]) -> tuple[QueryResult, float]:
        with self._running.query() as id:
            return _query(self._client, sql, bound, {"query_id": id})

    def _send_embedded(self, sql: str, bound: dict[str, Any]) -> tuple[QueryResult, float]:
        # There are no query ids: a comment tells which one it is.
        with self._running.query() as id:
            marked = f"{_marker(id)} {sql}"
            return interruptible(lambda: self._query_in_turn(marked, bound), lambda: self._kill(id))

    def _query_in_turn(self, sql: str, bound: dict[str, Any]) -> tuple[QueryResult, float]:
        with self._handles.one() as handle:
            return _query(handle, sql, bound, None)

    def _another(self, side_by_side: bool) -> Client:
        settings = session_settings(self.limits, one_core=side_by_side)
        return embedded.open_session(self.target, settings, self.project_id)[0]

    def _kill(self, id: str) -> None:
        """Ends a query: on a server by its id, as everyone may with their own; embedded from another handle."""
        if self.target.engine == "http":
            call(lambda: self.client.command(f"KILL QUERY WHERE query_id = '{id}' ASYNC"), self.target)
            return
        client = embedded.open_embedded(self.target, self.target.database)
        try:
            which = f"query LIKE '%{_marker(id)}%' AND query NOT LIKE 'KILL%'"
            call(lambda: client.command(f"KILL QUERY WHERE {which} ASYNC"), self.target)
        finally:
            client.close()


def _query(
    client: Client, sql: str, bound: dict[str, Any], settings: dict[str, Any] | None
) -> tuple[QueryResult, float]:
    started = time.perf_counter()
    result = client.query(sql, parameters=bound or None, settings=settings, column_oriented=True, query_tz="UTC")
    return result, time.perf_counter() - started


def _marker(id: str) -> str:
    return f"/* hansei {id} */"


def open_session(target: Target, limits: Limits, project_id: str | None) -> Session:
    """Opens a read-only session.

    Args:
        target: where.
        limits: the bounds on each query; a server's user may have stricter ones, which stay.
        project_id: an embedded engine holds the session to this project, and to Langfuse's tables; on a server that is
            up to the user's row policy. None: a session that reads all of the database.

    Raises:
        ConnectionFailed: it cannot be opened, with the reason and the remedy.
    """
    settings = session_settings(limits)
    if target.engine == "chdb":
        embedded.check_directory(target)
        client, has_roles = embedded.open_session(target, settings, project_id)
        return Session(client, target, limits, project_id, SessionFacts("session", 0, has_roles))
    client = server.open_server(target, read_seconds=limits.seconds + server.GRACE_SECONDS)
    # A process that is killed cannot end its queries any more; a server that sees it gone can.
    settings = {"cancel_http_readonly_queries_on_client_close": 1, **settings}
    try:
        readonly, are_sent = server.apply_settings(client, target, settings)
    except HanseiError:
        client.close()
        raise
    return Session(client, target, limits, project_id, SessionFacts("query" if are_sent else "profile", readonly, None))
