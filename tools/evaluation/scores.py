"""Verdicts as scores for Langfuse."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from hansei.contracts.evaluation import Criterion, EvaluationResult, Verdict
from hansei.tools.evaluation.choosing import Chosen
from hansei.tools.writeback import PendingScore

_KINDS = {"boolean": "BOOLEAN", "numeric": "NUMERIC", "categorical": "CATEGORICAL"}


def pending_scores(
    evaluation: EvaluationResult, verdicts: Sequence[Verdict], chosen: Sequence[Chosen]
) -> Iterator[PendingScore]:
    """A score for each verdict on a trace that has a value, on the trace as a whole. What is unscored, and which of two
    traces is better, is written nowhere.

    Args:
        evaluation: with the criteria.
        verdicts: of its run.
        chosen: the traces, with their times: a score is given the time of its trace, so that a rerun updates it.
    """
    criteria = {one.criterion.name: one.criterion for one in evaluation.results if one.criterion.kind != "pairwise"}
    by_id: Mapping[str, Chosen] = {one.id: one for one in chosen}
    for verdict in verdicts:
        criterion, trace = criteria.get(verdict.criterion), by_id.get(verdict.trace_id)
        if criterion is None or trace is None or verdict.value is None or criterion.version != verdict.version:
            continue
        yield PendingScore(
            name=criterion.score_name,
            value=_value(criterion, verdict.value),
            data_type=_KINDS[criterion.type],
            trace_id=verdict.trace_id,
            scored_at=trace.at,
            criterion=criterion.name,
            criterion_version=criterion.version,
            comment=_comment(verdict) or None,
            environment=trace.environment or None,
            config_id=criterion.config_id,
            metadata={
                "hansei_kind": criterion.kind,
                "hansei_model": evaluation.model if criterion.kind != "code" else None,
                "hansei_observation": verdict.observation_id,
            },
        )


def _value(criterion: Criterion, value: bool | float | str) -> bool | float | str:
    if criterion.type == "boolean":
        return bool(value) == (criterion.true_means == "pass")
    return float(value) if criterion.type == "numeric" else value


def _comment(verdict: Verdict) -> str:
    quote = f"“{verdict.quote}”" if verdict.quote and verdict.value is not True else ""
    return " ".join(part for part in (verdict.reason, quote) if part)
