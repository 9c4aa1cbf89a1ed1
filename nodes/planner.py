"""planner: what is looked into, in which order.

Rule policy: every candidate of the first screen is measured, and every detector with a query of its own looks. A
question narrows this to the kinds that it names; one that names none gets the full tour, and the plan says so.

Model policy: see `hansei.nodes.planning`. It is asked only when the context names a model. Detectors with a query of
their own then look here, and not once more as analysts, so that the model sees their candidates as well.
"""

from __future__ import annotations

import re
from typing import Any, NotRequired

from langgraph.runtime import Runtime
from typing_extensions import TypedDict

from hansei.context import Context
from hansei.contracts import PlanItem
from hansei.nodes.again import Remembered, known_of, to_measure
from hansei.nodes.first_look import first_look
from hansei.nodes.inquiries import settled, task_of, unanswerable
from hansei.nodes.planning import Choice, choose, usage_of
from hansei.nodes.scope import (
    CANDIDATES,
    Costs,
    Scope,
    Screened,
    Steps,
    Task,
    bill,
    context_of,
    dataset_of,
    left_out,
    strongest,
)
from hansei.tools.language_model import endpoint_of, model_meter_of
from hansei.tools.playbook.catalogue import DETECTORS
from hansei.tools.playbook.conclude import Draft

NAMES: dict[str, tuple[str, ...]] = {
    "error": ("error", "fail", "broken", "exception", "crash"),
    "silent_failure": ("silent", "fail", "empty", "wrong result"),
    "answer": ("refus", "declin", "empty answer", "no answer", "blank", "silent"),
    "language_mix": ("language", "translat", "english", "japanese"),
    "empty_retrieval": ("retriev", "empty", "search", "nothing found", "no result", "rag"),
    "truncation": ("trunc", "cut off", "incomplete", "max_tokens", "token limit", "unfinished answer"),
    "loop": ("loop", "repeat", "again and again", "stuck"),
    "runaway": ("runaway", "steps", "endless", "never stop", "long trace"),
    "quality": ("quality", "score", "feedback", "rating", "worse answer", "satisf", "thumb"),
    "judge_disagreement": ("judge", "evaluator", "disagree", "agree"),
    "cost": ("cost", "money", "expens", "spend", "bill", "dollar", "price", "cheap"),
    "cache": ("cache", "cost", "expens", "bill"),
    "latency": ("slow", "latency", "fast", "wait", "time", "duration", "p95", "speed"),
    "first_token_latency": ("first token", "ttft", "stream", "slow", "latency", "start answering"),
    "token_usage": ("token", "context", "prompt length", "cost", "expens"),
    "unfinished": ("unfinished", "hang", "never end", "never finish", "stuck"),
    "instrumentation_gap": ("instrument", "missing", "gap", "coverage", "not recorded", "blind"),
    "traffic": ("traffic", "volume", "usage", "users", "requests", "fewer", "drop"),
}
"""Words in a question → the detectors that they call for."""


class PlannerInput(TypedDict):
    """The question and the first screen."""

    scope: Scope
    screened: dict[str, Screened]
    costs: Costs
    earlier: NotRequired[list[dict[str, Any]]]
    remembered: NotRequired[Remembered | None]


class PlannerOutput(TypedDict):
    """The plan as it is reported, and as tasks for the analysts."""

    plan: list[dict[str, Any]]
    tasks: list[Task]
    screened: dict[str, Screened]
    scope: Scope
    usage: dict[str, Any]
    costs: Costs
    investigations: dict[str, Any]


