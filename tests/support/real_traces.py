"""Real traces of agent frameworks, as Langfuse's API returned them, as rows for either schema.

The folder holds one JSON file per trace, with `trace` (camelCase fields, its scores among them) and `observations`.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from hansei.demo.rows import ObservationRow, Rows, ScoreRow, TraceRow

FOLDER = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "langfuse-traces"

REASON = "the folder with real traces is not here"


@dataclass(frozen=True)
class RealTrace:
    """One file: what the API returned, and the same as rows. Numbers with decimals are `Decimal`."""

    file: str
    trace: Mapping[str, Any]
    observations: list[Mapping[str, Any]]
    rows: Rows


def real_traces() -> list[RealTrace]:
    """All files, in the order of their names; none when the folder is absent."""
    return [_read(path) for path in sorted(FOLDER.glob("*.json"))]


def as_text(value: Any) -> str | None:
    """An input, an output or a metadata value as Langfuse stores it: texts as they are, everything else as JSON."""
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, default=float)


def as_metadata(value: Any) -> dict[str, str]:
    """Metadata as Langfuse stores it: one entry per key at the top; it comes as an object or as its JSON text."""
    fields = json.loads(value) if isinstance(value, str) else value
    return {str(key): as_text(item) or "" for key, item in (fields or {}).items()}


def as_time(text: str | None) -> datetime | None:
    """A time of the API, which ends in Z."""
    return None if text is None else datetime.fromisoformat(text)


def usage_of(api: Mapping[str, Any]) -> dict[str, int]:
    """Tokens of an observation by kind; older versions of the API returned only three of them."""
    if "usageDetails" in api:
        return dict(api["usageDetails"])
    return {kind: api[f"{kind}Usage"] for kind in ("input", "output", "total")}


def cost_of(api: Mapping[str, Any]) -> dict[str, Decimal]:
    """US dollars of an observation by kind, in the same way."""
    if "costDetails" in api:
        return _money(api["costDetails"])
    return {kind: Decimal(api[f"{kind}Cost"]) for kind in ("input", "output", "total")}


def repeated(
    traces: list[RealTrace], until: datetime, *, days: int, per_day: int, project_id: str, native: bool = False
) -> Iterator[Rows]:
    """The same traces `per_day` times on each of the `days` before `until`, one set of rows per day.

    Times within a trace are stretched by up to 3 %, in a fixed pattern that has nothing to do with the day. All else
    stays, except the ids, which get the day and the number appended, and the project.

    Args:
        native: traces whose root observation starts with them are written as OpenTelemetry senders leave them in v4:
            the root is the trace, and its texts are the root's.
    """
    for day in range(days):
        rows = Rows()
        for number in range(per_day):
            for place, source in enumerate(traces):
                at = until - timedelta(days=days - day, hours=-1)
                at += timedelta(hours=22) * ((number + place / len(traces)) / per_day)
                turn = 2.399963 * (number + per_day * day + place)  # the golden angle: evenly spread, without a period
                rows.extend(_moved(source, at, 1 + 0.03 * math.sin(turn), f"-{day}-{number}", project_id, native))
        yield rows


def is_native(rows: Rows) -> bool:
    """Whether the trace can be told from one root observation, which starts when the trace does."""
    roots = [row for row in rows.observations if row.parent_observation_id is None]
    return len(roots) == 1 and roots[0].start_time == rows.traces[0].timestamp


def _moved(source: RealTrace, at: datetime, stretch: float, mark: str, project_id: str, native: bool) -> Rows:
    rows = copy.deepcopy(source.rows)
    [trace] = rows.traces
    began = trace.timestamp

    def move(moment: datetime | None) -> datetime | None:
        if moment is None:
            return None
        return at + timedelta(milliseconds=round((moment - began) / timedelta(milliseconds=1) * stretch))

    for row in (*rows.traces, *rows.observations, *rows.scores):
        row.id += mark
        row.project_id = project_id
        for name in ("timestamp", "start_time", "end_time", "created_at", "updated_at", "event_ts"):
            if hasattr(row, name):
                setattr(row, name, move(getattr(row, name)))
    for child in (*rows.observations, *rows.scores):
        child.trace_id = trace.id
    for observation in rows.observations:
        if observation.parent_observation_id is not None:
            observation.parent_observation_id += mark
    if native and is_native(rows):
        [root] = [row for row in rows.observations if row.parent_observation_id is None]
        trace.opentelemetry, trace.name = True, root.name
        trace.input, trace.output, trace.version = root.input, root.output, root.version
        trace.metadata = {**trace.metadata, **root.metadata}
    return rows


def _read(path: Path) -> RealTrace:
    data = json.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
    trace, observations = data["trace"], data["observations"]
    rows = Rows(
        [_trace(trace)],
        [_observation(item) for item in observations],
        [_score(item) for item in trace.get("scores", [])],
    )
    return RealTrace(path.name, trace, observations, rows)


def _trace(api: Mapping[str, Any]) -> TraceRow:
    return TraceRow(
        id=api["id"],
        timestamp=_moment(api["timestamp"]),
        name=api["name"],
        project_id=api["projectId"],
        environment=api["environment"],
        user_id=api.get("userId"),
        session_id=api.get("sessionId"),
        release=api.get("release"),
        version=api.get("version"),
        tags=api.get("tags", []),
        metadata=as_metadata(api.get("metadata")),
        input=as_text(api.get("input")),
        output=as_text(api.get("output")),
        public=api.get("public", False),
        bookmarked=api.get("bookmarked", False),
        created_at=as_time(api.get("createdAt")),
        updated_at=as_time(api.get("updatedAt")),
        event_ts=as_time(api.get("updatedAt")),
    )


def _observation(api: Mapping[str, Any]) -> ObservationRow:
    return ObservationRow(
        id=api["id"],
        trace_id=api["traceId"],
        start_time=_moment(api["startTime"]),
        end_time=as_time(api.get("endTime")),
        type=api["type"],
        name=api["name"],
        project_id=api["projectId"],
        environment=api["environment"],
        parent_observation_id=api.get("parentObservationId"),
        level=api["level"],
        status_message=api.get("statusMessage"),
        version=api.get("version"),
        input=as_text(api.get("input")),
        output=as_text(api.get("output")),
        metadata=as_metadata(api.get("metadata")),
        model=api.get("model"),
        model_id=api.get("internalModelId"),
        model_parameters=as_text(api.get("modelParameters")),
        usage_details=usage_of(api),
        provided_cost_details=_money(api.get("providedCostDetails")),
        cost_details=cost_of(api),
        usage_pricing_tier_id=api.get("usagePricingTierId"),
        usage_pricing_tier_name=api.get("usagePricingTierName"),
        completion_start_time=as_time(api.get("completionStartTime")),
        prompt_id=api.get("promptId"),
        prompt_name=api.get("promptName"),
        prompt_version=api.get("promptVersion"),
        created_at=as_time(api.get("createdAt")),
        updated_at=as_time(api.get("updatedAt")),
        event_ts=as_time(api.get("updatedAt")),
    )


def _score(api: Mapping[str, Any]) -> ScoreRow:
    return ScoreRow(
        id=api["id"],
        timestamp=_moment(api["timestamp"]),
        name=api["name"],
        project_id=api["projectId"],
        environment=api["environment"],
        trace_id=api.get("traceId"),
        session_id=api.get("sessionId"),
        observation_id=api.get("observationId"),
        dataset_run_id=api.get("datasetRunId"),
        value=float(api["value"]),
        string_value=api.get("stringValue"),
        data_type=api["dataType"],
        source=api["source"],
        comment=api.get("comment"),
        metadata=as_metadata(api.get("metadata")),
        author_user_id=api.get("authorUserId"),
        config_id=api.get("configId"),
        queue_id=api.get("queueId"),
        created_at=as_time(api.get("createdAt")),
        updated_at=as_time(api.get("updatedAt")),
        event_ts=as_time(api.get("updatedAt")),
    )


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _money(details: Mapping[str, Any] | None) -> dict[str, Decimal]:
    return {key: Decimal(value) for key, value in (details or {}).items()}
