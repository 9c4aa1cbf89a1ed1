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
from hansei.tools.clickhouse.failures import explain, is_transient
from hansei.tools.clickhouse.session import session_settings
from hansei.tools.clickhouse.urls import Engine, Target, parse_url
from hansei.tools.clickhouse.values import bindable, plain_rows

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client
    from clickhouse_connect.driver.query import QueryResult

_PAUSES = (0.1, 0.4, 1.2)
"""Seconds between repetitions of a read that was lost on its way, 1.7 in all."""


@dataclass(frozen=True)
class Result:
    """The answer to a query.

    `rows` hold plain JSON values in the order of `columns`. Sum decimals as decimals (``toFloat64(sum(total_cost))``, not
    ``sum(toFloat64(total_cost))``): ClickHouse adds floats in no fixed order, so their last digits vary.
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
        result = self._send(sql, bound)
        names = list(result.column_names)
        columns: Sequence[Sequence[Any]] = result.result_columns
        if not names and self.engine == "chdb":
            # An embedded engine sends nothing at all for a result without rows, not even its columns.
            described = self._send(f"DESCRIBE TABLE ({sql}\n)", bound)
            names, columns = list(described.result_columns[0]), []
        if not columns:
            columns = [[] for _ in names]
        return names, columns, int((result.summary or {}).get("read_rows", 0))

    def _send(self, sql: str, bound: dict[str, Any]) -> QueryResult:
        from clickhouse_connect.driver.exceptions import ClickHouseError
        from urllib3.exceptions import HTTPError

        failure: HanseiError
        for pause in (*_PAUSES, None):
            try:
                return self._client.query(sql, parameters=bound or None, column_oriented=True, query_tz="UTC")
            except (ClickHouseError, HTTPError, OSError, ValueError) as error:
                failure = explain(error, self.target, self.limits)
                if pause is None or not is_transient(error):
                    break
            time.sleep(pause)
        raise failure


def open_reader(url: SecretStr | str, limits: Limits | None = None) -> Reader:
    """Opens a read-only session.

    Raises:
        UsageError: no URL.
        ConnectionFailed: it cannot be opened, with the reason and the remedy.
    """
    limits = limits or Limits()
    target = parse_url(url)
    if target.engine == "chdb":
        embedded.check_directory(target)
        return Reader(embedded.open_embedded(target, session_settings(limits)), target, limits)
    client = server.open_server(target, read_seconds=limits.seconds + 15)
    try:
        server.apply_settings(client, target, session_settings(limits))
    except HanseiError:
        client.close()
        raise
    return Reader(client, target, limits)


_shared: dict[tuple[str, Limits], Reader] = {}
_shared_lock = threading.Lock()


def shared_reader(context: Context) -> Reader:
    """The process's session for this URL and these limits, opened when first asked for and closed at exit.

    Raises:
        UsageError: the context names no ClickHouse.
        ConnectionFailed: it cannot be opened.
    """
    if context.clickhouse_url is None:
        raise UsageError(
            "No ClickHouse was named.", "Set HANSEI_CLICKHOUSE_URL or pass --clickhouse, such as chdb:///directory."
        )
    key = (context.clickhouse_url.get_secret_value(), context.limits)
    with _shared_lock:
        reader = _shared.get(key)
        if reader is None:
            reader = _shared[key] = open_reader(context.clickhouse_url, context.limits)
        return reader


def close_readers(url: SecretStr | str | None = None) -> None:
    """Closes the shared sessions, or only those of one URL. The next `shared_reader` opens a new one."""
    wanted = url.get_secret_value() if isinstance(url, SecretStr) else url
    with _shared_lock:
        keys = [key for key in _shared if wanted is None or key[0] == wanted]
        for key in keys:
            _shared.pop(key).close()


atexit.register(close_readers)
