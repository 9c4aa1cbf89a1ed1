"""critic: doubts every draft, by queries of its own.

Rule policy: each candidate that holds by the analyst's numbers is derived again by another road, looked at for a shift
of the mix and for a single user behind it; then the ones that stand are held against each other, so that an effect of
another finding is told there. A finding that falls because one user makes it, or because the mix of apps moved while
one app changed, is sent back to the analyst once more, about that user or that app.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from langgraph.runtime import Runtime
from typing_extensions import TypedDict

from hansei.context import Context
from hansei.contracts import Evidence, Finding
from hansei.errors import BudgetExceeded, ModelFailed
from hansei.nodes.doubting import Judge, doubt, doubt_proposals
from hansei.nodes.rivalling import parts_alone, rivals_of
from hansei.nodes.scope import (
    ASIDE,
    Costs,
    Scope,
    Screened,
    Steps,
    Task,
    asking_dataset,
    bill,
    context_of,
    dataset_of,
    drafts_of,
    facts_of,
    observations_of,
    place_of,
)
from hansei.tools.clickhouse import Reader
from hansei.tools.langfuse.dataset import Dataset
from hansei.tools.language_model import endpoint_of, model_meter_of
from hansei.tools.playbook.catalogue import detector_of
from hansei.tools.playbook.checks import changes_by_app
from hansei.tools.playbook.conclude import Conclusion, Draft, Known, conclude
from hansei.tools.playbook.drafting import narrowed
from hansei.tools.playbook.model import Candidate
from hansei.tools.playbook.parts import kinds_of_traffic, top_users
from hansei.tools.playbook.rivals import TOLD, Rival, ask_rival

MOST_ROUNDS = 2
"""How often the critic may send tasks back."""


class CriticInput(TypedDict):
    """The drafts, and what was looked at."""

    scope: Scope
    drafts: dict[str, dict[str, Any]]
    screened: dict[str, Screened]
    rounds: int
    costs: Costs
    proposed: dict[str, dict[str, Any]]
    usage: dict[str, Any]


class CriticOutput(TypedDict):
    """The drafts with the critic's evidence, and what it sends back."""

    drafts: dict[str, dict[str, Any]]
    screened: dict[str, Screened]
    costs: Costs
    tasks: list[Task]
    rounds: int
    proposed: dict[str, dict[str, Any]]
    scope: Scope
    usage: dict[str, Any]


def critic(state: CriticInput, runtime: Runtime[Context]) -> dict[str, Any]:
    """Adds the critic's evidence to the drafts and names what has to be looked at once more.

    When the run's budget is spent before it is done, the detectors whose findings it could not doubt say so. What a
    model proposes is doubted last and aside, by the same questions, when the rules' drafts are settled.
    """
    steps = Steps(runtime, "critic", f"Doubting {len(state['drafts'])} candidates")
    dataset = dataset_of(state["scope"], runtime, state["costs"])
    drafts = drafts_of(state["drafts"])
    facts, place = facts_of(state["scope"]), place_of(state["scope"], runtime)
    slices = {name: entry["slices"] for name, entry in state["screened"].items()}
    language = state["scope"]["language"]

    known: Known = {}

    def judge(*, tell: bool = True) -> Conclusion:
        return conclude(drafts, facts, slices, place, language, final=False, tell=tell, known=known)

    standing = _remembering(drafts, lambda: judge(tell=False).findings)

    before = dict(drafts)
    spent = ""
    notes: list[str] = []
    context = context_of(runtime)
    endpoint = endpoint_of(context, state["scope"]["run_id"])
    used = state.get("usage") or {}
    meter = model_meter_of(state["scope"]["run_id"], context.model_budget, context.model_prices, used)

    def rivals(findings: Sequence[Finding]) -> list[tuple[str, Callable[[], Evidence]]]:
        if endpoint is None:
            return []
        steps.running("Asking the model for rival explanations")
        ids = {finding.id for finding in findings}
        told = [finding for finding in judge().findings if finding.id in ids]
        try:
            proposals = rivals_of(told, drafts, endpoint, meter)
        except ModelFailed as failure:
            notes.append(f"Doubted by rules alone: {failure.message[:1].lower()}{failure.message[1:]}")
            return []
        return [(id, _asked(dataset, drafts[id], rival, number)) for number, (id, rival) in enumerate(proposals, 1)]

    try:
        doubt(dataset, drafts, standing, observations_of(state["scope"]), facts, rivals=rivals)
    except BudgetExceeded as error:
        spent = error.message
        steps.running(spent)
    changed = sorted(key for key, draft in drafts.items() if draft is not before[key])
    conclusion = judge()
    proposed = drafts_of(state.get("proposed") or {})
    back: list[Task] = []
    if state["rounds"] < MOST_ROUNDS and not spent:
        back = [*_send_back(conclusion, drafts), *parts_alone(conclusion.findings, drafts, proposed, language)]
    aside: list[Reader] = []
    if proposed and not back:
        own = asking_dataset(state["scope"], runtime, state["costs"])
        aside.append(own.reader)
        proposed = doubt_proposals(own, drafts, proposed, facts, slices, place, observations_of(state["scope"]))
    steps.finished(
        f"{len(conclusion.findings)} confirmed, {len(conclusion.refuted)} not"
        + (f", {len(back)} looked at once more" if back else ""),
        rows_read=sum(item.rows_read for key in changed for item in drafts[key].evidence),
    )
    return {
        "drafts": {key: drafts[key].model_dump(mode="json") for key in changed},
        "tasks": back,
        "rounds": state["rounds"] + 1,
        "screened": _not_doubted(conclusion.findings, drafts, state["screened"], spent) if spent else {},
        "proposed": {key: draft.model_dump(mode="json") for key, draft in proposed.items()},
        "costs": {**bill("critic", dataset.reader), **bill(f"{ASIDE} critic", *aside)},
        **({"usage": meter.stored} if endpoint is not None else {}),
        **({"scope": {**state["scope"], "notes": [*state["scope"]["notes"], *notes]}} if notes else {}),
    }


