"""A project's data over a span of time: what the playbook, the nodes and the verification ask their questions of."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

from hansei.contracts import Evidence, Periods, hash_result
from hansei.tools.clickhouse import Reader
from hansei.tools.clickhouse.copies import Shortcut
from hansei.tools.clickhouse.guard import Admitted, Guard, parser_of
from hansei.tools.langfuse.copied import Copied
from hansei.tools.langfuse.narrowing import bound
from hansei.tools.langfuse.relations import Adapter, Needs
from hansei.tools.langfuse.tracing import query_span

NARROW = Needs()
RELATIONS = frozenset({"traces", "observations", "scores"})
REAL_TABLES = RELATIONS | {
    "events",
    "events_core",
    "events_full",
    "dataset_run_items",
    "dataset_run_items_rmt",
    "blob_storage_file_log",
    "event_log",
    "project_environments",
    "schema_migrations",
}
"""Tables that Langfuse has: names that a query in WITH must not hide."""

MOST_ROWS = 1_000
"""Rows of an answer to SQL that somebody wrote, unless more are asked for."""


class Bound(str):
    """A query with the definitions of its relations. What is made of the text by other means is a plain text again."""

    shortcut: Shortcut | None = None
    """The same over a run's copies of the relations, if there may be any."""
    holds_for: Callable[[Mapping[str, Any]], bool] = staticmethod(lambda parameters: False)
    """Whether that gives the same answer, with these parameters."""

    @classmethod
    def of(cls, sql: str, shortcut: Shortcut | None, holds_for: Callable[[Mapping[str, Any]], bool]) -> Bound:
        """The text with what it was made of."""
        made = cls(sql)
        made.shortcut, made.holds_for = shortcut, holds_for
        return made


@dataclass(frozen=True)
class Dataset:
    """One project, in one schema, over the window and the baseline.

    Args:
        reader: the read-only session.
        adapter: the schema's adapter, from `detect`.
        project_id: the project.
        periods: the window and the baseline.
        environments: only these; empty: all but Langfuse's own.
        copied: copies of the relations that the session may hold; None: it holds none.
    """

    reader: Reader
    adapter: Adapter
    project_id: str
    periods: Periods
    environments: Sequence[str] = field(default_factory=tuple)
    copied: Copied | None = None

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

    def bind(self, sql: str, relations: Sequence[str], needs: Needs = NARROW) -> Bound:
        """`sql` with the definitions of the logical relations that it names put before it.

        Of a definition only the columns that `sql` names are there; `sql` may begin with ``WITH`` and relations of its
        own.
        """
        named = frozenset(relations)
        text = bound(self.adapter.definitions(named, needs), sql)
        copied = self.copied
        if copied is None or copied.adapter != self.adapter:
            return Bound(text)
        return Bound.of(text, copied.shortcut(sql, named, needs), lambda values: copied.are_for(values, named, needs))

    def bind_raw(self, sql: str, relations: Sequence[str]) -> Bound:
        """The same, over relations that are made without FINAL: `raw_traces`, `raw_observations`, `raw_scores`."""
        text = bound({f"raw_{name}": self.adapter.raw(name) for name in relations}, sql)
        copied, named = self.copied, frozenset(relations)
        if copied is None or copied.adapter != self.adapter:
            return Bound(text)
        return Bound.of(text, copied.raw_shortcut(sql, named), lambda values: copied.are_raw_for(values, named))

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
        return run_evidence(self.reader, id, purpose, sql, used, shortcut=self._shortcut(sql, values))

    def ask_untrusted(
        self,
        id: str,
        purpose: str,
        sql: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        at_most: int = MOST_ROWS,
        since: datetime | None = None,
    ) -> Evidence:
        """Runs SQL that a model or a person wrote, as far as the guard lets it through, and keeps it with its answer.

        It may name `traces` with totals, `observations` and `scores` with the columns of their trace, and the
        parameters of `parameters()`.

        Args:
            id, purpose: of the evidence.
            sql: one SELECT.
            parameters: values for its other placeholders.
            at_most: rows; so many in the answer mean that there may be more.
            since: start of the range that is read; default: the start of the baseline.

        Raises:
            QueryRefused: the guard does not let it through; nothing was executed.
            HanseiError: as `ask`.
        """
        admitted = self.admit(sql, parameters, at_most=at_most, since=since)
        return run_evidence(self.reader, id, purpose, admitted.sql, admitted.parameters, foreign=True)

    def admit(
        self,
        sql: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        at_most: int = MOST_ROWS,
        since: datetime | None = None,
    ) -> Admitted:
        """What `ask_untrusted` would run, without running it.

        Raises:
            QueryRefused: as `ask_untrusted`.
        """
        return self._guard.admit(
            sql,
            self.adapter.definitions(RELATIONS, Needs(trace=True, totals=True)),
            parameters,
            own=self.parameters(since),
            reserved=REAL_TABLES,
            at_most=at_most,
        )

    @cached_property
    def _guard(self) -> Guard:
        return Guard(parser_of(self.reader))

    def columns(
        self, sql: str, parameters: Mapping[str, Any] | None = None, *, since: datetime | None = None
    ) -> dict[str, Sequence[Any]]:
        """Runs a bound query whose answer is bulk data for the playbook, column by column."""
        values = {**self.parameters(since), **(parameters or {})}
        started = time.perf_counter()
        with query_span("clickhouse", purpose="cells", sql=sql) as span:
            used = {name: value for name, value in values.items() if f"{{{name}:" in sql}
            found = self.reader.columns(sql, used, shortcut=self._shortcut(sql, values))
            count = len(next(iter(found.values()), ()))
            # The driver does not tell what a bulk answer read.
            span.answered(rows_read=0, row_count=count, seconds=time.perf_counter() - started)
        return found

    def _shortcut(self, sql: str, parameters: Mapping[str, Any]) -> Shortcut | None:
        """How the session may ask the same of its copies."""
        return sql.shortcut if isinstance(sql, Bound) and sql.holds_for(parameters) else None


def run_evidence(
    reader: Reader,
    id: str,
    purpose: str,
    sql: str,
    parameters: Mapping[str, Any],
    *,
    shortcut: Shortcut | None = None,
    foreign: bool = False,
) -> Evidence:
    """Runs a complete query; `parameters` are stored as plain JSON values that bind to the same query again.

    What a `foreign` query would read is estimated before it runs: see `Reader.query`. A session that holds the copies
    which `shortcut` is about asks them.
    """
    plain = {name: _plain(value) for name, value in parameters.items()}
    with query_span("clickhouse", purpose=purpose, sql=sql) as span:
        result = reader.query(sql, plain, shortcut=shortcut, foreign=foreign)
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
