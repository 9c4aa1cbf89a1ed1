"""The figures of an answer, computed from its evidence by the functions that compute a finding's."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hansei.contracts import Check, Estimate, Evidence, Finding, Periods, Report, Segment
from hansei.contracts.asks import Breakdown
from hansei.tools import statistics
from hansei.tools.conversation.looking import candidate_for
from hansei.tools.conversation.splitting import part_to_doubt
from hansei.tools.playbook import telling
from hansei.tools.playbook.assess import Facts, Series, build_finding, evidence_for, series
from hansei.tools.playbook.catalogue import detector_of
from hansei.tools.playbook.checks import derived_again
from hansei.tools.playbook.model import Metric
from hansei.tools.report.catalogue import say
from hansei.tools.report.formats import Shown, format_value
from hansei.tools.statistics import Dispersion, Sums

BLOCKS = "▁▂▃▄▅▆▇█"
SURE = 0.01
"""A difference with a smaller p-value is told as one; many questions may be asked, so less than the usual 0.05."""


def facts_of(report: Report) -> Facts:
    """The totals that figures are put in relation to."""
    coverage = report.coverage
    return Facts(
        Periods(window=report.window, baseline=report.baseline),
        coverage.traces.window,
        coverage.total_cost.window,
        coverage.traces.baseline,
    )


@dataclass(frozen=True)
class Slice:
    """One slice, measured in both periods; `finding` is None when the window has no row of it."""

    metric: Metric
    segment: Segment
    evidence: list[Evidence]
    finding: Finding | None
    days: Series

    @property
    def window(self) -> Estimate | None:
        """What it was in the window."""
        return self.finding.current if self.finding else None

    @property
    def baseline(self) -> Estimate | None:
        """What it was in the baseline."""
        return self.finding.baseline if self.finding else None


def slice_of(name: str, metric: str, segment: Segment, report: Report, evidence: Sequence[Evidence]) -> Slice:
    """A slice's figures from the evidence whose ids hold its name."""
    definition, facts = detector_of(metric)[1], facts_of(report)
    mine = [item for item in evidence if item.id.split(".")[1] == name]
    measure = evidence_for(mine, "measure")
    if measure is None:
        raise ValueError(f"{name} was not measured")
    candidate = candidate_for(metric, segment, report)
    finding = build_finding(definition, candidate, mine, facts, None, report.project_id)
    days = series(measure, facts.periods, history_days=candidate.parameters.get("history_days", 0))
    return Slice(definition, segment, mine, finding, days)


def checks_of(part: Slice, report: Report) -> list[Check]:
    """The critic's: the same figure by another road."""
    if part.finding is None:
        return []
    return derived_again(part.metric, part.finding, facts_of(report))


def differs(metric: Metric, first: Sums, second: Sums, days: Sequence[Sums] = ()) -> float | None:
    """p-value of two slices being alike; None when that cannot be said."""
    if metric.shape in ("quantile", "count") or first.x < metric.min_n or second.x < metric.min_n:
        return None
    spread = statistics.dispersion(days) if days else Dispersion()
    return statistics.difference_p(first, second, spread, proportion=metric.shape != "mean")


def estimate(metric: Metric, sums: Sums) -> Estimate | None:
    """A ratio with its interval; None without rows."""
    if sums.x <= 0:
        return None
    interval = (statistics.proportion_interval if metric.shape == "share" else statistics.mean_interval)(
        sums, Dispersion()
    )
    return Estimate(value=interval.value, n=round(sums.x), low=interval.low, high=interval.high)


@dataclass(frozen=True)
class Part:
    """One value of a dimension; None is all others together."""

    value: str | None
    window: Sums
    baseline: Sums
    levels: tuple[float | None, float | None] = (None, None)
    """Of a quantile metric, window and baseline, seconds."""

    def value_in(self, side: int, metric: Metric) -> float:
        """The metric in the window (0) or the baseline (1), of a count its total; nan without rows."""
        sums = (self.window, self.baseline)[side]
        level = self.levels[side]
        if metric.shape == "quantile":
            return math.nan if level is None else level
        return sums.y if metric.shape == "count" else sums.ratio


def parts_of(evidence: Sequence[Evidence]) -> list[Part]:
    """The rows of a breakdown, most rows of the window first; the others together come last."""
    found = evidence_for(evidence, "breakdown")
    if found is None:
        return []
    by_value: dict[str | None, dict[str, tuple[Sums, float | None]]] = {}
    for row in found.records():
        value = str(row["part"]) if int(row["named"]) else None
        level = row.get("level_seconds")
        sums = _sums(row)
        by_value.setdefault(value, {})[str(row["period"])] = (sums, None if level is None else float(level))
    nothing = (Sums(), None)
    parts = [
        Part(value, now[0], before[0], (now[1], before[1]))
        for value, sides in by_value.items()
        for now, before in ((sides.get("window", nothing), sides.get("baseline", nothing)),)
    ]
    return sorted(parts, key=lambda part: (part.value is None, -part.window.x, part.value or ""))


def parts_again(ask: Breakdown, metric: Metric, parts: Sequence[Part], evidence: Sequence[Evidence]) -> list[Check]:
    """The check of one part that overlaps others, by the critic's road; empty when it was not asked."""
    again = next((item for item in evidence if item.id.split(".")[1:] == ["part", "rederive"]), None)
    if again is None:
        return []
    chosen = part_to_doubt(ask.value, evidence)
    part = next(part for part in parts if part.value == chosen)
    rows = {(row["source"], row["period"]): row["value"] for row in again.records()}
    sampled = any(source == "analyst" for source, _ in rows)
    pairs = [
        (float(rows["critic", period]), float(rows["analyst", period]) if sampled else told)
        for period, sums, told in (
            ("window", part.window, part.value_in(0, metric)),
            ("baseline", part.baseline, part.value_in(1, metric)),
        )
        if sums.x > 0 and rows.get(("critic", period)) is not None
    ]
    same = bool(pairs) and all(math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-9) for a, b in pairs)
    unit: Shown = "count" if metric.shape == "count" else metric.unit
    shown, first = (say("check.and").join(format_value(pair[side], unit) for pair in pairs) for side in (0, 1))
    key = f"check.{'same' if same else 'other'}{'_part' if sampled else ''}"
    told = say(key, shown=shown, first=first)
    what = telling.where({ask.dimension: chosen})
    return [Check(name="rederived", passed=same, detail=say("ask.check_of", what=what, detail=told))]


def _sums(row: Mapping[str, Any]) -> Sums:
    return Sums(
        int(row["traces"]), float(row["x"]), float(row["y"]), float(row["xx"]), float(row["xy"]), float(row["yy"]),
        int(row["affected"]),
    )  # fmt: skip


def daily(metric: Metric, measure: Evidence) -> dict[str, float]:
    """ISO start of a day → the metric's value on it."""
    column = {"quantile": "p50" if metric.level == 0.5 else "p95"}.get(metric.shape)
    values: dict[str, float] = {}
    for row in measure.records():
        if column is not None:
            values[str(row["day"])] = float(row[column])
        elif metric.shape == "count":
            values[str(row["day"])] = float(row["y"])
        elif float(row["x"]) > 0:
            values[str(row["day"])] = float(row["y"]) / float(row["x"])
    return values


def spark(values: Sequence[float | None]) -> str:
    """Values as blocks; a dot where there is none."""
    known = [value for value in values if value is not None]
    if not known:
        return ""
    low, high = min(known), max(known)
    span = (high - low) or 1.0
    return "".join("·" if v is None else BLOCKS[min(7, int((v - low) / span * 8))] for v in values)
