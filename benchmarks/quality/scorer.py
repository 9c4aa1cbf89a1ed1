"""Holds a report against the truth: what was found, where, since when, with which figures, and what was made up."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from benchmarks.quality.faults import TEXT_FAULTS
from benchmarks.quality.figures import Figures, Unknown
from benchmarks.quality.world import Planted, World

from hansei.contracts import Finding, Report, Segment, Window
from hansei.demo.rows import ObservationRow, ScoreRow

RIGHT = 0.9
"""The right segment holds at least this share of the rows that the fault touched, and at most one in ten others."""
HIT = 0.5
"""A finding that covers less of the fault's rows is about something else."""
ECHO = 0.3
"""A finding shares this much of its traces, or of the fault's, with a fault that it may follow from."""

FOLLOWS: dict[str, frozenset[str]] = {
    "error": frozenset({"error", "latency"}),
    "latency": frozenset({"latency", "first_token_latency"}),
    "cost": frozenset({"cost", "token_usage"}),
    "token_usage": frozenset({"token_usage", "cost"}),
    "quality": frozenset({"quality", "judge_disagreement"}),
    "loop": frozenset({"loop", "runaway", "latency"}),
    "silent_failure": frozenset({"silent_failure", "empty_retrieval"}),
    "unfinished": frozenset({"unfinished", "instrumentation_gap", "latency"}),
    "truncation": frozenset({"truncation"}),
    "traffic": frozenset({"traffic"}),
    "runaway": frozenset({"runaway", "latency", "cost", "error", "loop"}),
}
"""Kind of a fault → kinds of findings that are true consequences of it."""


@dataclass
class Overlap:
    """How far a segment's rows are the rows that a fault touched, since its onset."""

    recall: float
    precision: float

    @property
    def place(self) -> str:
        """right, wide (a parent of it), narrow (a part of it) or other."""
        if self.recall >= RIGHT and self.precision >= RIGHT:
            return "right"
        if self.recall >= RIGHT:
            return "wide"
        return "narrow" if self.precision >= RIGHT else "other"


_OWN = frozenset(fault.metric for fault in TEXT_FAULTS if fault.metric)


def _names(found: Finding, one: Planted) -> bool:
    """Whether a finding tells of the same kind of thing as a fault."""
    mine = found.metric == one.metric if one.metric else found.metric not in _OWN
    return mine and found.kind in one.kinds and found.direction == one.direction


