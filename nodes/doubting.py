"""The order in which drafts are doubted: which questions are put to which, until nothing new stands or falls."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial

from hansei.contracts import Evidence, Finding
from hansei.errors import BudgetExceeded, PermissionMissing, QueryFailed
from hansei.tools.at_once import at_once
from hansei.tools.langfuse.dataset import Dataset
from hansei.tools.playbook.assess import Facts, evidence_for
from hansei.tools.playbook.catalogue import detector_of
from hansei.tools.playbook.conclude import Draft, Known, Place, conclude
from hansei.tools.playbook.doubt import Cause, parts, rederive, without
from hansei.tools.playbook.echoes import WITHOUT, cause_rank, may_echo, several
from hansei.tools.playbook.measure import examples
from hansei.tools.playbook.model import Metric
from hansei.tools.playbook.multiplicity import Slices, and_also
from hansei.tools.playbook.onset import PURPOSE as ONSET
from hansei.tools.playbook.onset import around
from hansei.tools.playbook.severity import harm
from hansei.tools.playbook.tell_tales import PURPOSE as OUTPUTS
from hansei.tools.playbook.tell_tales import outputs

MOST_PAIRS = 48
"""Pairs of findings that are held against each other."""

MOST_CAUSES = 5
"""Of them, pairs with the same possible echo, by the harm of the causes: else none are left for the widest findings."""

Question = Callable[[Dataset, Metric, Draft, str], Evidence]
"""(dataset, metric, draft, evidence id) → a query of the critic's with its answer."""


Judge = Callable[[], Sequence[Finding]]
"""What stands by the drafts as they are now."""

Asked = tuple[str, Callable[[], Evidence]]
"""A finding's id, and a question about it."""

Rivals = Callable[[Sequence[Finding]], Sequence[Asked]]
"""What stands → questions of others, each with the finding's id."""


def doubt(
    dataset: Dataset,
    drafts: dict[str, Draft],
    judge: Judge,
    observations: int,
    facts: Facts,
    only: Collection[str] | None = None,
    rivals: Rivals | None = None,
) -> None:
    """Adds the critic's evidence to the drafts.

    Args:
        dataset: the data of the run.
        drafts: by fingerprint; changed.
        judge: see `Judge`.
        observations: how many the project has in both periods.
        facts: as in `conclude`.
        only: fingerprints of those that are doubted; the others are taken as they are, and may explain these.
        rivals: what else is asked about what stands.

    Raises:
        HanseiError: a query was not answered; the others' answers are kept.
    """

    def standing() -> Sequence[Finding]:
        return [finding for finding in judge() if only is None or finding.id in only]

    def put(questions: Mapping[str, Question], *, but: Collection[str] = ()) -> list[Asked]:
        """The questions for what stands, where they have not been put to it yet.

        Args:
            but: findings that are not asked.
        """
        asked: list[Asked] = []
        for finding in standing():
            if finding.id in but:
                continue
            draft, (_, metric) = drafts[finding.id], detector_of(finding.metric)
            asked += [
                (finding.id, partial(question, dataset, metric, draft, f"{finding.id}.{purpose}"))
                for purpose, question in questions.items()
                if not draft.has(purpose) and _applies(purpose, metric, finding)
            ]
        return asked

    def ask(questions: Mapping[str, Question]) -> bool:
        """Puts the questions; whether there were any."""
        _keep(drafts, asked := put(questions))
        return bool(asked)

    # What turns out to be an echo needs no further question; when its cause falls, it stands again and is asked.
    more = True
    while more:
        all_standing = judge()
        perhaps = {one.id for one in all_standing if any(_may_be_its_echo(one, two, drafts) for two in all_standing)}
        first = put({"parts": _parts}, but=perhaps)
        _hold_against_each_other(dataset, drafts, judge, only, first)
        more = ask({"parts": _parts}) or bool(first)
    _hold_against_several(dataset, drafts, judge, only, facts)
    # Only what stands is put to the rest; when one falls, what was thought to be its echo stands again.
    while ask({"rederive": partial(_rederive, observations=observations)}):
        pass
    if rivals is not None:
        _keep(drafts, rivals(standing()))
        # What is lowered told others, which stand again.
        while ask({"rederive": partial(_rederive, observations=observations)}):
            pass
    onsets = {finding.id: finding.onset for finding in standing() if finding.onset is not None}
    said = partial(_outputs, observations=observations)
    ask({"examples": _examples, "detail": _detail, OUTPUTS: said, ONSET: partial(_hours, onsets=onsets)})


def doubt_proposals(
    dataset: Dataset,
    drafts: Mapping[str, Draft],
    proposals: Mapping[str, Draft],
    facts: Facts,
    slices: Slices,
    place: Place,
    observations: int,
) -> dict[str, Draft]:
    """The proposals with the critic's evidence; what could not be asked stays undoubted, and so is not confirmed.

    Args:
        drafts: of the rules, which are taken as they are.
        proposals: see `hansei.tools.playbook.proposals`.
        slices: that the rules compared.
        dataset, facts, place, observations: as in `doubt` and `conclude`.

    Raises:
        ConnectionFailed: ClickHouse is gone.
    """
    together = {**drafts, **{key: draft for key, draft in proposals.items() if key not in drafts}}
    own = frozenset(together) - frozenset(drafts)
    looked = and_also(slices, [together[key].candidate.detector for key in own])

    known: Known = {}

    def judge() -> Sequence[Finding]:
        return conclude(together, facts, looked, place, final=False, tell=False, known=known).findings

    with suppress(BudgetExceeded, PermissionMissing, QueryFailed):
        doubt(dataset, together, judge, observations, facts, own)
    return {key: together[key] for key in proposals}


