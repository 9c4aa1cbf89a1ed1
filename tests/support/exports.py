"""The demo's rows as Langfuse would tell them: over its API, and as the files of its blob-storage integration."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.support.langfuse_api import PROJECT_ID, observation

from hansei.demo.rows import ObservationRow, Rows, ScoreRow, TraceRow
from hansei.demo.simulate import PROJECT_ID as DEMO_PROJECT
from hansei.demo.simulate import Simulation

Row = dict[str, Any]


def demo_rows(*, seed: int = 7, every: int = 4) -> Rows:
    """What Langfuse shows of the demo's project: the last version of each row, without what was deleted.

    Of some 500 traces every fourth one is kept, with its observations and scores.
    """
    rows = Rows()
    for batch in Simulation(seed, 500).batches():
        rows.extend(batch)
    kept = {trace_id for trace_id in {row.id for row in rows.traces} if int(trace_id[-6:], 16) % every == 0}
    rows = Rows(
        [row for row in rows.traces if row.id in kept],
        [row for row in rows.observations if row.trace_id in kept],
        [row for row in rows.scores if row.trace_id in kept or row.trace_id is None],
    )
    return Rows(
        _last(rows.traces, lambda row: row.timestamp),
        _last(rows.observations, lambda row: row.end_time or row.start_time),
        _last(rows.scores, lambda row: row.timestamp),
    )


def _last(rows: Iterable[Any], when: Callable[[Any], datetime]) -> list[Any]:
    last: dict[str, Any] = {}
    for row in rows:
        if row.project_id == DEMO_PROJECT:
            known = last.get(row.id)
            if known is None or (row.event_ts or when(row)) >= (known.event_ts or when(known)):
                last[row.id] = row
    return [row for row in last.values() if not row.is_deleted]


def api_observations(rows: Rows) -> list[Row]:
    """Each span as the API of Langfuse 4 tells it, with the root that it makes of a trace of Langfuse 3."""
    traces = {trace.id: trace for trace in rows.traces}
    out = [_root(trace) for trace in rows.traces if not trace.opentelemetry]
    for row in rows.observations:
        trace = traces.get(row.trace_id)
        native = trace is not None and trace.opentelemetry
        parent = row.parent_observation_id or (None if native else f"t-{row.trace_id}")
        root = native and row.parent_observation_id is None
        metadata = {**trace.metadata, **row.metadata} if root and trace else dict(row.metadata)
        out.append(
            observation(
                id=row.id,
                trace_id=row.trace_id,
                start_time=_iso(row.start_time),
                end_time=_iso(row.end_time),
                parent_observation_id=parent,
                type=row.type,
                name=row.name,
                level=row.level,
                status_message=row.status_message or "",
                version=row.version or "",
                environment=row.environment,
                input=row.input or "",
                output=row.output or "",
                metadata=metadata,
                model=row.model or "",
                internal_model_id=row.model_id or "",
                model_parameters=row.model_parameters or "",
                usage_details=dict(row.usage_details),
                cost_details={name: float(cost) for name, cost in row.cost_details.items()},
                total_cost=float(row.total_cost or row.cost_details.get("total") or 0),
                completion_start_time=_iso(row.completion_start_time),
                prompt_id=row.prompt_id or "",
                prompt_name=row.prompt_name or "",
                prompt_version=row.prompt_version,
                created_at=_iso(row.start_time),
                updated_at=_iso(row.event_ts or row.end_time or row.start_time),
                **_of_trace(trace),
            )
        )
    return out


def _root(trace: TraceRow) -> Row:
    return observation(
        id=f"t-{trace.id}",
        trace_id=trace.id,
        start_time=_iso(trace.timestamp),
        name=trace.name,
        version=trace.version or "",
        environment=trace.environment,
        input=trace.input or "",
        output=trace.output or "",
        metadata=dict(trace.metadata),
        updated_at=_iso(trace.event_ts or trace.timestamp),
        **_of_trace(trace),
    )


def _of_trace(trace: TraceRow | None) -> Row:
    if trace is None:
        return {}
    return {
        "trace_name": trace.name,
        "user_id": trace.user_id or "",
        "session_id": trace.session_id or "",
        "tags": list(trace.tags),
        "release": trace.release or "",
        "public": trace.public,
        "bookmarked": trace.bookmarked,
    }


def api_scores(rows: Rows) -> dict[tuple[str, str, str], Row]:
    """The scores as the stand-in for the API holds them."""
    return {(row.timestamp.isoformat()[:10], row.name, row.id): _api_score(row) for row in rows.scores}


def _api_score(row: ScoreRow) -> Row:
    subject: Row
    if row.observation_id:
        subject = {"kind": "observation", "id": row.observation_id, "traceId": row.trace_id}
    elif row.trace_id:
        subject = {"kind": "trace", "id": row.trace_id}
    elif row.session_id:
        subject = {"kind": "session", "id": row.session_id}
    else:
        subject = {"kind": "experiment", "id": row.dataset_run_id or ""}
    value: Any = row.value
    if row.data_type == "BOOLEAN":
        value = bool(row.value)
    elif row.data_type != "NUMERIC":
        value = row.string_value
    return {
        "id": row.id,
        "projectId": PROJECT_ID,
        "name": row.name,
        "value": value,
        "dataType": row.data_type,
        "source": row.source,
        "timestamp": _iso(row.timestamp),
        "environment": row.environment,
        "createdAt": _iso(row.timestamp),
        "updatedAt": _iso(row.event_ts or row.timestamp),
        "comment": row.comment,
        "configId": row.config_id,
        "metadata": dict(row.metadata),
        "authorUserId": row.author_user_id,
        "queueId": row.queue_id,
        "subject": subject,
    }


def export_rows(rows: Rows) -> dict[str, list[Row]]:
    """Rows by the columns of the enriched export (`observations_v2`, `scores`)."""
    spans = []
    for row in api_observations(rows):
        out = {_SNAKE.get(name, _snake(name)): value for name, value in row.items() if name not in _API_ONLY}
        out["parent_observation_id"] = out["parent_observation_id"] or ""
        for name in ("start_time", "end_time", "completion_start_time", "created_at", "updated_at"):
            out[name] = None if out[name] is None else out[name].replace("T", " ").replace("Z", "000")
        spans.append(out)
    scores = [
        {
            "id": row.id,
            "timestamp": _stamp(row.timestamp),
            "project_id": PROJECT_ID,
            "environment": row.environment,
            "trace_id": row.trace_id,
            "observation_id": row.observation_id,
            "session_id": row.session_id,
            "dataset_run_id": row.dataset_run_id,
            "name": row.name,
            "value": row.value,
            "source": row.source,
            "comment": row.comment,
            "data_type": row.data_type,
            "string_value": row.string_value,
            "created_at": _stamp(row.timestamp),
            "updated_at": _stamp(row.event_ts or row.timestamp),
        }
        for row in rows.scores
    ]
    return {"observations_v2": spans, "scores": scores}


_API_ONLY = {"isRootObservation", "internalModelId", "latency", "timeToFirstToken", "usagePricingTierName"}
_SNAKE = {"model": "provided_model_name"}


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


def legacy_rows(rows: Rows) -> dict[str, list[Row]]:
    """Rows by the columns of the older export (`traces`, `observations`, `scores`)."""
    new = export_rows(rows)
    ids = {row.id for row in rows.observations}
    parents = {row.id: row.parent_observation_id for row in rows.observations}
    of_trace = ("user_id", "session_id", "trace_name", "tags", "release", "bookmarked", "public")
    observations = [
        {name: value for name, value in row.items() if name not in of_trace}
        | {"parent_observation_id": parents[row["id"]]}
        for row in new["observations_v2"]
        if row["id"] in ids
    ]
    traces = [
        {
            "id": row.id,
            "timestamp": _stamp(row.timestamp),
            "name": row.name,
            "environment": row.environment,
            "project_id": PROJECT_ID,
            "metadata": dict(row.metadata),
            "user_id": row.user_id,
            "session_id": row.session_id,
            "release": row.release,
            "version": row.version,
            "public": row.public,
            "bookmarked": row.bookmarked,
            "tags": list(row.tags),
            "input": row.input,
            "output": row.output,
            "created_at": _stamp(row.timestamp),
            "updated_at": _stamp(row.event_ts or row.timestamp),
        }
        for row in rows.traces
    ]
    return {"traces": traces, "observations": observations, "scores": new["scores"]}


def write_export(folder: Path, tables: dict[str, list[Row]], form: str, *, parts: int = 3) -> None:
    """Writes tables as Langfuse does: a folder each, a file per span of time, a manifest per run.

    Args:
        folder: the export's prefix; the project's folder is made in it.
        tables: rows by table.
        form: ``json``, ``jsonl`` or ``csv``, each also with ``.gz``.
        parts: how many files per table. Neighbours share their boundary's row, as Langfuse's do.
    """
    for part in range(parts):
        files = []
        for table, rows in tables.items():
            size = -(-len(rows) // parts)
            chosen = rows[max(0, part * size - 1) : (part + 1) * size]
            key = f"{PROJECT_ID}/{table}/2026-10-0{part + 1}T00-00-00.{form}"
            path = folder / key
            path.parent.mkdir(parents=True, exist_ok=True)
            text = _as_text(chosen, form.removesuffix(".gz"))
            path.write_bytes(gzip.compress(text.encode()) if form.endswith(".gz") else text.encode())
            files.append({"key": f"backup/{key}", "table": table, "rowCount": len(chosen)})
        manifest = folder / PROJECT_ID / "manifests" / f"2026-10-0{part + 1}T00-00-00.json"
        manifest.parent.mkdir(exist_ok=True)
        manifest.write_text(json.dumps({"version": 1, "files": files}), "utf-8")


def _as_text(rows: Sequence[Row], form: str) -> str:
    if form == "json":
        return json.dumps(rows, ensure_ascii=False)
    if form == "jsonl":
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    import io

    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=list(rows[0]) if rows else ["id"], lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _cell(value) for name, value in row.items()})
    return out.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S.") + f"{moment.microsecond // 1000:03}000"


def expected(row: ObservationRow) -> tuple[Any, ...]:
    """What an observation must be after an import."""
    total = row.total_cost if row.total_cost is not None else row.cost_details.get("total")
    return (
        row.id, row.trace_id, row.type, row.name, row.parent_observation_id or "", _stamp(row.start_time)[:23],
        _stamp(row.end_time)[:23] if row.end_time else "", row.level, row.status_message or "", row.version or "",
        row.environment, row.input or "", row.output or "", row.model or "", row.model_parameters or "",
        dict(row.usage_details), {k: float(v) for k, v in row.cost_details.items()}, float(total) if total else 0.0,
        _stamp(row.completion_start_time)[:23] if row.completion_start_time else "", row.prompt_name or "",
        row.prompt_version or 0,
    )  # fmt: skip
