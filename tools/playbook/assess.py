"""From evidence to numbers: everything that a finding claims, computed from its queries' answers and nothing else.

The analyst, the critic and `hansei verify` all call the same functions, so a report can be computed again from fresh
answers and compared number by number.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from hansei.contracts import Change, Estimate, Evidence, Finding, Impact, Periods, Segment, parse_instant
from hansei.tools import statistics
from hansei.tools.playbook.gain import gain_of
from hansei.tools.playbook.measure import sums_of
from hansei.tools.playbook.model import Candidate, Metric
from hansei.tools.playbook.onset import PURPOSE as ONSET
from hansei.tools.playbook.onset import day_of_onset, day_of_traffic, hour_of_onset
from hansei.tools.playbook.parts import top_users
from hansei.tools.playbook.prices import no_longer_cached
from hansei.tools.playbook.severity import severity
from hansei.tools.playbook.traffic_slices import known_days
from hansei.tools.statistics import Dispersion, Interval, Sums

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Facts:
    """What a finding's numbers depend on besides its own evidence: the spans and the project's totals."""

    periods: Periods
    traces: int
    """Traces of the project in the window."""
    cost: float
    """US dollars of the project in the window."""
    baseline_traces: int = 0
    changes: tuple[Change, ...] = ()
    """What was new in the traces; only words depend on it."""


@dataclass(frozen=True)
class Series:
    """The measured days of both sides, in order; days without rows are there with empty sums."""

    window: list[Sums]
    reference: list[Sums]
    days: list[dict[str, Any]]

    @property
    def current(self) -> Sums:
        return Sums.total(self.window)

    @property
    def before(self) -> Sums:
        return Sums.total(self.reference)


def fingerprint(kind: str, metric: str, direction: str, segment: Segment) -> str:
    """A finding's identity: the same problem has the same id in every run, however it is worded or measured."""
    key = json.dumps([kind, metric, direction, sorted(segment.items())], ensure_ascii=False)
    return hashlib.sha256(key.encode()).hexdigest()[:12]


def evidence_for(evidence: Sequence[Evidence], purpose: str) -> Evidence | None:
    """The evidence with that purpose, None when there is none."""
    return next((item for item in evidence if item.purpose == purpose), None)


def series(evidence: Evidence, periods: Periods, *, history_days: float = 0) -> Series:
    """Reads a measure's rows into daily sums.

    Days count from the window's start, backwards into the baseline; the baseline's first may be shorter than 24 hours.
    """
    by_day: dict[tuple[bool, datetime], Sums] = {}
    rows = evidence.records()
    for row in rows:
        key = (row["period"] == "window", parse_instant(str(row["day"])))
        by_day[key] = sums_of(row)
    rest = any(row["period"] == "rest" for row in rows)
    start = periods.window.start
    window_days = math.ceil(periods.window.length / DAY)
    before = max(math.ceil(periods.baseline.length / DAY), round(history_days))
    window = [by_day.get((True, start + i * DAY), Sums()) for i in range(window_days)]
    span = range(window_days) if rest else range(-before, 0)
    reference = [by_day.get((False, start + i * DAY), Sums()) for i in span]
    return Series(window, reference, rows)


@dataclass(frozen=True)
class Numbers:
    """The measured part of a finding."""

    current: Estimate
    reference: Estimate | None
    p: float | None
    onset: datetime | None
    impact: Impact
    series: Series
    onset_hour: datetime | None = None


def measure_numbers(metric: Metric, candidate: Candidate, evidence: Sequence[Evidence], facts: Facts) -> Numbers | None:
    """A candidate's numbers; None when the window holds no row of it."""
    measured = evidence_for(evidence, "measure")
    if measured is None:
        return None
    history = candidate.parameters.get("history_days", 0)
    days = series(measured, facts.periods, history_days=history)
    if metric.shape == "count":
        return _traffic(days, candidate, evidence, facts)
    now, before = days.current, days.before
    if now.x <= 0:
        return None
    # Against the rest of the window, the segment's own days tell how much it varies: the rest holds everything else.
    own = candidate.comparison.against == "rest_of_window"
    spread = statistics.dispersion(days.window) if own else statistics.dispersion(days.reference, days.window)
    there = before.x > 0
    p = statistics.difference_p(now, before, spread, proportion=metric.shape != "mean") if there else None
    if metric.shape == "quantile":
        grid = evidence_for(evidence, "quantiles")
        current = _quantile(metric, grid, "window", now, spread)
        reference = _quantile(metric, grid, candidate.comparison.against, before, spread) if there else None
        if current is None:
            return None
    else:
        current = _estimate(metric, now, spread)
        reference = _estimate(metric, before, spread) if there else None
    onset, hour = None, None
    if there and candidate.comparison.against == "baseline":
        onset, hour = _onset(metric, candidate, days, evidence, facts)
    impact = _impact(metric, candidate, days, evidence, facts)
    return Numbers(current, reference, p, onset, impact, days, hour)


