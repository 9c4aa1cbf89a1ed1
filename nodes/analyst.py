"""analyst: measures the candidates of one task, each with its own queries, or looks into one open question.

Several run in parallel, one per task. Rule policy: the detector's measures. What comes back are drafts: a candidate and
its evidence; the numbers are computed from them later, so an analyst cannot get one wrong.

Model policy: open questions, which only a model asks; see `hansei.nodes.investigating`.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NotRequired

from langgraph.runtime import Runtime
from typing_extensions import TypedDict

from hansei.context import Context
from hansei.contracts.since import Known
from hansei.errors import ConnectionFailed, HanseiError, QueryFailed
from hansei.nodes.again import ask_again
from hansei.nodes.desk import Desk
from hansei.nodes.first_look import screened_as
from hansei.nodes.inquiries import Inquiry
from hansei.nodes.investigating import investigate
from hansei.nodes.scope import (
    ASIDE,
    CANDIDATES,
    Costs,
    Scope,
    Screened,
    Steps,
    Task,
    asking_dataset,
    bill,
    context_of,
    dataset_of,
    facts_of,
    many,
    strongest,
)
from hansei.tools.at_once import at_once
from hansei.tools.clickhouse import Reader
from hansei.tools.language_model import endpoint_of, model_meter_of
from hansei.tools.playbook.catalogue import detector as detector_named
from hansei.tools.playbook.conclude import Draft
from hansei.tools.playbook.drafting import measure_candidate
from hansei.tools.playbook.model import Screening


class AnalystInput(TypedDict):
    """One task, and the scope to look at."""

    scope: Scope
    task: Task
    costs: Costs
    usage: NotRequired[dict[str, Any]]


class AnalystOutput(TypedDict):
    """What was measured, by fingerprint, and how the detector fared."""

    drafts: dict[str, dict[str, Any]]
    screened: dict[str, Screened]
    again: dict[str, list[dict[str, Any]]]
    costs: Costs
    proposed: dict[str, dict[str, Any]]
    investigations: dict[str, dict[str, Any]]
    usage: dict[str, Any]


ATTEMPTS = 3
"""How often the graph runs an analyst whose failure `is_transient`."""


def analyst(state: AnalystInput, runtime: Runtime[Context]) -> dict[str, Any]:
    """Screens the data if the profile could not, then measures what passed.

    A query that is refused ends this task alone: what was measured before it and the others' work stand, and the
    coverage statement says what is missing.

    Raises:
        ConnectionFailed: ClickHouse is gone, so nobody can measure anything now; the run can be resumed from here.
        QueryFailed: `is_transient`, and not the last attempt.
    """
    task = state["task"]
    if "inquiry" in task:
        return _investigated(Inquiry.model_validate(task["inquiry"]), state, runtime)
    if task.get("again"):
        return _again(state, runtime)
    if "aside" in task:
        return _aside(task["aside"], state, runtime)
    detector = detector_named(task["detector"])
    steps = Steps(runtime, "analyst", detector.question, task=detector.name)
    out: dict[str, Any] = {"drafts": {}, "screened": {}}
    readers: list[Reader] = []
    try:
        dataset = dataset_of(state["scope"], runtime, state["costs"])
        readers.append(dataset.reader)
        if task["candidates"] is None:
            if detector.screen_data is None:
                raise ValueError(f"the task for {detector.name} names no candidates, and it cannot screen by itself")
            out["screened"][detector.name] = screened_as(Screening([], 0, "skipped", ""), [])
            screening = detector.screen_data(dataset)
            candidates, left_out = strongest(screening.candidates)
            out["screened"][detector.name] = screened_as(screening, [], left_out)
        else:
            candidates = CANDIDATES.validate_python(task["candidates"])
        measured, failed = at_once([partial(measure_candidate, dataset, candidate) for candidate in candidates])
        drafts = [draft for draft in measured if draft is not None]
        out["drafts"] = {draft.id: draft.model_dump(mode="json") for draft in drafts}
        if failed is not None:
            raise failed
    except HanseiError as error:
        steps.failed(error.message)
        attempt = runtime.execution_info.node_attempt if runtime.execution_info else ATTEMPTS
        if isinstance(error, ConnectionFailed) or (is_transient(error) and attempt < ATTEMPTS):
            raise
        out["screened"].setdefault(detector.name, {}).update({"status": "partial", "reason": error.message})
        return {**out, "costs": bill("analyst", *readers)}
    read = sum(item.rows_read for draft in drafts for item in draft.evidence)
    steps.finished(f"{many(len(drafts), 'candidate', 'candidates')} measured", rows_read=read)
    return {**out, "costs": bill("analyst", *readers)}


def _investigated(inquiry: Inquiry, state: AnalystInput, runtime: Runtime[Context]) -> dict[str, Any]:
    """The open question's part of the state: the investigation, or why there is none."""
    steps = Steps(runtime, "analyst", inquiry.question, task=inquiry.id)
    scope, context = state["scope"], context_of(runtime)
    endpoint = endpoint_of(context, scope["run_id"])
    if endpoint is None:
        raise ValueError("an open question needs a model")
    meter = model_meter_of(scope["run_id"], context.model_budget, context.model_prices, state.get("usage"))
    dataset, node = asking_dataset(scope, runtime, state["costs"]), f"analyst {inquiry.id}"
    desk = Desk(dataset, endpoint, meter, node, context.model_budget, facts_of(scope), scope["language"], steps.running)
    found: dict[str, Any] = {"about": [Draft(candidate=candidate).id for candidate in inquiry.candidates]}
    drafts: dict[str, Draft] = {}
    try:
        investigated = investigate(inquiry, desk)
        drafts = investigated.drafts
        found |= {
            "investigation": investigated.investigation.model_dump(mode="json"),
            "about": list(dict.fromkeys([*found["about"], *drafts])),
        }
        steps.finished(f"{investigated.investigation.verdict}: {len(drafts)} proposals")
    except ConnectionFailed:
        raise
    except HanseiError as failure:
        steps.failed(failure.message)
        told = f"{failure.message[:1].lower()}{failure.message[1:]}"
        found["note"] = f"An open question was not looked into ({inquiry.question}): {told}"
    used = meter.by_node.get(node)
    return {
        "proposed": {key: draft.model_dump(mode="json") for key, draft in drafts.items()},
        "investigations": {inquiry.id: found},
        "usage": {node: used.model_dump()} if used else {},
        "costs": bill(f"{ASIDE} {inquiry.id}", dataset.reader),
    }


