"""Latency: how long steps and whole traces take, at the 95th percentile; improvements at the median."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from hansei.contracts import Finding
from hansei.tools.playbook import telling
from hansei.tools.playbook.cells import Cells
from hansei.tools.playbook.expectation import Question
from hansei.tools.playbook.groupings import (
    RUN_CONTEXTS,
    RUN_GROUPINGS,
    STEP_CONTEXTS,
    STEP_GROUPINGS,
    Units,
    against_baseline,
)
from hansei.tools.playbook.model import Candidate, Detector, Metric, Screening, Words
from hansei.tools.playbook.profile import SLOW_MS, Profile
from hansei.tools.playbook.screen import explain, merged
from hansei.tools.report.formats import format_count, format_value

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


def screen(profile: Profile) -> Screening:
    """Steps, then whole traces: by the average of the logarithm (everything slower) and by the tail (some slower)."""
    if not profile.steps.sums["timed"].any():
        return Screening.nothing("no observation has an end time")
    candidates: list[Candidate] = []
    slices = 0
    for cells, contexts, groupings, p95, p50 in (
        (profile.steps, STEP_CONTEXTS, STEP_GROUPINGS, STEP_P95, STEP_P50),
        (profile.runs, RUN_CONTEXTS, RUN_GROUPINGS, TRACE_P95, TRACE_P50),
    ):
        cells = _with_tail(cells, contexts)
        typical = _question(contexts, groupings, 1)
        slower = explain(cells, typical)
        worse, looked = merged(slower, explain(cells, _tail(contexts, groupings), explained=slower[0]))
        better, looked_again = explain(cells, _question(contexts, groupings, -1))
        slices += looked + looked_again
        candidates += against_baseline("latency", p95, "regression", cells, worse, "timed")
        candidates += against_baseline("latency", p50, "improvement", cells, better, "timed")
    return Screening.of(candidates, slices, profile.steps.has_baseline)


def _question(contexts: Units, groupings: Units, sign: int) -> Question:
    return Question("timed", "log_ms", contexts, groupings, yy="log2_ms", sign=sign, min_x=60, min_effect=_LONGER)


def _tail(contexts: Units, groupings: Units) -> Question:
    return Question("timed", "slow", contexts, groupings, min_x=60, min_effect=0.03, min_relative=0.5)


def _with_tail(cells: Cells, contexts: Units) -> Cells:
    """Adds the sum `slow`: rows above the first bound that at most 5 % of the same step's baseline exceeded."""
    group, names = cells.group(contexts[-1])
    base = ~cells.in_window
    n = np.bincount(group[base], weights=cells.sums["timed"][base], minlength=len(names))
    slow = np.zeros(len(cells))
    chosen = np.zeros(len(names), dtype=bool)
    for bound in SLOW_MS:
        over = np.bincount(group[base], weights=cells.sums[f"over_{bound}"][base], minlength=len(names))
        fits = ~chosen & (n > 0) & (over <= 0.05 * n)
        slow = np.where(fits[group], cells.sums[f"over_{bound}"], slow)
        chosen |= fits
    return replace(cells, sums={**cells.sums, "slow": slow})


def tell(finding: Finding) -> Words:
    """Latency in words."""
    place = telling.where(finding.segment)
    whole = finding.metric.startswith("trace")
    what = "Traces of" if whole else "Calls of"
    per = "traces" if whole else "calls"
    typical = finding.metric.endswith("p50")
    measure = "median" if typical else "95th percentile"
    if finding.direction == "improvement":
        return Words(
            f"{what} {place} got faster: the {measure} {telling.from_to(finding)}",
            telling.sentences(f"Since {_since(finding)} they take less time.", telling.measured(finding, per)),
            _came_with(finding),
            "Keep what changed; consider the same for steps like it.",
        )
    title = f"{what} {place} got slower: p95 {telling.from_to(finding)}"
    waiting = ""
    if finding.impact.hours_per_week is not None and finding.impact.hours_per_week >= 0.1:
        waiting = f"That adds {format_count(round(finding.impact.hours_per_week, 1))} hours of waiting a week."
    summary = telling.sentences(
        f"The 95th percentile {telling.from_to(finding)} ({telling.relative(finding)}){telling.since(finding)}.",
        telling.measured(finding, per),
        waiting,
    )
    change = telling.change_of(finding.segment)
    level = format_value(finding.baseline.value, "s") if finding.baseline else ""
    if change and telling.is_new(finding):
        advice = (
            f"Roll back {change}, or find what it does more; the baseline’s p95 of {level} is the level to return to."
        )
    elif "model" in finding.segment:
        advice = (
            f"Route {place} to another model or region while the provider is slow, and set a timeout with a fallback "
            f"somewhat above the former p95 of {level}."
        )
    else:
        advice = (
            f"Look at the slowest example traces of {place}: cut what was added{telling.since(finding)}, and "
            "set a timeout "
            f"somewhat above the former p95 of {level}."
        )
    return Words(title, summary, _came_with(finding), advice)


def _since(finding: Finding) -> str:
    from hansei.tools.report.formats import format_date

    return format_date(finding.onset) if finding.onset else "the start of the window"


def _came_with(finding: Finding) -> str | None:
    change = telling.change_of(finding.segment)
    if change and telling.is_new(finding):
        return f"It came with {change}, which the baseline hardly has."
    return None


DETECTOR = Detector(
    name="latency",
    question="Which steps and traces take longer than before?",
    metrics=(STEP_P95, STEP_P50, TRACE_P95, TRACE_P50),
    tell=tell,
    screen_profile=screen,
    parameters={"slow_ms": "milliseconds above which a row counts as slow: the reference's quantile"},
)
