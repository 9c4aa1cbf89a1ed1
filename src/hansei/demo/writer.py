"""Writes plain rows into Langfuse's tables, the same data as v3 or as v4."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeVar

from hansei.demo.rows import ObservationRow, Rows, ScoreRow, TraceRow
from hansei.demo.tables import Schema, quote

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

Row = TypeVar("Row", TraceRow, ObservationRow, ScoreRow)
_Record = dict[str, Any]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_MICROSECOND = timedelta(microseconds=1)
_BLOCK = 20_000  # rows per insert: bounds the memory that one insert takes
_KEPT_BACK = 50_000  # later versions that are held in memory


class Writer:
    """Writes sets of rows, one after the other; call `finish` at the end, or use it in a `with` statement.

    ClickHouse merges the versions of a row already inside one insert. Langfuse's own tables hold versions side by side
    until a merge, so the second and later versions of a row are kept back and written by `finish`.
    """

    def __init__(self, client: Client, schema: Schema, database: str = "default") -> None:
        self._client = client
        self._schema = schema
        self._place = quote(database)
        self._later = Rows()
        self._latest: dict[str, TraceRow] = {}

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        if kind is None:
            self.finish()

    def write(self, rows: Rows) -> None:
        """Writes a set of rows; of several versions of one row only the first in the list."""
        first, later = _first_versions(rows)
        if self._schema == "v4":
            needed = {row.trace_id for row in later.observations} | {row.id for row in later.traces}
            latest = _latest_traces(rows.traces)
            self._latest.update((trace_id, trace) for trace_id, trace in latest.items() if trace_id in needed)
            self._insert(first, latest)
        else:
            self._insert(first, {})
        self._later.extend(later)
        if len(self._later.traces) + len(self._later.observations) > _KEPT_BACK:
            self.finish()

    def finish(self) -> None:
        """Writes the versions that were kept back, oldest round first."""
        while self._later.traces or self._later.observations or self._later.scores:
            first, self._later = _first_versions(self._later)
            self._insert(first, self._latest)
        self._latest.clear()

    def _insert(self, rows: Rows, latest: Mapping[str, TraceRow]) -> None:
        if self._schema == "v3":
            self._insert_records("traces", map(_trace_record, rows.traces))
            self._insert_records("observations", map(_observation_record, rows.observations))
        else:
            self._insert_records("events_full", _events(rows, latest))
        self._insert_records("scores", map(_score_record, rows.scores))

    def _insert_records(self, table: str, records: Iterable[_Record]) -> None:
        block: list[_Record] = []
        for record in records:
            block.append(record)
            if len(block) == _BLOCK:
                self._insert_block(table, block)
                block = []
        if block:
            self._insert_block(table, block)

    def _insert_block(self, table: str, block: Sequence[_Record]) -> None:
        names = list(block[0])
        self._client.insert(
            f"{self._place}.`{table}`",
            [[record[name] for record in block] for name in names],
            column_names=names,
            column_oriented=True,
        )


def write(client: Client, schema: Schema, rows: Rows, database: str = "default") -> None:
    """Writes one set of rows with all their versions into tables that exist."""
    with Writer(client, schema, database) as writer:
        writer.write(rows)


def _first_versions(rows: Rows) -> tuple[Rows, Rows]:
    """Splits rows into the first version of each, and the rest."""
    first, later = Rows(), Rows()
    _split(rows.traces, lambda row: (row.project_id, row.id), first.traces, later.traces)
    _split(rows.observations, lambda row: (row.project_id, row.id), first.observations, later.observations)
    _split(rows.scores, lambda row: (row.project_id, row.id), first.scores, later.scores)
    return first, later


def _split(rows: Iterable[Row], key: Callable[[Row], object], first: list[Row], later: list[Row]) -> None:
    seen: set[object] = set()
    for row in rows:
        identity = key(row)
        (later if identity in seen else first).append(row)
        seen.add(identity)


def _latest_traces(traces: Iterable[TraceRow]) -> dict[str, TraceRow]:
    latest: dict[str, TraceRow] = {}
    for trace in traces:
        known = latest.get(trace.id)
        if known is None or _event_time(trace) >= _event_time(known):
            latest[trace.id] = trace
    return latest


def _event_time(trace: TraceRow) -> datetime:
    return trace.event_ts or trace.timestamp


def _ms(moment: datetime | None) -> int | None:
    return None if moment is None else (moment - _EPOCH) // _MILLISECOND


def _us(moment: datetime | None) -> int | None:
    return None if moment is None else (moment - _EPOCH) // _MICROSECOND


def _trace_record(row: TraceRow) -> _Record:
    version_time = _event_time(row)
    return {
        "id": row.id,
        "timestamp": _ms(row.timestamp),
        "name": row.name,
        "user_id": row.user_id,
        "metadata": row.metadata,
        "release": row.release,
        "version": row.version,
        "project_id": row.project_id,
        "environment": row.environment,
        "public": row.public,
        "bookmarked": row.bookmarked,
        "tags": row.tags,
        "input": row.input,
        "output": row.output,
        "session_id": row.session_id,
        "created_at": _ms(row.created_at or row.timestamp),
        "updated_at": _ms(row.updated_at or version_time),
        "event_ts": _ms(version_time),
        "is_deleted": int(row.is_deleted),
    }


def _observation_record(row: ObservationRow) -> _Record:
    version_time = row.event_ts or row.end_time or row.start_time
    return {
        "id": row.id,
        "trace_id": row.trace_id,
        "project_id": row.project_id,
        "environment": row.environment,
        "type": row.type,
        "parent_observation_id": row.parent_observation_id,
        "start_time": _ms(row.start_time),
        "end_time": _ms(row.end_time),
        "name": row.name,
        "metadata": row.metadata,
        "level": row.level,
        "status_message": row.status_message,
        "version": row.version,
        "input": row.input,
        "output": row.output,
        "provided_model_name": row.model,
        "internal_model_id": row.model_id,
        "model_parameters": row.model_parameters,
        "provided_usage_details": row.provided_usage_details,
        "usage_details": row.usage_details,
        "provided_cost_details": row.provided_cost_details,
        "cost_details": row.cost_details,
        "total_cost": row.total_cost if row.total_cost is not None else row.cost_details.get("total"),
        "usage_pricing_tier_id": row.usage_pricing_tier_id,
        "usage_pricing_tier_name": row.usage_pricing_tier_name,
        "tool_definitions": row.tool_definitions,
        "tool_calls": row.tool_calls,
        "tool_call_names": row.tool_call_names,
        "completion_start_time": _ms(row.completion_start_time),
        "prompt_id": row.prompt_id,
        "prompt_name": row.prompt_name,
        "prompt_version": row.prompt_version,
        "created_at": _ms(row.created_at or row.start_time),
        "updated_at": _ms(row.updated_at or version_time),
        "event_ts": _ms(version_time),
        "is_deleted": int(row.is_deleted),
    }


def _score_record(row: ScoreRow) -> _Record:
    version_time = row.event_ts or row.timestamp
    return {
        "id": row.id,
        "timestamp": _ms(row.timestamp),
        "project_id": row.project_id,
        "environment": row.environment,
        "trace_id": row.trace_id,
        "session_id": row.session_id,
        "dataset_run_id": row.dataset_run_id,
        "observation_id": row.observation_id,
        "execution_trace_id": row.execution_trace_id,
        "name": row.name,
        "value": row.value,
        "source": row.source,
        "comment": row.comment,
        "metadata": row.metadata,
        "author_user_id": row.author_user_id,
        "config_id": row.config_id,
        "data_type": row.data_type,
        "string_value": row.string_value,
        "long_string_value": row.long_string_value,
        "queue_id": row.queue_id,
        "created_at": _ms(row.created_at or row.timestamp),
        "updated_at": _ms(row.updated_at or version_time),
        "event_ts": _ms(version_time),
        "is_deleted": int(row.is_deleted),
    }


def _events(rows: Rows, latest: Mapping[str, TraceRow]) -> Iterable[_Record]:
    """The rows as v4 spans; each span repeats what belongs to its trace, after the trace's last version."""
    for trace in rows.traces:
        if not trace.opentelemetry:
            yield _trace_as_root(trace)
    for observation in rows.observations:
        yield _observation_as_span(observation, latest.get(observation.trace_id))


