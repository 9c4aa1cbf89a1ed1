"""A project's data over a span of time: what the playbook, the nodes and the verification ask their questions of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from hansei.contracts import Evidence, Periods, hash_result
from hansei.tools.clickhouse import Reader
from hansei.tools.langfuse.relations import Adapter, Needs

NARROW = Needs()


@dataclass(frozen=True)
class Dataset:
    """One project, in one schema, over the window and the baseline.

    Args:
        reader: the read-only session.
        adapter: the schema's adapter, from `detect`.
        project_id: the project.
        periods: the window and the baseline.
        environments: only these; empty: all but Langfuse's own.
    """

    reader: Reader
    adapter: Adapter
    project_id: str
    periods: Periods
    environments: Sequence[str] = field(default_factory=tuple)

    def parameters(self, since: datetime | None = None) -> dict[str, Any]:
        """Values of the parameters that every bound query may use.

        Args:
            since: start of the range that is read; default: the start of the baseline.
        """
        return {
            "project_id": self.project_id,
            "range_start": since or self.periods.baseline.start,
            "range_end": self.periods.window.end,
            "window_start": self.periods.window.start,
            "environments": list(self.environments),
        }

    def bind(self, sql: str, relations: Sequence[str], needs: Needs = NARROW) -> str:
        """`sql` with the definitions of the logical relations that it names put before it.

        `sql` may begin with ``WITH`` and relations of its own.
        """
        definitions = self.adapter.definitions(frozenset(relations), needs)
        return _with(definitions, sql)

    def bind_raw(self, sql: str, relations: Sequence[str]) -> str:
        """The same, over relations that are made without FINAL (`raw_observations`, `raw_traces`)."""
        made = {"raw_observations": self.adapter.raw_observations, "raw_traces": self.adapter.raw_traces}
        return _with({name: made[name]() for name in relations}, sql)

    def ask(
        self,
        id: str,
        purpose: str,
        sql: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        since: datetime | None = None,
    ) -> Evidence:
        """Runs a bound query and keeps it with its answer.

        Parameters that the query does not mention are left out of the evidence.
        """
        values = {**self.parameters(since), **(parameters or {})}
        used = {name: value for name, value in values.items() if f"{{{name}:" in sql}
        return run_evidence(self.reader, id, purpose, sql, used)

    def columns(
        self, sql: str, parameters: Mapping[str, Any] | None = None, *, since: datetime | None = None
    ) -> dict[str, Sequence[Any]]:
        """Runs a bound query whose answer is bulk data for the playbook, column by column."""
        values = {**self.parameters(since), **(parameters or {})}
        return self.reader.columns(sql, {name: value for name, value in values.items() if f"{{{name}:" in sql})


def run_evidence(reader: Reader, id: str, purpose: str, sql: str, parameters: Mapping[str, Any]) -> Evidence:
    """Runs a complete query; `parameters` are stored as plain JSON values that bind to the same query again."""
    plain = {name: _plain(value) for name, value in parameters.items()}
    result = reader.query(sql, plain)
    return Evidence(
        id=id,
        purpose=purpose,
        sql=sql,
        parameters=plain,
        columns=result.columns,
        rows=result.rows,
        row_count=len(result.rows),
        rows_read=result.rows_read,
        seconds=round(result.seconds, 4),
        result_hash=hash_result(result.columns, result.rows),
    )


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S.%f")
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _with(definitions: Mapping[str, str], sql: str) -> str:
    body = sql.strip()
    ctes = ",\n".join(f"  {name} AS (\n    {select.strip()}\n  )" for name, select in definitions.items())
    if body.upper().startswith("WITH "):
        return f"WITH\n{ctes},\n{body[5:].lstrip()}"
    return f"WITH\n{ctes}\n{body}"
