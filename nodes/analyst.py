"""analyst: measures the candidates of one task, each with its own queries.

Several run in parallel, one per task. Rule policy: the detector's measures. What comes back are drafts: a candidate and
its evidence; the numbers are computed from them later, so an analyst cannot get one wrong.
"""

from __future__ import annotations

from typing import Any

from langgraph.runtime import Runtime
from typing_extensions import TypedDict

from hansei.context import Context
from hansei.contracts import Evidence
from hansei.errors import ConnectionFailed, HanseiError, QueryFailed
from hansei.nodes.scope import (
    CANDIDATES,
    Costs,
    Scope,
    Screened,
    Steps,
    Task,
    bill,
    dataset_of,
    strongest,
)
from hansei.tools.clickhouse import Reader
from hansei.tools.langfuse.dataset import Dataset
from hansei.tools.playbook.catalogue import detector as detector_named
from hansei.tools.playbook.conclude import Draft
from hansei.tools.playbook.measure import LEVELS, measure, quantiles
from hansei.tools.playbook.model import Candidate, Metric, Screening


class AnalystInput(TypedDict):
    """One task, and the scope to look at."""

    scope: Scope
    task: Task
    costs: Costs


class AnalystOutput(TypedDict):
    """What was measured, by fingerprint, and how the detector fared."""

    drafts: dict[str, dict[str, Any]]
    screened: dict[str, Screened]
    costs: Costs


ATTEMPTS = 3
"""How often the graph runs an analyst whose failure `is_transient`."""


def analyst(state: AnalystInput, runtime: Runtime[Context]) -> dict[str, Any]:
    """Screens the data if the profile could not, then measures what passed.

    A query that is refused ends this task alone: what was measured before it and the others' work stand, and the
    coverage statement says what is missing.

    Raises:
        ConnectionFailed: ClickHouse is gone, so nobody can measure anything now; the run can be resumed from here.
        QueryFailed: `is_transient`, and not the last attempt.
    """
    task = state["task"]
    detector = detector_named(task["detector"])
    steps = Steps(runtime, "analyst", detector.question, task=detector.name)
    out: dict[str, Any] = {"drafts": {}, "screened": {}}
    read = 0
    readers: list[Reader] = []
    try:
        dataset = dataset_of(state["scope"], runtime, state["costs"])
        readers.append(dataset.reader)
        if task["candidates"] is None:
            if detector.screen_data is None:
                raise ValueError(f"the task for {detector.name} names no candidates, and it cannot screen by itself")
            out["screened"][detector.name] = _screened(Screening([], 0, "skipped", ""), "")
            screening = detector.screen_data(dataset)
            candidates, left_out = strongest(screening.candidates)
            out["screened"][detector.name] = _screened(screening, left_out)
        else:
            candidates = CANDIDATES.validate_python(task["candidates"])
        for candidate in candidates:
            draft = measure_candidate(dataset, candidate)
            read += sum(item.rows_read for item in draft.evidence)
            out["drafts"][draft.id] = draft.model_dump(mode="json")
    except HanseiError as error:
        steps.failed(error.message)
        attempt = runtime.execution_info.node_attempt if runtime.execution_info else ATTEMPTS
        if isinstance(error, ConnectionFailed) or (is_transient(error) and attempt < ATTEMPTS):
            raise
        out["screened"].setdefault(detector.name, {}).update({"status": "partial", "reason": error.message})
        return {**out, "costs": bill("analyst", *readers)}
    measured = len(out["drafts"])
    steps.finished(f"{measured} candidate{'' if measured == 1 else 's'} measured", rows_read=read)
    return {**out, "costs": bill("analyst", *readers)}


def measure_candidate(dataset: Dataset, candidate: Candidate) -> Draft:
    """The figures of one candidate."""
    detector = detector_named(candidate.detector)
    metric = detector.metric(candidate.metric)
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


def _screened(screening: Screening, left_out: str) -> Screened:
    return {
        "status": "partial" if left_out else screening.status,
        "reason": "; ".join(part for part in (screening.reason, left_out) if part),
        "slices": screening.slices,
        "candidates": [],
    }


def is_transient(error: Exception) -> bool:
    """Whether the same query may succeed when it is sent again; never true of bad SQL or a missing grant."""
    return isinstance(error, QueryFailed) and error.retryable
