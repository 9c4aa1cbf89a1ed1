"""Latency: how long steps and whole traces take, at the 95th percentile; improvements at the median."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from hansei.contracts import Finding
from hansei.tools.playbook import telling
from hansei.tools.playbook.cells import Cells
from hansei.tools.playbook.cohorts import confined
from hansei.tools.playbook.expectation import Question
from hansei.tools.playbook.groupings import (
    RUN_CONTEXTS,
    RUN_GROUPINGS,
    STEP_CONTEXTS,
    STEP_GROUPINGS,
    Units,
    against_baseline,
)
from hansei.tools.playbook.model import Detector, Metric, Screening, Words
from hansei.tools.playbook.profile import SLOW_MS, Profile
from hansei.tools.playbook.screen import explain, merged
from hansei.tools.playbook.side_by_side import DEPLOYED, beside
from hansei.tools.playbook.tails import with_tail
from hansei.tools.report.catalogue import say
from hansei.tools.report.formats import format_count, format_onset, format_value

_MS = "(toUnixTimestamp64Milli(toDateTime64(end_time, 3)) - toUnixTimestamp64Milli(toDateTime64(start_time, 3)))"
STEP_P95 = Metric(
    name="step_latency_p95",
    kind="latency",
    unit="s",
    shape="quantile",
    relation="observations",
    where="latency_ms IS NOT NULL",
    y="latency_ms > {slow_ms:Float64}",
    amount="latency_ms",
    min_n=60,
    min_effect=0.2,
    min_relative=0.2,
    per="calls",
    again=f"quantileExact(0.95)({_MS}) / 1000",
    again_where="end_time IS NOT NULL",
)
STEP_P50 = replace(
    STEP_P95, name="step_latency_p50", level=0.5, min_effect=0.1, again=f"quantileExact(0.5)({_MS}) / 1000"
)
TRACE_P95 = replace(
    STEP_P95,
    name="trace_latency_p95",
    relation="traces",
    totals=True,
    per="traces",
    min_effect=0.5,
    again="quantileExact(0.95)(span_ms) / 1000",
    again_where="steps > 0",
)
TRACE_P50 = replace(TRACE_P95, name="trace_latency_p50", level=0.5, again="quantileExact(0.5)(span_ms) / 1000")

_LONGER = math.log(1.2)
_TWICE = Question("timed", "log_ms", (), (), yy="log2_ms", min_x=100, min_effect=math.log(2))
"""What waits twice as long as others do for the same steps, all the time."""

_ALIKE = frozenset({"TOOL", "RETRIEVER", "EMBEDDING", "GUARDRAIL"})
"""Types of steps that take as long whoever asks. Models, and what holds their calls, take longer for longer answers, so
customers, tasks and sources differ."""


def screen(profile: Profile) -> Screening:
    """Steps, then whole traces: by the average of the logarithm (everything slower) and by the tail (some slower)."""
    if not profile.steps.sums["timed"].any():
        return Screening.nothing("no observation has an end time")
    longer, shorter = (_question(STEP_CONTEXTS, (), sign) for sign in (1, -1))
    candidates, slices = confined(
        "latency", STEP_P95, profile.cohorts, longer, _TWICE, shorter, STEP_P50, always_in=_is_alike
    )
    for cells, contexts, groupings, p95, p50 in (
        (profile.steps, STEP_CONTEXTS, STEP_GROUPINGS, STEP_P95, STEP_P50),
        (profile.runs, RUN_CONTEXTS, RUN_GROUPINGS, TRACE_P95, TRACE_P50),
    ):
        cells = with_tail(cells, contexts, "timed", "over", SLOW_MS)
        typical = _question(contexts, groupings, 1)
        found = explain(cells, typical)
        worse, looked = merged(found, explain(cells, _tail(contexts, groupings), explained=found[0]))
        better, looked_again = explain(cells, _question(contexts, groupings, -1))
        others, looked_beside = beside("latency", p95, cells, typical, DEPLOYED)
        slices += looked + looked_again + looked_beside
        candidates += others
        candidates += against_baseline("latency", p95, "regression", cells, worse, "timed")
        candidates += against_baseline("latency", p50, "improvement", cells, better, "timed")
    return Screening.of(candidates, slices, profile.steps.has_baseline)


def _is_alike(cells: Cells) -> NDArray[np.bool_]:
    return np.asarray([type in _ALIKE for type, _ in cells.values["step"]], dtype=np.bool_)[cells.codes["step"]]


def _question(contexts: Units, groupings: Units, sign: int) -> Question:
    return Question("timed", "log_ms", contexts, groupings, yy="log2_ms", sign=sign, min_x=60, min_effect=_LONGER)


def _tail(contexts: Units, groupings: Units) -> Question:
    return Question("timed", "slow", contexts, groupings, min_x=60, min_effect=0.03, min_relative=0.5)


def tell(finding: Finding) -> Words:
    """Latency in words."""
    place, since, moved = telling.where(finding.segment), telling.since(finding), telling.from_to(finding)
    whole = finding.metric.startswith("trace")
    what = say("latency.traces" if whole else "latency.calls")
    per = "traces" if whole else "calls"
    cause = telling.came_with(finding) or None
    if finding.direction == "improvement":
        measure = say("latency.median" if finding.metric.endswith("p50") else "latency.p95")
        date = format_onset(finding.onset, finding.onset_hour) if finding.onset else say("latency.start")
        return Words(
            say("latency.better", what=what, place=place, measure=measure, moved=moved),
            telling.sentences(say("latency.better_summary", date=date), telling.measured(finding, per)),
            cause,
            say("latency.keep"),
        )
    waiting = ""
    if finding.impact.hours_per_week is not None and finding.impact.hours_per_week >= 0.1:
        waiting = say("latency.waiting", hours=format_count(round(finding.impact.hours_per_week, 1)))
    summary = telling.sentences(
        say("latency.summary", moved=moved, change=telling.relative(finding), since=since),
        telling.measured(finding, per),
        waiting,
    )
    change = telling.change_of(finding.segment)
    level = format_value(finding.baseline.value, "s") if finding.baseline else ""
    if change and telling.is_new(finding):
        advice = say("latency.roll_back", change=change, level=level)
    elif "model" in finding.segment:
        advice = say("latency.model", place=place, level=level)
    else:
        advice = say("latency.look", place=place, since=since, level=level)
    key = "latency.slow" if finding.direction == "hotspot" else "latency.title"
    return Words(say(key, what=what, place=place, moved=moved), summary, cause, advice)


DETECTOR = Detector(
    name="latency",
    question="Which steps and traces take longer than before?",
    metrics=(STEP_P95, STEP_P50, TRACE_P95, TRACE_P50),
    tell=tell,
    screen_profile=screen,
    parameters={"slow_ms": "milliseconds above which a row counts as slow: the reference's quantile"},
)
