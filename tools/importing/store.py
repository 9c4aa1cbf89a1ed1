"""Where an import goes: Langfuse's tables in an embedded ClickHouse, and beside them what the import itself keeps."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from hansei.errors import UsageError
from hansei.tools.clickhouse import open_writer
from hansei.tools.clickhouse.calls import call
from hansei.tools.clickhouse.urls import Target, parse_url
from hansei.tools.importing import statements
from hansei.tools.importing.statements import COLUMNS, CONVERT, Kind
from hansei.tools.langfuse.tables import create_tables, quote

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

_READING = {
    "input_format_json_read_bools_as_strings": 1,
    "input_format_json_read_numbers_as_strings": 1,
    "input_format_json_read_objects_as_strings": 1,
    "input_format_json_read_arrays_as_strings": 1,
    "input_format_skip_unknown_fields": 1,
    "input_format_with_names_use_header": 1,
}
"""So that every value arrives as the text that was written."""


@dataclass(frozen=True)
class Counted:
    """Rows of one relation of one project: distinct ones that arrived, and those that are there when read back."""

    project_id: str
    relation: str
    received: int
    read_back: int


class Store:
    """The tables that are filled. Made by `open_store`; close it, or use it in a `with`."""

    def __init__(self, client: Client, target: Target, url: str) -> None:
        self.url = url
        self._client, self._target = client, target
        self._names = {"tables": quote(target.database), "staging": quote(f"{target.database}__import")}
        self._run(f"CREATE DATABASE IF NOT EXISTS {self._names['staging']}")
        call(lambda: create_tables(client, "v3", target.database), target)
        for statement in statements.CREATE:
            self._run(statement)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def close(self) -> None:
        self._client.close()

    def state(self, source: str) -> dict[str, Any]:
        """What was kept for a source; empty at first."""
        rows = self.query("SELECT state FROM {staging}.progress FINAL WHERE source = {source:String}", source=source)
        return dict(json.loads(rows[0][0])) if rows else {}

    def keep(self, source: str, state: dict[str, Any]) -> None:
        """Keeps how far the import of a source is. Rows are added before, so a killed import repeats, never skips."""
        self._client.insert(
            f"{self._names['staging']}.progress",
            [[source, json.dumps(state), time.time_ns()]],
            column_names=["source", "state", "number"],
        )

    def begin(self) -> None:
        """Forgets what a former import brought: the counts are of this one."""
        self._run("TRUNCATE TABLE {staging}.seen")

    def add(self, kind: Kind, rows: Sequence[dict[str, str | None]]) -> None:
        """Adds records of one kind, by the column names of Langfuse's exports, as texts."""
        if not rows:
            return
        self._run("TRUNCATE TABLE {staging}.incoming")
        names = list(COLUMNS[kind])
        self._client.insert(
            f"{self._names['staging']}.incoming",
            [[row.get(name) for row in rows] for name in names],
            column_names=names,
            column_oriented=True,
        )
        self._convert(kind)

    def add_from(self, kind: Kind, source: str, parameters: dict[str, str], given: Sequence[str] | None = None) -> int:
        """Adds what a table function reads.

        Args:
            kind: what its rows are.
            source: the table function, with parameters to be bound.
            parameters: their values.
            given: for a format with types of its own, an expression for each of the kind's columns.

        Returns:
            How many rows it had.
        """
        names = COLUMNS[kind]
        self._run("TRUNCATE TABLE {staging}.incoming")
        expressions = ", ".join(given or names)
        statement = self._named(f"INSERT INTO {{staging}}.incoming ({', '.join(names)}) SELECT {expressions} FROM")
        self._run(f"{statement} {source}", parameters, named=True)
        rows = int(self.query("SELECT count() FROM {staging}.incoming")[0][0])
        self._convert(kind)
        return rows

    def query(self, statement: str, **parameters: str) -> Sequence[Sequence[Any]]:
        text = self._named(statement)
        return call(
            lambda: self._client.query(text, parameters=parameters, settings=_READING).result_rows, self._target
        )

    def build_traces(self) -> None:
        """Makes the traces that this import touched out of all their observations that ever arrived."""
        self._run(statements.FORGET_MOVED)
        self._run(statements.BUILD_TRACES)

    def counted(self) -> list[Counted]:
        """What this import brought, and what of it can be read back."""
        back = {
            (relation, project): int(count)
            for relation, statement in statements.READ_BACK.items()
            for project, count in self.query(statement)
        }
        return [
            Counted(project, relation, int(count), back.get((relation, project), 0))
            for relation, project, count in self.query(statements.RECEIVED)
        ]

    def _convert(self, kind: Kind) -> None:
        nameless = self.query("SELECT count() FROM {staging}.incoming WHERE ifNull(id, '') = '' OR project_id IS NULL")
        if nameless[0][0]:
            raise UsageError(
                f"{nameless[0][0]:,} rows of {kind} have no id or no project_id.",
                "Export with the field group core, and check that the file is one of Langfuse's exports.",
            )
        for statement in (*CONVERT[kind], statements.seen(kind)):
            self._run(statement)

    def _named(self, statement: str) -> str:
        for name, place in self._names.items():
            statement = statement.replace(f"{{{name}}}", place)
        return statement.replace("{{}}", "{}")

    def _run(self, statement: str, parameters: dict[str, str] | None = None, *, named: bool = False) -> None:
        text = statement if named else self._named(statement)
        call(lambda: self._client.command(text, parameters=parameters, settings=_READING), self._target)


STRUCTURE = {kind: ", ".join(f"{name} Nullable(String)" for name in names) for kind, names in COLUMNS.items()}


def open_store(folder: Path) -> Store:
    """Opens the embedded ClickHouse in a folder, and makes it when it is missing.

    Raises:
        ConnectionFailed: it cannot be opened or made.
    """
    url = f"chdb://{(folder / 'clickhouse').resolve()}"
    client = open_writer(url)
    try:
        return Store(client, parse_url(url), url)
    except BaseException:
        client.close()
        raise