def _hold_against_each_other(
    dataset: Dataset, drafts: dict[str, Draft], judge: Judge, only: Collection[str] | None, first: Sequence[Asked]
) -> None:
    """Measures findings without the traces of others that could explain them, likeliest causes first.

    A finding that turns out to be an echo is not held against any more, and explains nothing itself, but for a slow
    step: what is slow around it is told where it is. So all are asked at once whose own causes are settled.

    Args:
        first: other questions, which are put with the first of these.
    """
    waiting = sorted(judge(), key=cause_rank)
    if only is not None:
        waiting = [finding for finding in waiting if finding.id in only]
    pairs = 0
    slow: list[Finding] = []
    while waiting:
        standing = sorted(judge(), key=cause_rank)
        open_ones = {finding.id for finding in waiting}
        causes_of = {
            finding.id: [
                cause
                for cause in (*standing, *(slow if finding.kind == "latency" else ()))
                if _may_be_its_echo(finding, cause, drafts)
            ]
            for finding in waiting
        }
        now = [one for one in waiting if not any(cause.id in open_ones for cause in causes_of[one.id])] or waiting[:1]
        asked: list[Asked] = []
        for finding in now:
            draft, (_, metric) = drafts[finding.id], detector_of(finding.metric)
            causes = sorted(causes_of[finding.id], key=lambda cause: -harm(cause.kind, cause.impact))[:MOST_CAUSES]
            causes = [cause for cause in causes if not draft.has(f"{WITHOUT}{cause.id}")]
            for cause in causes[: MOST_PAIRS - pairs]:
                pairs += 1
                id = f"{finding.id}.without.{cause.id}"
                asked.append(
                    (finding.id, partial(without, dataset, metric, draft.candidate, [_cause(cause, drafts)], id))
                )
        if asked:
            _keep(drafts, [*asked, *first])
            first = ()
        done = {finding.id for finding in now}
        left = {finding.id for finding in judge()}
        slow += [finding for finding in now if finding.kind == "latency" and finding.id not in left]
        waiting = [finding for finding in waiting if finding.id not in done]
    _keep(drafts, first)


def _hold_against_several(
    dataset: Dataset, drafts: dict[str, Draft], judge: Judge, only: Collection[str] | None, facts: Facts
) -> None:
    """Measures what no single finding explains without the traces of all that may explain it together."""
    standing = judge()
    asked: list[Asked] = []
    for finding in standing:
        if only is None or finding.id in only:
            causes = [_cause(cause, drafts) for cause in several(finding, standing, facts)]
            draft, (_, metric) = drafts[finding.id], detector_of(finding.metric)
            ids = "+".join(id for id, _, _ in causes)
            if causes and not draft.has(f"{WITHOUT}{ids}"):
                id = f"{finding.id}.without.{ids}"
                asked.append((finding.id, partial(without, dataset, metric, draft.candidate, causes, id)))
    _keep(drafts, asked)


def _cause(finding: Finding, drafts: Mapping[str, Draft]) -> Cause:
    return finding.id, detector_of(finding.metric)[1], drafts[finding.id].candidate


def _may_be_its_echo(finding: Finding, cause: Finding, drafts: Mapping[str, Draft]) -> bool:
    """Whether it is worth a query: what happens in other apps alone has other traces."""
    mine, theirs = (set(drafts[one.id].candidate.apps) for one in (finding, cause))
    return may_echo(finding, cause) and not (mine and theirs and mine.isdisjoint(theirs))


def _keep(drafts: dict[str, Draft], asked: Sequence[Asked]) -> None:
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


def _parts(dataset: Dataset, metric: Metric, draft: Draft, id: str) -> Evidence:
    return parts(dataset, metric, draft.candidate, id)


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


def _outputs(dataset: Dataset, metric: Metric, draft: Draft, id: str, *, observations: int) -> Evidence:
    measured = evidence_for(draft.evidence, "measure")
    if measured is None:
        raise ValueError(f"{id}: what was not measured has no reference's value")
    return outputs(dataset, metric, draft.candidate, id, observations, measured)


def _hours(dataset: Dataset, metric: Metric, draft: Draft, id: str, *, onsets: Mapping[str, datetime]) -> Evidence:
    return around(dataset, metric, draft.candidate, id, onsets[draft.id])


def _applies(purpose: str, metric: Metric, finding: Finding) -> bool:
    """Whether a question says anything about this kind of finding."""
    if purpose == "rederive":
        return True
    if purpose == "detail":
        return detector_of(metric.name)[0].detail is not None
    if purpose == OUTPUTS:
        return finding.kind == "quality" and finding.direction != "improvement" and metric.judged
    if purpose == ONSET and (finding.onset is None or finding.comparison.against != "baseline"):
        return False
    return metric.shape != "count"