def planner(state: PlannerInput, runtime: Runtime[Context]) -> dict[str, Any]:
    """Turns the first screen into tasks for the analysts."""
    steps = Steps(runtime, "planner", "Planning")
    question = state["scope"]["question"]
    named = called_for(question)
    everything = "; the question names no kind of finding, so everything is looked at" if question and not named else ""
    choice = Choice(named or frozenset(NAMES), everything)
    said: dict[str, Any] = {}
    own: dict[str, Screened] = {}
    context = context_of(runtime)
    if endpoint := endpoint_of(context, state["scope"]["run_id"]):
        steps.running("Asking the model")
        meter = model_meter_of(state["scope"]["run_id"], context.model_budget, context.model_prices)
        most, earlier = context.model_budget.questions, state.get("earlier") or ()
        dataset = dataset_of(state["scope"], runtime, state["costs"])

        def look(detectors: frozenset[str]) -> dict[str, Screened]:
            own.update(first_look(detectors, dataset))
            return {**state["screened"], **own}

        choice = choose(choice, state["scope"], look, named, endpoint, meter, most, earlier)
        notes = [*state["scope"]["notes"], *endpoint.prompts.notes, *choice.notes]
        said = {
            "scope": {**state["scope"], "notes": notes}, "usage": usage_of(meter),
            "costs": bill("planner", dataset.reader),
        }  # fmt: skip
        if choice.unanswerable and question:
            said["investigations"] = {"q0": {"investigation": unanswerable(question).model_dump(mode="json")}}
    plan: list[PlanItem] = []
    tasks: list[Task] = []
    changed = {name: {**screened, "candidates": []} for name, screened in own.items()}
    known = {**state["screened"], **own}
    measured: set[str] = set()
    for detector in DETECTORS:
        if detector.name not in choice.detectors:
            changed[detector.name] = {
                "status": "skipped", "reason": "the question is about something else", "slices": 0, "candidates": [],
            }  # fmt: skip
            continue
        screened = known.get(detector.name)
        itself = detector.name not in state["screened"]
        if screened is not None and not screened["candidates"] and not itself:
            continue
        found = None
        if screened is not None:
            candidates = CANDIDATES.validate_python(screened["candidates"])
            chosen, _ = strongest(candidates)
            measured |= {Draft(candidate=candidate).id for candidate in chosen}
            weaker = left_out(len(candidates) - len(chosen))
            found = [candidate.model_dump() for candidate in chosen]
            if weaker:
                reason = "; ".join(part for part in (screened["reason"], weaker) if part)
                changed[detector.name] = {**screened, "status": "partial", "reason": reason}
        reason = (
            f"{len(found)} slice{'s' if len(found) != 1 else ''} passed the first screen"
            if found is not None and not itself
            else "it looks at the data itself"
        ) + choice.why
        if words := choice.reasons.get(detector.name):
            reason += f"; {words}"
        number = f"t{len(tasks) + 1}"
        tasks.append(
            {
                "id": number, "detector": detector.name, "question": detector.question, "reason": reason,
                "candidates": found,
            }
        )  # fmt: skip
        plan.append(PlanItem(id=number, detector=detector.name, question=detector.question, reason=reason))
    for task in (task_of(settled(inquiry, measured)) for inquiry in choice.inquiries):
        tasks.append(task)
        plan.append(PlanItem(id=task["id"], detector="", question=task["question"], reason=task["reason"]))
    tasks += _again(state.get("remembered"))
    steps.finished(f"{len(tasks)} tasks: {', '.join(task['detector'] or task['id'] for task in tasks)}")
    return {"plan": [item.model_dump() for item in plan], "tasks": tasks, "screened": changed, **said}


def _again(remembered: Remembered | None) -> list[Task]:
    """Findings of the ledger that are open are measured again, whatever the question is about."""
    known, _ = to_measure(known_of(remembered))
    if not known:
        return []
    return [
        {
            "id": "a1", "detector": "ledger", "question": "What has become of earlier findings?",
            "reason": f"{len(known)} are open", "candidates": [],
            "again": [one.model_dump(mode="json") for one in known],
        }
    ]  # fmt: skip


def called_for(question: str | None) -> frozenset[str]:
    """The detectors that a question names; none when there is no question or it names none."""
    text = re.sub(r"\s+", " ", (question or "").lower())
    return frozenset(name for name, words in NAMES.items() if any(word in text for word in words))
