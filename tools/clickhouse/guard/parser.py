"""The engine's own parser: SQL as a syntax tree, and a syntax tree as SQL. It executes nothing.

It is always the embedded engine's, also where the queries go to a server, whose version may have no such functions.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import TYPE_CHECKING, Any

from hansei.errors import ConnectionFailed, QueryRefused
from hansei.tools.clickhouse import embedded
from hansei.tools.clickhouse.guard.refusal import refuse, shown
from hansei.tools.clickhouse.urls import Target

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from hansei.tools.clickhouse.reader import Reader

LONGEST = 100_000
"""Characters of a statement."""

_POSITION = re.compile(r"failed at position (\d+)")

Lend = Callable[[], "AbstractContextManager[Client]"]


class Parser:
    """Parses and writes SQL. Threads may share it. Made by `parser_of`."""

    def __init__(self, lend: Lend) -> None:
        self._lend = lend

    def parse(self, sql: str) -> dict[str, Any]:
        """The syntax tree of one statement, as ClickHouse's parseQueryToJSON gives it.

        Raises:
            QueryRefused: it is too long, no valid SQL, or not one statement that can be a query.
        """
        if len(sql) > LONGEST:
            refuse("size", f"The statement is longer than {LONGEST:,} characters.", "Ask in several smaller queries.")
        if "\0" in sql or not _is_encodable(sql):
            refuse("syntax", "The statement holds characters that are no text.", "Write plain text.")
        answer = self._call("parseQueryToJSON", sql)
        try:
            tree = json.loads(answer)
        except (ValueError, RecursionError):
            # Texts with bytes that are no UTF-8 come back as something else than JSON.
            tree = None
        if not isinstance(tree, dict):
            refuse("syntax", "The statement cannot be read: it nests too deeply or holds raw bytes.", "Simplify it.")
        return tree

    def write(self, tree: dict[str, Any]) -> str:
        """The SQL of a syntax tree: one statement without comments, over several lines.

        Raises:
            QueryRefused: the engine cannot write it.
        """
        return self._call("formatQuery(formatQueryFromJSON", json.dumps(tree, ensure_ascii=False))

    def _call(self, function: str, text: str) -> str:
        from clickhouse_connect.driver.exceptions import ClickHouseError

        said = ""
        try:
            with self._lend() as client:
                query = f"SELECT {function}({{text:String}}{')' * (function.count('(') + 1)}"
                return str(client.query(query, parameters={"text": text}).result_rows[0][0])
        except ClickHouseError as error:
            said = str(error)
        raise _not_parsed(text, said)


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _not_parsed(sql: str, said: str) -> QueryRefused:
    """What the parser said, in our words: its own text quotes the SQL at length."""
    if "Multi-statements" in said:
        return QueryRefused("It is more than one statement.", "Write one SELECT.", reason="statement")
    if "does not support JSON serialization" in said:
        return QueryRefused(
            "Only SELECT is allowed.", "Write one SELECT over traces, observations and scores.", reason="statement"
        )
    if found := _POSITION.search(said):
        before = sql.encode()[: int(found[1]) - 1].decode(errors="ignore")
        near = sql[len(before) : len(before) + 40]
        place = f"near “{shown(near)}”" if near.strip() else "at its end"
        return QueryRefused(
            f"It is not valid SQL, line {before.count(chr(10)) + 1}, {place}.",
            "Write ClickHouse's dialect of SQL.",
            reason="syntax",
        )
    return QueryRefused("It is not valid SQL.", "Write ClickHouse's dialect of SQL.", reason="syntax")


def parser_of(reader: Reader) -> Parser:
    """The parser for SQL that goes to `reader`: on its own session where that is an embedded engine."""
    if reader.engine == "http":
        return Parser(_spare.lend)

    @contextmanager
    def lend() -> Iterator[Client]:
        yield reader._session.client

    return Parser(lend)


class _Spare:
    """The embedded engine in memory, opened for parsing alone. It gives way to any other use of the engine."""

    def __init__(self) -> None:
        self._client: Client | None = None
        self._lock = threading.RLock()

    @contextmanager
    def lend(self) -> Iterator[Client]:
        with self._lock:
            client = self._client or self._open()
            if client is not None:
                yield client
                return
        client = _beside()
        try:
            yield client
        finally:
            client.close()

    def _open(self) -> Client | None:
        """Opens it; None when the process has a directory open: there is one engine per process."""
        try:
            self._client = embedded.open_embedded(Target("chdb"), "default")
        except ConnectionFailed:
            return None
        return self._client

    def give_way(self) -> None:
        """Closes it, if it is open."""
        with self._lock:
            client, self._client = self._client, None
            if client is not None:
                client.close()


def _beside() -> Client:
    """One more client of the directory that this process has open."""
    paths = {str(getattr(client, "path", "")) for client in embedded.open_clients()}
    for path in sorted(paths - {"", ":memory:"}):
        with suppress(ConnectionFailed):
            return embedded.open_embedded(Target("chdb", path=path), "default")
    raise ConnectionFailed(
        "The embedded ClickHouse, which reads the SQL before it is sent, cannot be opened.",
        "Close other uses of chDB in this process.",
    )


_spare = _Spare()
embedded.before_opening(_spare.give_way)
