"""Questions that go on from what was said last: “what about staging?”, “compare them”, “how many are affected?”."""

from __future__ import annotations

from itertools import combinations

from hansei.contracts.asks import About, Ask, Compare, Measure
from hansei.tools.conversation.naming import (
    Unclear,
    World,
    course,
    finding_meant,
    metric_meant,
    segment_named,
    topic_of,
)
from hansei.tools.conversation.phrases import Sentence
from hansei.tools.playbook.catalogue import detector_of
from hansei.tools.playbook.segments import condition


def also(s: Sentence, w: World) -> Ask:
    """“and in staging?”, “what about cost?”: what was measured last, with another slice or measure."""
    _, metric, segment = topic_of(Sentence(), w)
    named = segment_named(s.slices, w)
    if not s.metrics and named.keys() & _SUBJECTS and not named.keys() & segment.keys():
        return _changed_subject(named, metric, w)
    wanted = {**segment, **named}
    if s.metrics:
        metric = metric_meant(s.metrics, set(wanted), w)
    if not _measurable(metric, wanted):
        wanted = named
        metric = metric_meant(s.metrics, set(wanted), w) if s.metrics else metric
    return Measure(metric=metric, segment=wanted)


_SUBJECTS = frozenset({"tool_name", "trace_name", "observation_name", "prompt_name", "model"})
"""What is asked about for its own sake; the other dimensions narrow down what was asked about before."""


def _changed_subject(named: dict[str, str], metric: str, w: World) -> Ask:
    """The finding about what is named; where there is none, its figure."""
    for finding in w.all:
        if named.items() <= finding.segment.items():
            return About(finding=finding.id)
    return Measure(metric=metric if _measurable(metric, named) else metric_meant(["error_rate"], set(named), w),
                   segment=named)  # fmt: skip


def _measurable(metric: str, segment: dict[str, str]) -> bool:
    try:
        condition(segment, detector_of(metric)[1].relation, "s")
    except KeyError:
        return False
    return True


def compare_listed(s: Sentence, w: World) -> Ask:
    """“compare them on latency”: the first two of what was listed last that differ in one dimension alone."""
    slices = [item for item in w.named.listed if not {"finding", "trace"} & item.keys()]
    for first, second in combinations(slices, 2):
        apart = [name for name in first if first[name] != second.get(name)]
        if first.keys() == second.keys() and len(apart) == 1:
            rest = {name: value for name, value in first.items() if name != apart[0]}
            metric = metric_meant(s.metrics, set(first), w) if s.metrics else w.named.listed_metric
            if metric is not None:
                return Compare(
                    metric=metric, dimension=apart[0], first=first[apart[0]], second=second[apart[0]], segment=rest
                )
    raise Unclear("compare_two")


def priority(s: Sentence, w: World) -> Ask:
    """“what should we fix first?”: the report's order is that of importance."""
    first = next((finding for finding in w.report.findings if finding.direction != "improvement"), None)
    if first is None:
        raise Unclear("no_finding")
    return About(finding=first.id, what="advice")


def impact(s: Sentence, w: World) -> Ask:
    """“how many traces are affected?”"""
    return About(finding=finding_meant(s, w).id, what="impact")


def when(s: Sentence, w: World) -> Ask:
    """“when did it start?”: a finding tells since when; of another figure its course does."""
    try:
        return About(finding=finding_meant(s, w).id)
    except Unclear:
        return course(s, w)
