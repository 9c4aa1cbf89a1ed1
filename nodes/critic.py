"""critic: doubts every draft, by queries of its own.

Rule policy: each candidate that holds by the analyst's numbers is derived again by another road, looked at for a shift
of the mix and for a single user behind it; then the ones that stand are held against each other, so that an effect of
another finding is told there. A finding that falls because one user makes it is sent back to the analyst once more,
about that user.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from langgraph.runtime import Runtime
from typing_extensions import TypedDict

from hansei.context import Context
from hansei.contracts import Comparison, Evidence, Finding
from hansei.errors import BudgetExceeded
from hansei.nodes.scope import (
    Costs,
    Scope,
    Screened,
    Steps,
    Task,
    at_once,
    bill,
    dataset_of,
    drafts_of,
    facts_of,
    observations_of,
    place_of,
)
from hansei.tools.langfuse.dataset import Dataset
from hansei.tools.playbook.assess import Facts, evidence_for
from hansei.tools.playbook.catalogue import detector_of
from hansei.tools.playbook.conclude import Conclusion, Draft, cause_rank, conclude, is_echo, may_echo
from hansei.tools.playbook.doubt import rederive, strata, users, without
from hansei.tools.playbook.measure import examples
from hansei.tools.playbook.model import Metric

MOST_ROUNDS = 2
"""How often the critic may send tasks back."""

MOST_PAIRS = 24
"""Pairs of findings that are held against each other."""

Question = Callable[[Dataset, Metric, Draft, str], Evidence]
"""(dataset, metric, draft, evidence id) → a query of the critic's with its answer."""


class CriticInput(TypedDict):
    """The drafts, and what was looked at."""

    scope: Scope
    drafts: dict[str, dict[str, Any]]
    screened: dict[str, Screened]
    rounds: int
    costs: Costs


class CriticOutput(TypedDict):
    """The drafts with the critic's evidence, and what it sends back."""

    drafts: dict[str, dict[str, Any]]
    screened: dict[str, Screened]
    costs: Costs
    tasks: list[Task]
    rounds: int


def critic(state: CriticInput, runtime: Runtime[Context]) -> dict[str, Any]:
    """Adds the critic's evidence to the drafts and names what has to be looked at once more.

    When the run's budget is spent before it is done, the detectors whose findings it could not doubt say so.
    """
    steps = Steps(runtime, "critic", f"Doubting {len(state['drafts'])} candidates")
    dataset = dataset_of(state["scope"], runtime, state["costs"])
    drafts = drafts_of(state["drafts"])
    facts, place = facts_of(state["scope"]), place_of(state["scope"], runtime)
    slices = sum(entry["slices"] for entry in state["screened"].values())
    observations = observations_of(state["scope"])

    def judge() -> Conclusion:
        return conclude(drafts, facts, slices, place, final=False)

    before = dict(drafts)

    def ask(findings: Sequence[Finding], questions: Mapping[str, Question]) -> bool:
        """Puts the questions to the findings that have not been put to them yet; whether there were any."""
        asked: list[tuple[str, Callable[[], Evidence]]] = []
        for finding in findings:
            draft, (_, metric) = drafts[finding.id], detector_of(finding.metric)
            asked += [
                (finding.id, partial(question, dataset, metric, draft, f"{finding.id}.{purpose}"))
                for purpose, question in questions.items()
                if not draft.has(purpose) and _applies(purpose, metric, finding)
            ]
        _keep(drafts, asked)
        return bool(asked)

    spent = ""
    try:
        while ask(judge().findings, {"strata": _strata}):
            pass
        _hold_against_each_other(dataset, drafts, judge, facts)
        # Only what stands is put to the rest; when one falls, what was thought to be its echo stands again.
        while ask(judge().findings, {"rederive": partial(_rederive, observations=observations), "users": _users}):
            pass
        ask(judge().findings, {"examples": _examples, "detail": _detail})
    except BudgetExceeded as error:
        spent = error.message
        steps.running(spent)
    changed = sorted(key for key, draft in drafts.items() if draft is not before[key])
    conclusion = judge()
    back = _send_back(conclusion.refuted, drafts) if state["rounds"] < MOST_ROUNDS and not spent else []
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
        "costs": bill("critic", dataset.reader),
    }


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


