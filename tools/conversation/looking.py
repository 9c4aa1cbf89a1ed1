"""The queries of an `Ask`: the analyst's, and then the critic's, which share nothing but the metric's definition.

A slice is measured by the same queries as a finding's candidate, in both periods, so the same functions make numbers
and intervals of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial

from hansei.contracts import Comparison, Evidence, Finding, Report, Segment
from hansei.contracts.asks import Ask, Breakdown, Compare, Examples, Measure, OnDay, Trace
from hansei.tools.conversation.naming import Unclear
from hansei.tools.conversation.splitting import part_to_doubt, parts_as_segments, split
from hansei.tools.langfuse.dataset import Dataset
from hansei.tools.langfuse.trace_tree import read_tree
from hansei.tools.playbook.assess import evidence_for
from hansei.tools.playbook.catalogue import detector_of
from hansei.tools.playbook.doubt import rederive
from hansei.tools.playbook.drafting import measure_candidate
from hansei.tools.playbook.measure import examples
from hansei.tools.playbook.model import Candidate
from hansei.tools.playbook.quality import is_lower_better
from hansei.tools.playbook.segments import condition, split_of

DAILY = ("traces_per_day", "error_rate", "cost_per_trace", "trace_latency_p95")
"""What is looked at on a day."""

OF_DATASET = frozenset({"project_id", "range_start", "range_end", "window_start", "environments"})
"""Parameters that every query may use, see `Dataset.parameters`."""


def slices_of(ask: Ask) -> list[tuple[str, str, Segment]]:
    """The slices that an `Ask` measures: (name of its evidence, metric, segment)."""
    match ask:
        case Compare():
            return [
                ("first", ask.metric, {**ask.segment, ask.dimension: ask.first}),
                ("second", ask.metric, {**ask.segment, ask.dimension: ask.second}),
            ]
        case Measure() | Breakdown():
            return [("all", ask.metric, ask.segment)]
        case OnDay():
            return [(name, name, ask.segment) for name in DAILY]
        case _:
            return []


def fits(ask: Ask, report: Report) -> bool:
    """Whether what an `Ask` names is there: for one that a model filled in."""
    finding = getattr(ask, "finding", None)
    if finding is not None and finding not in {f.id for f in (*report.findings, *report.refuted)}:
        return False
    if isinstance(ask, OnDay):
        return report.baseline.start.date() <= ask.day <= report.window.end.date()
    metric = getattr(ask, "metric", None)
    if metric is None:
        return True
    try:
        relation = detector_of(metric)[1].relation
        for segment in (part for _, _, part in slices_of(ask)):
            condition(segment, relation, "s")
        return not isinstance(ask, Breakdown) or split_of(ask.dimension, detector_of(metric)[1]) is not None
    except KeyError:
        return False


def askable(ask: Ask, report: Report) -> Ask:
    """An `Ask` of the rules whose rows can be looked up: of a named score its own metric, whatever was spoken of last.

    Raises:
        Unclear: the rows of its metric have no such column.
    """
    if not isinstance(ask, Measure | Breakdown | Compare) or fits(ask, report):
        return ask
    score = ask.segment.get("score_name")
    if score is not None and not ask.metric.startswith("score_"):
        about = {} if isinstance(ask, Compare) else {"finding": None}
        ask = ask.model_copy(update={"metric": _metric_of(score, report), **about})
    relation = detector_of(ask.metric)[1].relation
    for dimension, value in (pair for _, _, segment in slices_of(ask) for pair in segment.items()):
        try:
            condition({dimension: value}, relation, "s")
        except KeyError:
            raise Unclear("no_column", dimension=dimension, metric=ask.metric) from None
    return ask


def _metric_of(score: str, report: Report) -> str:
    """The metric of a score: a share where it is yes or no, as the report's health or a finding tells."""
    signs = report.health.signs if report.health else []
    is_share = any(one.subject == score and one.unit == "ratio" for one in signs)
    known = (f.metric for f in (*report.findings, *report.refuted) if f.segment.get("score_name") == score)
    better = "_lower_is_better" if is_lower_better(score) else ""
    plain = f"score_{'rate' if is_share else 'mean'}{better}"
    return next((metric for metric in known if metric.startswith(("score_mean", "score_rate"))), plain)