def _onset(
    metric: Metric, candidate: Candidate, days: Series, evidence: Sequence[Evidence], facts: Facts
) -> tuple[datetime, datetime | None]:
    """The first day of the change, and its first hour if that is known: the day is then the one that holds it."""
    start = facts.periods.window.start
    onset = day_of_onset(days.reference, days.window, start)
    hours = evidence_for(evidence, ONSET)
    if hours is None:
        return onset, None
    hour = hour_of_onset(metric, candidate, hours, onset, days.reference, days.window, start)
    return (onset, None) if hour is None else (start + max(0, (hour - start) // DAY) * DAY, hour)


def _estimate(metric: Metric, sums: Sums, spread: Dispersion) -> Estimate:
    interval = (statistics.proportion_interval if metric.shape == "share" else statistics.mean_interval)(sums, spread)
    return _as_estimate(interval, round(sums.x))


def _as_estimate(interval: Interval, n: int) -> Estimate:
    return Estimate(value=interval.value, n=n, low=interval.low, high=interval.high)


def _quantile(metric: Metric, grid: Evidence | None, period: str, sums: Sums, spread: Dispersion) -> Estimate | None:
    period = "rest" if period == "rest_of_window" else period
    row: Mapping[str, Any] | None = None
    if grid is not None:
        row = next((record for record in grid.records() if record["period"] == period), None)
    if row is None:
        return None
    # The share of slow rows is measured with its clustering; what that costs in precision (the design effect) holds
    # for the share below any other quantile of the same rows too.
    share = sums.ratio
    plain = share * (1 - share) / max(sums.x, 1.0)
    effect = max(1.0, sums.variance / plain) if plain > 0 and sums.variance > 0 else 1.0
    deviation = math.sqrt(metric.level * (1 - metric.level) / max(sums.x, 1.0) * effect * spread.factor)
    interval = statistics.quantile_interval(row["levels"], row["seconds"], metric.level, deviation)
    return _as_estimate(interval, int(row["n"]))


def _traffic(days: Series, candidate: Candidate, evidence: Sequence[Evidence], facts: Facts) -> Numbers | None:
    baseline_days = math.ceil(facts.periods.baseline.length / DAY)
    counts = [sums.y for sums in days.window]
    before = [sums.y for sums in days.reference]
    history = known_days(np.asarray(before), baseline_days).tolist()
    test = statistics.count_test(history, counts)
    current = _per_day(counts, test.factor if test else 1.0)
    reference = _per_day(before[-baseline_days:], test.factor if test else 1.0)
    onset = None
    if test is not None:
        onset = facts.periods.window.start + day_of_traffic(history, counts) * DAY
    lost = None if test is None else (test.expected - current.value) * len(counts)
    impact = Impact(
        affected_traces=round(days.current.y),
        affected_users=_affected_users(evidence),
        excess_traces=None if lost is None else abs(lost),
        share_of_traces=None if lost is None else min(1.0, abs(lost) / max(1, facts.traces, facts.baseline_traces)),
        cost_per_week=None,
        hours_per_week=None,
    )
    return Numbers(current, reference, test.p if test else None, onset, impact, days)


def _per_day(counts: Sequence[float], factor: float) -> Estimate:
    mean = sum(counts) / max(1, len(counts))
    half = 1.959964 * math.sqrt(max(mean, 1.0) * factor / max(1, len(counts)))
    return Estimate(value=mean, n=round(sum(counts)), low=max(0.0, mean - half), high=mean + half)


def _affected_users(evidence: Sequence[Evidence]) -> int | None:
    users = top_users(evidence)
    return int(users[0]["affected_users"]) if users else None


def _impact(metric: Metric, candidate: Candidate, days: Series, evidence: Sequence[Evidence], facts: Facts) -> Impact:
    now, before = days.current, days.before
    weeks = facts.periods.window.days / 7
    reference = before.ratio if before.x > 0 else 0.0
    excess = (now.ratio - reference) * now.x * metric.worse
    events = metric.shape in ("share", "quantile")
    harmed = None
    if events:
        hit = now.affected - now.clusters * (before.affected / before.clusters if before.clusters else 0.0)
        if candidate.comparison.against != "baseline" and now.ratio > 0:
            # The rest's traces hold more rows of the rest, or fewer, so they are hit more or less often by that alone.
            hit = now.affected * (1 - reference / now.ratio)
        harmed = hit if metric.worse > 0 else excess
    share = None
    if facts.traces and harmed is not None:
        share = harmed / facts.traces
    elif facts.traces and metric.unit != "usd":
        # An average moved: every trace in the segment is touched, in proportion to how far it moved.
        scale = max(abs(reference), abs(now.ratio), 1e-12)
        share = now.clusters / facts.traces * abs(now.ratio - reference) / scale
    money = excess if metric.unit == "usd" else _extra_cost(evidence, reference)
    hours = _extra_hours(evidence, now.x, candidate) / weeks if metric.shape == "quantile" else None
    return Impact(
        affected_traces=now.affected if events and metric.worse > 0 else now.clusters,
        affected_users=_affected_users(evidence),
        excess_traces=harmed,
        share_of_traces=None if share is None else max(-1.0, min(1.0, share)),
        share_of_cost=money / facts.cost if money is not None and facts.cost > 0 else None,
        cost_per_week=money / weeks if money is not None else None,
        hours_per_week=hours,
    )


def _extra_cost(evidence: Sequence[Evidence], reference: float) -> float | None:
    """What runaways cost beyond what as many other traces would have, or tokens that the cache no longer serves, in US
    dollars of the window."""
    found = evidence_for(evidence, "detail")
    if found is not None and "now_cached" in found.columns:
        return no_longer_cached(found, reference)[1]
    if found is None or "runaway_cost" not in found.columns:
        return None
    row = next((record for record in found.records() if record["period"] == "window"), None)
    if row is None or int(row["traces"]) <= int(row["runaways"]):
        return None
    usual = (float(row["cost"]) - float(row["runaway_cost"])) / (int(row["traces"]) - int(row["runaways"]))
    return float(row["runaway_cost"]) - usual * int(row["runaways"])


def _extra_hours(evidence: Sequence[Evidence], n: float, candidate: Candidate) -> float:
    """Extra waiting over the window: the area between the two quantile functions, times the rows."""
    grid = evidence_for(evidence, "quantiles")
    rows = {record["period"]: record for record in grid.records()} if grid else {}
    other = "baseline" if candidate.comparison.against == "baseline" else "rest"
    if "window" not in rows or other not in rows:
        return 0.0
    levels: list[float] = rows["window"]["levels"]
    gap: list[float] = [a - b for a, b in zip(rows["window"]["seconds"], rows[other]["seconds"], strict=True)]
    area: float = sum((levels[i] - levels[i - 1]) * (gap[i] + gap[i - 1]) / 2 for i in range(1, len(levels)))
    return n * area / 3600


def build_finding(
    metric: Metric, candidate: Candidate, evidence: Sequence[Evidence], facts: Facts, base_url: str | None, project: str
) -> Finding | None:
    """A finding without words, q-value and verdict yet; None when the window holds no row of it."""
    numbers = measure_numbers(metric, candidate, evidence, facts)
    if numbers is None:
        return None
    shown = evidence_for(evidence, "examples")
    traces = [str(row[0]) for row in shown.rows] if shown else []
    effect = numbers.current.value - numbers.reference.value if numbers.reference else None
    return Finding(
        id=fingerprint(metric.kind, metric.name, candidate.direction, candidate.segment),
        kind=metric.kind,
        direction=candidate.direction,
        severity=severity(metric, candidate.direction, numbers.impact),
        title="",
        summary="",
        cause=None,
        recommendation="",
        segment=candidate.segment,
        metric=metric.name,
        unit=metric.unit,
        current=numbers.current,
        baseline=numbers.reference,
        effect=effect,
        p_value=numbers.p,
        q_value=None,
        impact=numbers.impact,
        verdict="not_measurable",
        checks=[],
        evidence=list(evidence),
        example_trace_ids=traces,
        trace_urls=[trace_url(base_url, project, trace) for trace in traces] if base_url else [],
        comparison=candidate.comparison,
        onset=numbers.onset,
        onset_hour=numbers.onset_hour,
        parameters=candidate.parameters,
        gain=gain_of(
            metric, candidate.direction, numbers.current, numbers.reference, numbers.impact, facts.periods.window
        ),
    )


def trace_url(base_url: str, project: str, trace: str) -> str:
    """Link to a trace in Langfuse's web interface."""
    from urllib.parse import quote

    return f"{base_url.rstrip('/')}/project/{quote(project, safe='')}/traces/{quote(trace, safe='')}"


def candidate_of(finding: Finding, detector: str) -> Candidate:
    """The candidate that a finding was measured from, so that it can be measured again."""
    return Candidate(
        detector=detector,
        metric=finding.metric,
        direction=finding.direction,
        segment=finding.segment,
        comparison=finding.comparison,
        parameters=finding.parameters,
    )
