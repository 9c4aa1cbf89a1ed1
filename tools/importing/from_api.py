"""Importing over Langfuse's public API: observations (v2), then scores (v3), page by page."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import TYPE_CHECKING, Any

from hansei.errors import LangfuseFailed
from hansei.tools.importing.statements import COLUMNS
from hansei.tools.importing.store import Store

if TYPE_CHECKING:
    from langfuse.api.scores.types.score_v3 import ScoreV3

    from hansei.tools.langfuse.api import Api

Progress = Callable[[str, int], None]
"""Is told what is being read, and how many of it arrived so far."""

OVERLAP = timedelta(days=1)
"""How much of the last import is read again: observations end, and are corrected, after they began."""

_OBSERVATIONS, _SCORES = 500, 100
_FIELDS = "core,basic,time,io,metadata,model,usage,prompt,trace_context"


@dataclass(frozen=True)
class Span:
    """What is imported: from a time on, up to another one (None: now)."""

    since: datetime
    until: datetime | None = None


def import_from_api(
    api: Api,
    store: Store,
    span: Span,
    *,
    again: bool = False,
    metadata_keys: Sequence[str] = (),
    progress: Progress | None = None,
) -> Span:
    """Imports the project of the keys. A killed import goes on at the page where it was.

    A second import begins a day before the first one's end, unless `span` reaches further back than the first one did.

    Args:
        api: with the keys of the project.
        store: what is filled.
        span: by the start of observations and the time of scores.
        again: everything anew, whatever was imported before.
        metadata_keys: Langfuse cuts values of metadata to 200 characters, but for these keys.
        progress: see `Progress`.

    Returns:
        The span that was read.

    Raises:
        LangfuseFailed: Langfuse cannot be read any further; what was read stays.
        ConnectionFailed, QueryFailed: the store cannot be written.
    """
    source = f"api {api.project_id()}"
    state = {} if again else store.state(source)
    if not state.get("open"):
        state = _next(state, span)
        store.begin()
        store.keep(source, state)
    reached = Span(datetime.fromisoformat(state["since"]), datetime.fromisoformat(state["until"]))
    if state["open"] == "observations":
        _read(store, source, state, lambda cursor: _observations(api, store, reached, cursor, metadata_keys), progress)
        state |= {"open": "scores", "cursor": None, "received": 0}
        store.keep(source, state)
    if state["open"] == "scores":
        _read(store, source, state, lambda cursor: _scores(api, store, reached, cursor), progress)
        state |= {"open": "traces", "cursor": None}
        store.keep(source, state)
    store.build_traces()
    store.keep(source, {"first": state["first"], "done": state["until"]})
    return reached


def _next(state: dict[str, Any], span: Span) -> dict[str, Any]:
    """Where the next import begins, after what is known from the last one."""
    since, first = span.since, span.since
    if "done" in state:
        known = datetime.fromisoformat(state["first"])
        first = min(known, span.since)
        if span.since >= known:
            since = max(span.since, datetime.fromisoformat(state["done"]) - OVERLAP)
    until = span.until or datetime.now(UTC)
    return {
        "open": "observations",
        "cursor": None,
        "received": 0,
        "since": since.isoformat(),
        "until": until.isoformat(),
        "first": first.isoformat(),
    }


def _read(
    store: Store,
    source: str,
    state: dict[str, Any],
    page: Callable[[str | None], tuple[int, str | None]],
    progress: Progress | None,
) -> None:
    """Reads page after page, each kept before the next one is asked for."""
    while True:
        try:
            count, cursor = page(state["cursor"])
        except LangfuseFailed as failure:
            if failure.reason != "refused" or state["cursor"] is None:
                raise
            # A cursor that is no longer taken: from the beginning, which adds nothing twice.
            state |= {"cursor": None, "received": 0}
            count, cursor = page(None)
        if cursor is not None and cursor == state["cursor"]:
            raise LangfuseFailed(
                "Langfuse's pages go round in a circle.", "Import a smaller span of time.", reason="unreadable"
            )
        state |= {"cursor": cursor, "received": state["received"] + count}
        if progress:
            progress(state["open"], state["received"])
        if cursor is None:
            return
        store.keep(source, state)


def _observations(
    api: Api, store: Store, span: Span, cursor: str | None, metadata_keys: Sequence[str]
) -> tuple[int, str | None]:
    from langfuse.api.observations.types.observations_v2response import ObservationsV2Response

    page = api.read(
        "v2/observations",
        {
            "fields": _FIELDS,
            "limit": _OBSERVATIONS,
            "cursor": cursor,
            "fromStartTime": _text(span.since),
            "toStartTime": _text(span.until),
            "expandMetadata": ",".join(metadata_keys) or None,
        },
        ObservationsV2Response,
    )
    store.add("observations_v2", [_observation_row(row) for row in page["data"]])
    return len(page["data"]), page["meta"].get("cursor")


def _scores(api: Api, store: Store, span: Span, cursor: str | None) -> tuple[int, str | None]:
    page = api.ask(
        api.client.scores.get_many,
        fields="details,subject,annotation",
        limit=_SCORES,
        cursor=cursor,
        from_timestamp=span.since,
        to_timestamp=span.until,
    )
    store.add("scores", [_score_row(score) for score in page.data])
    return len(page.data), page.meta.cursor


def _observation_row(row: dict[str, Any]) -> dict[str, str | None]:
    """By the names of the exports, which are those of the API in another spelling, but for two."""
    out = {name: _text(row.get(wire)) for name, wire in _WIRE.items()}
    out["provided_model_name"] = _text(row.get("model"))
    out["model_id"] = _text(row.get("internalModelId") or row.get("modelId"))
    out["total_cost"] = None if row.get("totalCost") is None else f"{float(row['totalCost']):.12f}"
    costs = row.get("costDetails") or {}
    out["cost_details"] = json.dumps({key: f"{float(cost):.12f}" for key, cost in costs.items() if cost is not None})
    return out


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


_WIRE = {name: _camel(name) for name in COLUMNS["observations_v2"]}


def _score_row(score: ScoreV3) -> dict[str, str | None]:
    names = (
        "id", "project_id", "name", "source", "timestamp", "environment", "created_at", "updated_at", "comment",
        "config_id", "author_user_id", "queue_id", "data_type",
    )  # fmt: skip
    out = {name: _text(getattr(score, name)) for name in names}
    out["metadata"] = json.dumps(score.metadata or {})
    if isinstance(score.value, str):
        out["string_value"] = score.value
    else:
        out["value"] = _text(score.value)
    match score.subject:
        case None:
            pass
        case subject if subject.kind == "observation":
            out |= {"observation_id": subject.id, "trace_id": subject.trace_id}
        case subject:
            column = {"trace": "trace_id", "session": "session_id", "experiment": "dataset_run_id"}[subject.kind]
            out[column] = subject.id
    return out


def _text(value: Any) -> str | None:
    match value:
        case None | str():
            return value.value if isinstance(value, Enum) else value
        case bool():
            return "true" if value else "false"
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case int() | float():
            return repr(value)
        case _:
            return json.dumps(value, ensure_ascii=False)