def _trace_as_root(row: TraceRow) -> _Record:
    """The synthetic root span of a trace that was converted from v3."""
    version_time = _event_time(row)
    return {
        **_of_trace(row),
        "project_id": row.project_id,
        "trace_id": row.id,
        "span_id": f"t-{row.id}",
        "parent_span_id": "",
        "start_time": _us(row.timestamp),
        "end_time": None,
        "name": row.name,
        "type": "SPAN",
        "environment": row.environment,
        "version": row.version or "",
        "bookmarked": row.bookmarked,
        "level": "DEFAULT",
        "status_message": "",
        "completion_start_time": None,
        "is_app_root": False,
        "prompt_id": "",
        "prompt_name": "",
        "prompt_version": None,
        "model_id": "",
        "provided_model_name": "",
        "model_parameters": "",
        "provided_usage_details": {},
        "usage_details": {},
        "provided_cost_details": {},
        "cost_details": {},
        "usage_pricing_tier_id": None,
        "usage_pricing_tier_name": None,
        "tool_definitions": {},
        "tool_calls": (),
        "tool_call_names": (),
        "input": row.input or "",
        "output": row.output or "",
        "metadata_names": list(row.metadata),
        "metadata_values": list(row.metadata.values()),
        "source": "ingestion-api-dual-write",
        "created_at": _us(row.created_at or row.timestamp),
        "updated_at": _us(row.updated_at or version_time),
        "event_ts": _us(version_time),
        "is_deleted": int(row.is_deleted),
    }