class Scorer:
    """Judges the findings of one world's report."""

    def __init__(self, world: World, report: Report) -> None:
        self._world, self._report = world, report
        self._figures = Figures(world.drawn, world.periods)
        self._exposed = {one.number: self._touched(one) for one in world.planted}
        self._traces = {
            one.number: {trace for trace, marks in world.marks.items() if one.number in marks} for one in world.planted
        }

    def score(self) -> dict[str, Any]:
        """Everything about the world as plain JSON: planted faults, findings, and their figures."""
        planted = [self._planted(one) for one in self._world.planted]
        best = {entry["finding"]: entry["number"] for entry in planted if entry["finding"]}
        return {"planted": planted, "findings": [self._finding(found, best) for found in self._report.findings]}

    # Faults

    def _planted(self, one: Planted) -> dict[str, Any]:
        named = [(self._overlap(one, found), found) for found in self._report.findings if _names(found, one)]
        hits = [(overlap, found) for overlap, found in named if overlap.recall >= HIT]
        entry: dict[str, Any] = {
            "number": one.number, "fault": one.fault, "strength": one.strength, "kind": one.kinds[0],
            "change": one.change, "spot": {k: v for k, v in vars(one.spot).items() if v}, "onset": str(one.onset),
            "finding": None,
        }  # fmt: skip
        if not hits:
            entry["missed"] = self._why_missed(one)
            return entry
        overlap, found = max(hits, key=lambda hit: (hit[0].place == "right", hit[0].recall * hit[0].precision))
        entry |= {
            "finding": found.id,
            "place": overlap.place,
            "segment": found.segment,
            "found_onset": str(found.onset),
        }
        if one.onset is not None and found.onset is not None:
            entry["onset_right"] = abs(found.onset - one.onset) <= timedelta(days=1)
        return entry

    def _why_missed(self, one: Planted) -> list[str]:
        """What the report's refuted findings say about it."""
        return [
            f"{found.kind} {found.segment}: " + "; ".join(
                f"{check.name}: {check.detail}" for check in found.checks if check.passed is False)
            for found in self._report.refuted
            if _names(found, one) and self._overlap(one, found).recall >= HIT
        ]  # fmt: skip

    def _since(self, one: Planted) -> Window:
        window = self._world.periods.window
        return window if one.onset is None else Window(start=max(window.start, one.onset), end=window.end)

    def _touched(self, one: Planted) -> set[str]:
        """Ids of the rows that the fault is about, since its onset."""
        metric = _METRIC_OF[one.rows]
        out = set()
        for row in self._figures.select(metric, {}, self._since(one)):
            trace = row.trace_id if isinstance(row, (ObservationRow, ScoreRow)) else row.id
            if one.number not in self._world.marks.get(trace or "", ()):
                continue
            if isinstance(row, ScoreRow) and row.name != one.spot.score:
                continue
            if isinstance(row, ObservationRow) and not (
                one.spot.step in (None, row.name) and one.spot.model in (None, row.model)
            ):
                continue
            out.add(row.id)
        return out

    def _overlap(self, one: Planted, found: Finding) -> Overlap:
        segment = dict(found.segment)
        if one.rows != "scores":
            segment.pop("score_name", None)
        try:
            rows = {row.id for row in self._figures.select(_METRIC_OF[one.rows], segment, self._since(one))}
        except Unknown:
            return Overlap(0.0, 0.0)
        touched = self._exposed[one.number]
        both = len(rows & touched)
        return Overlap(both / max(1, len(touched)), both / max(1, len(rows)))

    # Findings

    def _finding(self, found: Finding, best: dict[str, int]) -> dict[str, Any]:
        ruling, of = self._ruling(found, best)
        return {
            "id": found.id, "kind": found.kind, "metric": found.metric, "direction": found.direction,
            "severity": found.severity, "segment": found.segment, "title": found.title, "ruling": ruling, "of": of,
            "values": self._values(found), "covered": self._covered(found),
        }  # fmt: skip

    def _ruling(self, found: Finding, best: dict[str, int]) -> tuple[str, str | None]:
        planted = self._world.planted
        if found.id in best:
            return "hit", planted[best[found.id]].fault
        for one in planted:
            mine = found.metric == one.metric if one.metric else found.metric not in _OWN
            follows = found.kind in FOLLOWS.get(one.kinds[0], ()) and found.direction in (one.direction, "hotspot")
            if mine and follows and self._shares_traces(one, found.segment):
                return "echo", one.fault
        if found.kind == "instrumentation_gap" and found.direction == "hotspot":
            return "tolerated", "what the company never recorded"
        for trap in self._world.traps:
            for kind, segment in trap.tolerated:
                if kind == found.kind and segment.items() <= found.segment.items():
                    return "tolerated", trap.id
        return "false", None

    def _shares_traces(self, one: Planted, segment: Segment) -> bool:
        segment = {key: value for key, value in segment.items() if key != "score_name"}
        try:
            rows = self._figures.select("error_rate", segment, self._since(one))
        except Unknown:
            return False
        theirs = {row.trace_id for row in rows if isinstance(row, ObservationRow)}
        mine = self._traces[one.number]
        both = len(theirs & mine)
        return both >= ECHO * max(1, len(mine)) or both >= ECHO * max(1, len(theirs))

    # Figures

    def _sides(self, found: Finding) -> tuple[list[Any], list[Any], Window]:
        """The rows of the finding and of its reference, and the reference's span."""
        window, baseline = self._world.periods.window, self._world.periods.baseline
        now = self._figures.select(found.metric, found.segment, window)
        if found.comparison.against == "baseline":
            return now, self._figures.select(found.metric, found.comparison.segment, baseline), baseline
        mine = {row.id for row in now}
        rest = [
            row for row in self._figures.select(found.metric, found.comparison.segment, window) if row.id not in mine
        ]
        return now, rest, window

    def _values(self, found: Finding) -> dict[str, Any]:
        """Whether the reported values are the true ones: exact, but for quantiles within 1 %."""
        try:
            now, before, span = self._sides(found)
            pairs = [
                (found.current, self._figures.value(found.metric, now, found.parameters, self._world.periods.window))
            ]
            if found.baseline is not None:
                pairs.append((found.baseline, self._figures.value(found.metric, before, found.parameters, span)))
        except Unknown as unknown:
            return {"checked": False, "unknown": str(unknown)}
        near = 0.01 if found.metric.endswith(("_p95", "_p50")) else 1e-6
        right = all(
            true is not None
            and estimate.n == true[1]
            and math.isclose(estimate.value, true[0], rel_tol=near, abs_tol=1e-9)
            for estimate, true in pairs
        )
        told = [[estimate.value, estimate.n, *(true or (None, None))] for estimate, true in pairs]
        return {"checked": True, "right": right, **({} if right else {"told_and_true": told})}

    def _covered(self, found: Finding) -> list[bool]:
        """For each side whose true parameter is known: whether the 95 % interval covers it."""
        try:
            now, before, _ = self._sides(found)
        except Unknown:
            return []
        out = []
        for estimate, rows in ((found.current, now), (found.baseline, before)):
            true = self._figures.parameter(found.metric, rows) if estimate is not None else None
            if estimate is not None and true is not None:
                out.append(estimate.low <= true <= estimate.high)
        return out


_METRIC_OF = {"observations": "error_rate", "uses": "error_rate", "traces": "cost_per_trace", "scores": "score_rate"}
"""A metric over the relation that a fault's rows belong to."""
