"""From a candidate to a draft: the queries that measure it, with their answers."""

from __future__ import annotations

from hansei.contracts import Comparison, Evidence
from hansei.tools.langfuse.dataset import Dataset
from hansei.tools.playbook.catalogue import detector_of
from hansei.tools.playbook.conclude import Draft
from hansei.tools.playbook.measure import LEVELS, measure, quantiles
from hansei.tools.playbook.model import Candidate, Metric


def measure_candidate(dataset: Dataset, candidate: Candidate) -> Draft:
    """The figures of one candidate."""
    metric = detector_of(candidate.metric)[1]
    draft = Draft(candidate=candidate)
    evidence: list[Evidence] = []
    if metric.shape == "quantile":
        # What counts as slow is the reference's own quantile; without a reference nothing does.
        probe = candidate.model_copy(update={"parameters": {"slow_ms": 0.0}})
        grid = quantiles(dataset, metric, probe, f"{draft.id}.quantiles")
        evidence.append(grid)
        candidate = candidate.model_copy(update={"parameters": {"slow_ms": _slow_ms(metric, candidate, grid)}})
        draft = Draft(candidate=candidate)
    evidence.append(measure(dataset, metric, candidate, f"{draft.id}.measure"))
    return Draft(candidate=candidate, evidence=evidence)


def _slow_ms(metric: Metric, candidate: Candidate, grid: Evidence) -> float:
    other = "baseline" if candidate.comparison.against == "baseline" else "rest"
    rows = {str(row["period"]): row for row in grid.records()}
    if other not in rows:
        return 0.0
    return round(float(rows[other]["seconds"][LEVELS.index(metric.level)]) * 1000, 3)


def narrowed(candidate: Candidate, part: dict[str, str], known: float) -> Candidate:
    """The candidate about a part of it. A part that the reference hardly knows is compared with everybody in it."""
    theirs = part if known >= detector_of(candidate.metric)[1].min_n else {}
    comparison = Comparison(against=candidate.comparison.against, segment={**candidate.comparison.segment, **theirs})
    return candidate.model_copy(update={"segment": {**candidate.segment, **part}, "comparison": comparison})