def _remembering(drafts: Mapping[str, Draft], judge: Judge) -> Judge:
    """What stands, worked out anew only when a draft has changed since it was asked for."""
    last: list[tuple[list[Draft], Sequence[Finding]]] = []

    def standing() -> Sequence[Finding]:
        now = list(drafts.values())
        if not last or len(last[0][0]) != len(now) or any(a is not b for a, b in zip(last[0][0], now, strict=True)):
            last[:] = [(now, judge())]
        return last[0][1]

    return standing


def _asked(dataset: Dataset, draft: Draft, rival: Rival, number: int) -> Callable[[], Evidence]:
    """The question whether a rival explanation holds."""
    _, metric = detector_of(draft.candidate.metric)
    return partial(ask_rival, dataset, metric, draft.candidate, rival, f"{draft.id}.rival{number}")


def _not_doubted(
    findings: Sequence[Finding], drafts: Mapping[str, Draft], screened: Mapping[str, Screened], reason: str
) -> dict[str, dict[str, str]]:
    """What to say of the detectors whose findings stand without having been derived again."""
    names = {drafts[finding.id].candidate.detector for finding in findings if not drafts[finding.id].has("rederive")}
    said = {name: screened[name]["reason"] if name in screened else "" for name in names}
    doubt = f"not every finding was derived again. {reason}"
    return {
        name: {"status": "partial", "reason": "; ".join(part for part in (said[name], doubt) if part)}
        for name in sorted(names)
    }


def _send_back(conclusion: Conclusion, drafts: dict[str, Draft]) -> list[Task]:
    """New tasks: a finding that a single user makes, or of which a single app carries the change, is measured again
    about that."""
    found: list[Narrower] = []
    for finding in conclusion.refuted:
        failed = {check.name for check in finding.checks if check.passed is False} - TOLD
        candidate = drafts[finding.id].candidate
        narrower = _one_user(finding, candidate) if failed == {"one_user"} else None
        if narrower is None and "mix_shift" in failed and failed <= _DILUTED:
            narrower = _one_app(finding, candidate)
        if narrower is not None:
            found.append(narrower)
    tasks: dict[str, Task] = {}
    for candidate, question, reason in found:
        id = Draft(candidate=candidate).id
        if id not in drafts and id not in tasks:
            tasks[id] = {
                "id": f"r{len(tasks) + 1}", "detector": candidate.detector, "question": question, "reason": reason,
                "candidates": [candidate.model_dump()],
            }  # fmt: skip
    return list(tasks.values())


Narrower = tuple[Candidate, str, str]
"""A candidate about a part of another, the question about it, and the reason for it."""

_DILUTED = frozenset({"mix_shift", "not_by_chance", "large_enough"})
"""Checks that fail when a change in one place is told of a wider one, with other traffic in it."""

_CARRIES = 0.6
"""An app with at least this share of the change within the apps is where it is."""


def _one_user(finding: Finding, candidate: Candidate) -> Narrower | None:
    users = top_users(finding.evidence)
    metric = detector_of(finding.metric)[1]
    by_nature = metric.shape in ("mean", "quantile") and metric.unit != "usd"
    if not users or (by_nature and float(users[0]["reference_x"]) < metric.min_n):
        # That a new user's calls are long or slow is no change of anything: users differ by what they ask.
        return None
    narrow = narrowed(candidate, {"user_id": str(users[0]["user_id"])}, float(users[0]["reference_x"]))
    return narrow, "Is it this one user?", "without this user the change is gone"


def _one_app(finding: Finding, candidate: Candidate) -> Narrower | None:
    kinds = kinds_of_traffic(finding.evidence)
    if kinds is None or "trace_name" in finding.segment or candidate.suspicion == "mix_shift":
        return None
    metric = detector_of(finding.metric)[1]
    sign = metric.worse * (-1 if finding.direction == "improvement" else 1)
    changed = changes_by_app(kinds, sign=sign, least=metric.min_n)
    total = sum(change for change in changed.values() if change > 0)
    app = max(sorted(changed), key=lambda name: changed[name], default="")
    if not app or len(changed) < 2 or total <= 0 or changed[app] < _CARRIES * total:
        return None
    narrow = narrowed(candidate, {"trace_name": app}, metric.min_n)
    return narrow, "Is it this one app?", "the mix moved, and this app carries what changed"
