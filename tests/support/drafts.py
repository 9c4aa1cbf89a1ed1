"""Hand-made answers to the analyst's and the critic's queries, and the drafts and findings that follow from them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from tests.support.world import PERIODS, PROJECT

from hansei.contracts import Comparison, Direction, Evidence, Finding, Kind, Segment, hash_result
from hansei.tools.playbook.assess import Facts, build_finding
from hansei.tools.playbook.catalogue import DETECTORS, detector_of
from hansei.tools.playbook.conclude import Conclusion, Draft, Place, conclude
from hansei.tools.playbook.model import Candidate

FACTS = Facts(PERIODS, traces=10_000, cost=500.0, baseline_traces=10_000)
PLACE = Place(None, PROJECT)

Day = tuple[int, float]
"""Rows of the day (each a trace of its own), and the sum of what is measured."""


def evidence(purpose: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Evidence:
    """An answer of these rows."""
    listed = [list(row) for row in rows]
    return Evidence(
        id=purpose, purpose=purpose, sql="SELECT 1", parameters={}, columns=list(columns), rows=listed,
        row_count=len(listed), rows_read=0, seconds=0.0, result_hash=hash_result(list(columns), listed),
    )  # fmt: skip


def measured(
    now: Sequence[Day], before: Sequence[Day], *, purpose: str = "measure", reference: str = "baseline",
    spread: float | None = None,
) -> Evidence:  # fmt: skip
    """A measure's answer: one entry per day, the first of each on the first day of its span.

    Args:
        spread: None for a share; else the standard deviation of the amounts of single rows.
    """
    columns = ["period", "day", "traces", "x", "y", "xx", "xy", "yy", "affected"]
    rows = []
    within = reference == "rest"
    for period, days, start in (
        ("window", now, PERIODS.window.start),
        (reference, before, PERIODS.window.start if within else PERIODS.baseline.start),
    ):
        for i, (n, y) in enumerate(days):
            if n:
                squares = y if spread is None else y * y / n + n * spread**2
                hit = y if spread is None else n
                day = (start + timedelta(days=i)).isoformat()
                rows.append([period, day, n, n, float(y), float(n), float(y), float(squares), int(hit)])
    return evidence(purpose, columns, rows)


def draft_of(
    now: Sequence[Day], before: Sequence[Day], *more: Evidence, metric: str = "error_rate",
    direction: Direction = "regression", segment: Segment | None = None, spread: float | None = None,
    against: Segment | None = None, rest: bool = False, **parameters: float,
) -> Draft:  # fmt: skip
    """A draft with the measure of these days and further answers."""
    place = {"tool_name": "lookup_order"} if segment is None else segment
    detector, _ = detector_of(metric)
    reference = ({} if rest else place) if against is None else against
    candidate = Candidate(
        detector=detector.name, metric=metric, direction=direction, segment=place, parameters=parameters,
        comparison=Comparison(against="rest_of_window" if rest else "baseline", segment=reference),
    )  # fmt: skip
    answer = measured(now, before, spread=spread, reference="rest" if rest else "baseline")
    return Draft(candidate=candidate, evidence=[answer, *more])


def built(draft: Draft, facts: Facts = FACTS) -> Finding:
    """The finding of a draft, before it is judged."""
    _, metric = detector_of(draft.candidate.metric)
    found = build_finding(metric, draft.candidate, draft.evidence, facts, None, PROJECT)
    assert found is not None
    return found


def finding_of(kind: Kind = "error", direction: Direction = "regression", segment: Segment | None = None) -> Finding:
    """A finding of that kind: 10 % of 100 a day, up from 5 %."""
    metric = next(metric for detector in DETECTORS for metric in detector.metrics if metric.kind == kind)
    spread = 1.0 if metric.shape == "mean" else None
    return built(
        draft_of(
            [(100, 10)] * 7, [(100, 5)] * 7, metric=metric.name, direction=direction, segment=segment, spread=spread
        )
    )


def concluded(*drafts: Draft, slices: int = 100, facts: Facts = FACTS) -> Conclusion:
    """What follows from these drafts, when each of their detectors compared so many slices."""
    looked = {draft.candidate.detector: slices for draft in drafts}
    return conclude({draft.id: draft for draft in drafts}, facts, looked, PLACE, final=False)
