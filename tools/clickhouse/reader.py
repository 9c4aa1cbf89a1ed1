"""The read-only session: the one way in which Hansei reads from ClickHouse."""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from hansei.context import Context, Limits
from hansei.errors import HanseiError, QueryFailed, UsageError
from hansei.tools.clickhouse import embedded, server
from hansei.tools.clickhouse.calls import call
from hansei.tools.clickhouse.failures import too_many_rows
from hansei.tools.clickhouse.session import session_settings
from hansei.tools.clickhouse.urls import Engine, Target, parse_url
from hansei.tools.clickhouse.values import bindable, plain_rows

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client
    from clickhouse_connect.driver.query import QueryResult


@dataclass(frozen=True)
class Result:
    """The answer to a query.

    `rows` hold plain JSON values in the order of `columns`. Sum decimals as decimals, ``toFloat64(sum(total_cost))``
    and not ``sum(toFloat64(total_cost))``: ClickHouse adds floats in no fixed order, so their last digits vary.
    `rows_read` counts what ClickHouse read from tables; `seconds` is the time until the answer was here.
    """

    columns: list[str]
    rows: list[list[Any]]
    rows_read: int
    seconds: float

    def records(self) -> list[dict[str, Any]]:
        """The rows as dictionaries."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


class Reader:
    """A read-only session with bounds on time, memory and result size. Threads may share it.

    On a server they run side by side; the embedded engine takes one query at a time, each on all cores.
    Made by `open_reader` or `shared_reader`.
    """

    def __init__(self, client: Client, target: Target, limits: Limits) -> None:
        self._client = client
        self.target = target
        self.limits = limits
        self._closed = False

    @property
    def engine(self) -> Engine:
        """``chdb`` or ``http``."""
        return self.target.engine

    @property
    def version(self) -> str:
        """ClickHouse's version, such as 26.9.2.1."""
        return str(self._client.server_version)

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> Result:
        """Asks and returns the whole answer as plain JSON values.

        Args:
            sql: one SELECT with ``{name:Type}`` placeholders.
            parameters: their values; the server binds them. Times may be datetimes (naive ones count as UTC) or
                ISO 8601 texts; what has no placeholder is ignored.

        Raises:
            QueryFailed: ClickHouse refused or stopped it.
            PermissionMissing: a grant is missing.
            ConnectionFailed: no answer.
        """
        started = time.perf_counter()
        names, columns, rows_read = self._ask(sql, parameters)
        rows = plain_rows(columns)
        return Result(names, rows, rows_read, time.perf_counter() - started)

    def columns(self, sql: str, parameters: Mapping[str, Any] | None = None) -> dict[str, Sequence[Any]]:
        """Like `query`, for large results: column → values as the driver delivers them (ints, floats, Decimals,
        aware datetimes, …), without conversion."""
        names, columns, _ = self._ask(sql, parameters)
        return dict(zip(names, columns, strict=True))

    def close(self) -> None:
        """Ends the session. An embedded directory is free for others once its last session is closed."""
        if not self._closed:
            self._closed = True
            self._client.close()

    def _ask(self, sql: str, parameters: Mapping[str, Any] | None) -> tuple[list[str], Sequence[Sequence[Any]], int]:
        if self._closed:
            raise QueryFailed("The ClickHouse session is closed.", "Open a new one.")
        bound = bindable(sql, parameters)
        answer = self._send(sql, bound)
        names = list(answer.column_names)
        columns: Sequence[Sequence[Any]] = answer.result_columns
        if not names:
            # An embedded engine sends nothing at all for a result without rows, not even its columns.
            names = list(self._send(f"DESCRIBE TABLE ({sql}\n)", bound).result_columns[0])
            columns = []
        if columns and len(columns[0]) > self.limits.result_rows:
            raise too_many_rows(self.limits)
        return names, columns or [[] for _ in names], int((answer.summary or {}).get("read_rows", 0))

    def _send(self, sql: str, bound: dict[str, Any]) -> QueryResult:
        return call(
            lambda: self._client.query(sql, parameters=bound or None, column_oriented=True, query_tz="UTC"),
            self.target,
            self.limits,
            repeat=True,
        )


def open_reader(url: SecretStr | str, limits: Limits | None = None) -> Reader:
    """Opens a read-only session.

    Raises:
        UsageError: it is no URL.
        ConnectionFailed: it cannot be opened, with the reason and the remedy.
    """
    return _open(parse_url(url), limits or Limits())


def _open(target: Target, limits: Limits) -> Reader:
    if target.engine == "chdb":
        embedded.check_directory(target)
        return Reader(embedded.open_embedded(target, session_settings(limits)), target, limits)
    client = server.open_server(target, read_seconds=limits.seconds + server.GRACE_SECONDS)
    try:
        server.apply_settings(client, target, session_settings(limits))
    except HanseiError:
        client.close()
        raise
    return Reader(client, target, limits)


_shared: dict[tuple[Target, Limits], Reader] = {}
_shared_lock = threading.Lock()


def shared_reader(context: Context) -> Reader:
    """The process's session for this URL and these limits, opened when first asked for and closed at exit.

    Raises:
        UsageError: the context names no ClickHouse, or not by a URL.
        ConnectionFailed: it cannot be opened.
    """
    if context.clickhouse_url is None:
        raise UsageError(
            "No ClickHouse is named.", "Set HANSEI_CLICKHOUSE_URL or give --clickhouse, such as chdb:///directory."
        )
    key = (parse_url(context.clickhouse_url), context.limits)
    with _shared_lock:
        if key not in _shared:
            _shared[key] = _open(*key)
        return _shared[key]


def close_readers(url: SecretStr | str | None = None) -> None:
    """Closes the shared sessions, or only those of one URL. The next `shared_reader` opens a new one."""
    target = None if url is None else parse_url(url)
    with _shared_lock:
        for key in [key for key in _shared if target in (None, key[0])]:
            _shared.pop(key).close()


atexit.register(close_readers)