def _hold_against_each_other(
    dataset: Dataset, drafts: dict[str, Draft], judge: Callable[[], Conclusion], facts: Facts
) -> None:
    """Measures findings without the traces of others that could explain them, likeliest causes first.

    A finding that turns out to be an echo is not held against any more, and explains nothing itself.
    """
    standing = {finding.id: finding for finding in judge().findings}
    pairs = 0
    for finding in sorted(standing.values(), key=cause_rank):
        draft, (_, metric) = drafts[finding.id], detector_of(finding.metric)
        causes = [
            cause
            for cause in sorted(standing.values(), key=cause_rank)
            if may_echo(finding, cause) and not draft.has(f"without:{cause.id}")
        ][: MOST_PAIRS - pairs]
        pairs += len(causes)
        asked = []
        for cause in causes:
            other = (detector_of(cause.metric)[1], drafts[cause.id].candidate)
            id = f"{finding.id}.without.{cause.id}"
            asked.append((finding.id, partial(without, dataset, metric, draft.candidate, other, cause.id, id)))
        _keep(drafts, asked)
        if any(
            is_echo(finding, evidence, facts)
            for evidence in drafts[finding.id].evidence
            if evidence.purpose.startswith("without:")
        ):
            standing = {left.id: left for left in judge().findings}


def _keep(drafts: dict[str, Draft], asked: Sequence[tuple[str, Callable[[], Evidence]]]) -> None:
    """Asks all at once and puts each answer to its draft, named by its id.

    Raises:
        HanseiError: one was not answered; the others are kept.
    """
    answers, failed = at_once([question for _, question in asked])
    for (id, _), evidence in zip(asked, answers, strict=True):
        if evidence is not None:
            drafts[id] = Draft(candidate=drafts[id].candidate, evidence=[*drafts[id].evidence, evidence])
    if failed is not None:
        raise failed


def _strata(dataset: Dataset, metric: Metric, draft: Draft, id: str) -> Evidence:
    return strata(dataset, metric, draft.candidate, id)


def _users(dataset: Dataset, metric: Metric, draft: Draft, id: str) -> Evidence:
    return users(dataset, metric, draft.candidate, id)


def _rederive(dataset: Dataset, metric: Metric, draft: Draft, id: str, *, observations: int) -> Evidence:
    measured = evidence_for(draft.evidence, "measure")
    return rederive(dataset, metric, draft.candidate, id, observations, measured)


def _examples(dataset: Dataset, metric: Metric, draft: Draft, id: str) -> Evidence:
    measured = evidence_for(draft.evidence, "measure")
    if measured is None:
        raise ValueError(f"{id}: what was not measured has no worst day to take examples from")
    return examples(dataset, metric, draft.candidate, id, measured)


def _detail(dataset: Dataset, metric: Metric, draft: Draft, id: str) -> Evidence:
    detail = detector_of(metric.name)[0].detail
    if detail is None:
        raise ValueError(f"{id}: its detector has no query for details")
    return detail(dataset, draft.candidate, id)


def _applies(purpose: str, metric: Metric, finding: Finding) -> bool:
    """Whether a question says anything about this kind of finding."""
    if purpose == "rederive":
        return True
    if purpose == "detail":
        return detector_of(metric.name)[0].detail is not None
    if purpose == "examples":
        return metric.shape != "count"
    return metric.shape != "count" and (purpose == "users" or finding.comparison.against == "baseline")


def _send_back(refuted: Sequence[Finding], drafts: dict[str, Draft]) -> list[Task]:
    """New tasks: a finding that a single user makes is measured again about that user."""
    tasks: list[Task] = []
    for finding in refuted:
        failed = {check.name for check in finding.checks if check.passed is False}
        top = evidence_for(finding.evidence, "users")
        if failed != {"one_user"} or top is None or not top.rows:
            continue
        row = top.records()[0]
        mine = {"user_id": str(row["user_id"])}
        # A user whom the reference hardly knows is compared with everybody in it.
        known = mine if int(row["reference_x"]) >= detector_of(finding.metric)[1].min_n else {}
        candidate = drafts[finding.id].candidate.model_copy(
            update={
                "segment": {**finding.segment, **mine},
                "comparison": Comparison(
                    against=finding.comparison.against, segment={**finding.comparison.segment, **known}
                ),
            }
        )
        if Draft(candidate=candidate).id in drafts:
            continue
        tasks.append(
            {
                "id": f"r{len(tasks) + 1}",
                "detector": candidate.detector,
                "question": "Is it this one user?",
                "reason": "without this user the change is gone",
                "candidates": [candidate.model_dump()],
            }
        )
    return tasks
