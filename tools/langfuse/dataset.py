"""A project's data over a span of time: what the playbook, the nodes and the verification ask their questions of."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from hansei.contracts import Evidence, Periods, hash_result
from hansei.tools.clickhouse import Reader
from hansei.tools.langfuse.relations import Adapter, Needs
from hansei.tools.langfuse.tracing import query_span

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
        """The same, over relations that are made without FINAL: `raw_traces`, `raw_observations`, `raw_scores`."""
        return _with({f"raw_{name}": self.adapter.raw(name) for name in relations}, sql)

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
        started = time.perf_counter()
        with query_span("clickhouse", purpose="cells", sql=sql) as span:
            found = self.reader.columns(sql, {name: value for name, value in values.items() if f"{{{name}:" in sql})
            count = len(next(iter(found.values()), ()))
            # The driver does not tell what a bulk answer read.
            span.answered(rows_read=0, row_count=count, seconds=time.perf_counter() - started)
        return found


def run_evidence(reader: Reader, id: str, purpose: str, sql: str, parameters: Mapping[str, Any]) -> Evidence:
    """Runs a complete query; `parameters` are stored as plain JSON values that bind to the same query again."""
    plain = {name: _plain(value) for name, value in parameters.items()}
    with query_span("clickhouse", purpose=purpose, sql=sql) as span:
        result = reader.query(sql, plain)
        span.answered(rows_read=result.rows_read, row_count=len(result.rows), seconds=result.seconds)
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
    first, _, rest = body.partition("\n") if body.startswith("WITH\n") else body.partition(" ")
    if first.upper() == "WITH":
        return f"WITH\n{ctes},\n{rest.lstrip()}"
    return f"WITH\n{ctes}\n{body}"