def _observation_as_span(row: ObservationRow, trace: TraceRow | None) -> _Record:
    version_time = row.event_ts or row.end_time or row.start_time
    native = trace is not None and trace.opentelemetry
    is_root = native and row.parent_observation_id is None
    metadata = {**trace.metadata, **row.metadata} if is_root and trace is not None else row.metadata
    return {
        **_of_trace(trace),
        "project_id": row.project_id,
        "trace_id": row.trace_id,
        "span_id": row.id,
        "parent_span_id": row.parent_observation_id or ("" if native else f"t-{row.trace_id}"),
        "start_time": _us(row.start_time),
        "end_time": _us(row.end_time),
        "name": row.name,
        "type": row.type,
        "environment": row.environment,
        "version": row.version or "",
        "bookmarked": trace.bookmarked if is_root and trace is not None else False,
        "level": row.level,
        "status_message": row.status_message or "",
        "completion_start_time": _us(row.completion_start_time),
        "is_app_root": is_root,
        "prompt_id": row.prompt_id or "",
        "prompt_name": row.prompt_name or "",
        "prompt_version": row.prompt_version,
        "model_id": row.model_id or "",
        "provided_model_name": row.model or "",
        "model_parameters": row.model_parameters or "",
        "provided_usage_details": row.provided_usage_details,
        "usage_details": row.usage_details,
        "provided_cost_details": row.provided_cost_details,
        "cost_details": _with_total(row.cost_details, row.total_cost),
        "usage_pricing_tier_id": row.usage_pricing_tier_id,
        "usage_pricing_tier_name": row.usage_pricing_tier_name,
        "tool_definitions": row.tool_definitions,
        "tool_calls": row.tool_calls,
        "tool_call_names": row.tool_call_names,
        "input": row.input or "",
        "output": row.output or "",
        "metadata_names": list(metadata),
        "metadata_values": list(metadata.values()),
        "source": "otel" if native else "ingestion-api-dual-write",
        "created_at": _us(row.created_at or row.start_time),
        "updated_at": _us(row.updated_at or version_time),
        "event_ts": _us(version_time),
        "is_deleted": int(row.is_deleted),
    }


def _of_trace(trace: TraceRow | None) -> _Record:
    """What each span of a trace repeats of it; an observation may have no trace at all."""
    return {
        "trace_name": trace.name if trace else "",
        "user_id": (trace.user_id if trace else None) or "",
        "session_id": (trace.session_id if trace else None) or "",
        "release": (trace.release if trace else None) or "",
        "tags": trace.tags if trace else (),
        "public": trace.public if trace else False,
    }


def _with_total(cost: Mapping[str, Decimal], total: Decimal | None) -> Mapping[str, Decimal]:
    """v4 has no column for the total cost: it is the entry `total`."""
    return cost if total is None or "total" in cost else {**cost, "total": total}