def _aside(told: dict[str, Any], state: AnalystInput, runtime: Runtime[Context]) -> dict[str, Any]:
    """A part of a finding that the critic's model asked about: measured as what a model proposes."""
    task = state["task"]
    steps = Steps(runtime, "analyst", task["question"], task=task["id"])
    dataset = asking_dataset(state["scope"], runtime, state["costs"])
    drafts: dict[str, Draft] = {}
    try:
        for candidate in CANDIDATES.validate_python(task["candidates"]):
            draft = measure_candidate(dataset, candidate)
            drafts[draft.id] = draft
        steps.finished(f"{len(drafts)} measured")
    except ConnectionFailed:
        raise
    except HanseiError as error:
        steps.failed(error.message)
    return {
        "proposed": {key: draft.model_dump(mode="json") for key, draft in drafts.items()},
        "investigations": {task["id"]: {"investigation": told, "about": list(drafts)}} if drafts else {},
        "costs": bill(f"{ASIDE} {task['id']}", dataset.reader),
    }


def _again(state: AnalystInput, runtime: Runtime[Context]) -> dict[str, Any]:
    """Measures findings of the ledger again. One that cannot be asked about is left as it was, and that is told."""
    known = [Known.model_validate(one) for one in state["task"].get("again", [])]
    steps = Steps(runtime, "analyst", state["task"]["question"], task="ledger")
    dataset = dataset_of(state["scope"], runtime, state["costs"])
    out: dict[str, list[dict[str, Any]]] = {}
    failed = ""
    for one in known:
        try:
            out[one.id] = [item.model_dump(mode="json") for item in ask_again(dataset, one)]
        except ConnectionFailed:
            raise
        except HanseiError as error:
            failed = error.message
    told = f"{len(out)} of {len(known)} earlier findings measured again"
    if failed:
        steps.failed(f"{told}. {failed}")
    else:
        steps.finished(told, rows_read=sum(item["rows_read"] for items in out.values() for item in items))
    return {"again": out, "costs": bill("analyst", dataset.reader)}


def is_transient(error: Exception) -> bool:
    """Whether the same query may succeed when it is sent again; never true of bad SQL or a missing grant."""
    return isinstance(error, QueryFailed) and error.retryable
