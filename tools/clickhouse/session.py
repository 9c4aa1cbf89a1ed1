"""A read-only session: one client with its bounds, and the queries that are under way on it."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from hansei.context import Limits
from hansei.contracts.spent import Spent
from hansei.errors import HanseiError, QueryFailed
from hansei.tools.clickhouse import embedded, server
from hansei.tools.clickhouse.calls import call
from hansei.tools.clickhouse.copies import Copies, Shortcut, begin_to_hold, cease_to_hold
from hansei.tools.clickhouse.failures import too_many_rows
from hansei.tools.clickhouse.handles import Handles
from hansei.tools.clickhouse.running import Running, interruptible, marker
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
        self._copying = threading.Lock()
        self._counting = threading.Lock()
        self._copied = Spent()
        self._filling = self._running
        """The queries that fill copies."""
        self._tried = ""
        """The name of the copies that were asked for last, made or not."""

    @property
    def client(self) -> Client:
        """The client, for what is no query of the session; on an embedded engine the first of its handles."""
        return self._handles.first if self.target.engine == "chdb" else self._client

    def side_by_side(self, queries: int) -> None:
        """Lets as many queries of an embedded engine run at the same time; those of a server always do."""
        if self.target.engine == "chdb" and not self._is_closed:
            self._handles.widen(queries)

    def hold(self, queries: int, copies: Copies) -> Spent:
        """Lets queries run side by side over copies, where these can be made; what making them has cost.

        They are tried once by their name.
        """
        if self.target.engine != "chdb" or self._is_closed:
            return Spent()
        with self._copying:
            if self._tried == copies.name:
                return Spent()
            self._tried, self._copied = copies.name, Spent()
            self._filling = filling = self._running.apart()
            try:
                interruptible(lambda: self._handles.hold(queries, copies), lambda: filling.cancel(for_good=True))
            except HanseiError:
                # Too large, or no memory: the questions are asked of the tables, as they are of a server's.
                self.let_go()
                self._handles.widen(queries)
            else:
                begin_to_hold(self)
            return self._copied

    @property
    def copies(self) -> str | None:
        """The name of the copies that are held."""
        held = self._handles.copies
        return held.name if held is not None else None

    def let_go(self, name: str | None = None) -> None:
        """Gives up the copies that are held, or only those of that name, and so their memory."""
        # Where no other handle can be opened they stay: nothing is wrong with them.
        with contextlib.suppress(HanseiError):
            self._handles.let_go(name)
        if self.copies is None:
            cease_to_hold(self)

    def ask(
        self, sql: str, bound: dict[str, Any], *, shortcut: Shortcut | None = None, foreign: bool = False
    ) -> Answer:
        """Asks a SELECT; `bound` holds what `values.bindable` made of its parameters.

        Where copies are held of which `shortcut` knows, it is asked instead. An error names words of a `foreign` query,
        one that somebody else wrote.

        Raises:
            HanseiError: as `Reader.query`.
        """
        answer, seconds = self.send(sql, bound, shortcut=shortcut, foreign=foreign)
        names = list(answer.column_names)
        columns: Sequence[Sequence[Any]] = answer.result_columns
        if not names:
            # An embedded engine sends nothing at all for a result without rows, not even its columns.
            described, _ = self.send(f"DESCRIBE TABLE ({sql}\n)", bound, foreign=foreign)
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

    def send(
        self, sql: str, bound: dict[str, Any], *, shortcut: Shortcut | None = None, foreign: bool = False
    ) -> tuple[QueryResult, float]:
        """Sends one statement, again when it was lost on the way. Returns its result, and the seconds that it took."""
        if self._is_closed:
            raise QueryFailed("The ClickHouse session is closed.", "Open a new one.")

        def send() -> tuple[QueryResult, float]:
            if self.target.engine == "chdb":
                return self._send_embedded(sql, bound, shortcut, foreign)
            return self._send_http(sql, bound)

        return call(send, self.target, self.limits, repeat=True, words_of=sql if foreign else "")

    def close(self) -> None:
        """Ends the session."""
        if not self._is_closed:
            self._is_closed = True
            if self.target.engine == "chdb":
                cease_to_hold(self)
                self._handles.close()
            else:
                self._client.close()

    def _send_http(self, sql: str, bound: dict[str, Any]) -> tuple[QueryResult, float]:
        with self._running.query() as id:
            return _query(self._client, sql, bound, {"query_id": id})

    def _send_embedded(
        self, sql: str, bound: dict[str, Any], shortcut: Shortcut | None, foreign: bool
    ) -> tuple[QueryResult, float]:
        def ask(mark: str) -> tuple[QueryResult, float]:
            with self._handles.one(with_copies=not foreign) as handle:
                held = handle.copies.name if handle.copies is not None else None
                asked = shortcut.sql if shortcut is not None and shortcut.copies == held else sql
                return _query(handle.client, f"{mark} {asked}", bound, None)

        # There are no query ids: a comment tells which one it is.
        with self._running.query() as id:
            return interruptible(lambda: ask(marker(id)), lambda: self._kill(id))

    def _another(self, side_by_side: bool, copies: Copies | None) -> Client:
        def copy(client: Client) -> None:
            if copies is not None:
                spent = copies.make(client, self._filling)
                with self._counting:
                    self._copied = self._copied.plus(spent)

        settings = session_settings(self.limits, one_core=side_by_side)
        return embedded.open_session(self.target, settings, self.project_id, copy)[0]

    def _kill(self, id: str) -> None:
        """Ends a query: on a server by its id, as everyone may with their own; embedded from another handle."""
        if self.target.engine == "http":
            call(lambda: self.client.command(f"KILL QUERY WHERE query_id = '{id}' ASYNC"), self.target)
            return
        client = embedded.open_embedded(self.target, self.target.database)
        try:
            which = f"query LIKE '%{marker(id)}%' AND query NOT LIKE 'KILL%'"
            call(lambda: client.command(f"KILL QUERY WHERE {which} ASYNC"), self.target)
        finally:
            client.close()


def _query(
    client: Client, sql: str, bound: dict[str, Any], settings: dict[str, Any] | None
) -> tuple[QueryResult, float]:
    started = time.perf_counter()
    result = client.query(sql, parameters=bound or None, settings=settings, column_oriented=True, query_tz="UTC")
    return result, time.perf_counter() - started


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