def candidate_for(metric: str, segment: Segment, report: Report) -> Candidate:
    """A slice as a candidate: the window against the same rows of the baseline.

    A slice that a finding holds against something else (a new version of a prompt against the ones before it) is held
    against that.

    Raises:
        Unclear: the metric has thresholds, and no finding of the report says which.
    """
    detector, definition = detector_of(metric)
    wanted = set(re.findall(r"\{(\w+):", f"{definition.x} {definition.y} {definition.where} {definition.source}"))
    known = next((f.parameters for f in (*report.findings, *report.refuted) if f.metric == metric), {})
    wanted -= {"slow_ms", *OF_DATASET}
    if not wanted <= known.keys():
        raise Unclear("thresholds", metric=metric)
    return Candidate(
        detector=detector.name,
        metric=metric,
        direction="regression",
        segment=segment,
        comparison=Comparison(against="baseline", segment=_reference(metric, segment, report)),
        parameters={name: known[name] for name in sorted(wanted)},
    )


def _reference(metric: str, segment: Segment, report: Report) -> Segment:
    for finding in (*report.findings, *report.refuted):
        if (finding.metric, finding.segment, finding.comparison.against) == (metric, segment, "baseline"):
            return finding.comparison.segment
    return segment


Job = Callable[[], list[Evidence]]


def looks(ask: Ask, report: Report, dataset: Dataset, number: int) -> list[Job]:
    """The analyst's part: what is asked, each for itself. Ids of evidence begin with the number of the question.

    A job raises NoData where there is no such trace, and HanseiError when a query fails.

    Raises:
        Unclear: it cannot be measured.
    """
    jobs: list[Job] = []
    for name, metric, segment in slices_of(ask):
        candidate = candidate_for(metric, segment, report)
        jobs.append(partial(_measured, dataset, candidate, f"q{number}.{name}"))
    if isinstance(ask, Breakdown):
        candidate, metric_of = candidate_for(ask.metric, ask.segment, report), detector_of(ask.metric)[1]
        jobs.append(lambda: [split(dataset, metric_of, candidate, ask.dimension, ask.value, f"q{number}.parts")])
    if isinstance(ask, Examples):
        finding = finding_of(ask.finding, report)
        jobs.append(lambda: [_examples(dataset, finding, ask.count, f"q{number}.examples")])
    if isinstance(ask, Trace):
        jobs.append(lambda: [read_tree(dataset, ask.trace, id=f"q{number}.trace").evidence])
    return jobs


def _measured(dataset: Dataset, candidate: Candidate, id: str) -> list[Evidence]:
    found = measure_candidate(dataset, candidate).evidence
    return [item.model_copy(update={"id": f"{id}.{item.purpose}"}) for item in found]


def doubts(
    ask: Ask, report: Report, dataset: Dataset, number: int, evidence: Sequence[Evidence]
) -> list[Callable[[], Evidence]]:
    """The critic's part: each slice once more from rows deduplicated without FINAL, by a flat aggregate.

    And one part of a breakdown whose parts overlap.
    """
    counted = report.coverage.observations
    observations = counted.window + counted.baseline
    jobs: list[Callable[[], Evidence]] = []
    for name, metric, segment in slices_of(ask):
        definition = detector_of(metric)[1]
        candidate = candidate_for(metric, segment, report)
        found = next(item for item in evidence if item.id == f"q{number}.{name}.measure")

        id = f"q{number}.{name}.rederive"
        jobs.append(partial(rederive, dataset, definition, candidate, id, observations, found))
    if isinstance(ask, Breakdown) and (part := _overlapping_part(ask, evidence)):
        definition = detector_of(ask.metric)[1]
        candidate = candidate_for(ask.metric, {**ask.segment, ask.dimension: part}, report)
        jobs.append(partial(rederive, dataset, definition, candidate, f"q{number}.part.rederive", observations, None))
    return jobs


def _overlapping_part(ask: Breakdown, evidence: Sequence[Evidence]) -> str:
    """The part to derive again where parts overlap, so that they need not add up to the whole; else ''."""
    metric = detector_of(ask.metric)[1]
    how = split_of(ask.dimension, metric)
    if how is None or not how.overlapping or not parts_as_segments(metric, ask.segment, ask.dimension):
        return ""
    return part_to_doubt(ask.value, evidence)


def finding_of(id: str, report: Report) -> Finding:
    """The finding of that id, refuted ones included.

    Raises:
        Unclear: there is none.
    """
    found = next((f for f in (*report.findings, *report.refuted) if f.id == id), None)
    if found is None:
        raise Unclear("no_finding")
    return found


def _examples(dataset: Dataset, finding: Finding, count: int, id: str) -> Evidence:
    from hansei.tools.playbook.assess import candidate_of

    detector, metric = detector_of(finding.metric)
    known = evidence_for(finding.evidence, "measure")
    if known is None:
        raise Unclear("no_examples")
    return examples(dataset, metric, candidate_of(finding, detector.name), id, known, count, described=True)
