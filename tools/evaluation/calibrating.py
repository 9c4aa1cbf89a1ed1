"""An evaluation held against people's labels: each judge's result gets its calibration, and what to label next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hansei.contracts import Estimate
from hansei.contracts.evaluation import (
    UNCALIBRATED,
    Calibration,
    CriterionResult,
    Disagreement,
    DriftOfJudge,
    EvaluationResult,
    GroupOfLabels,
    Unlabelled,
    Verdict,
)
from hansei.tools.evaluation.calibration import Judged, Table, corrected, rates, split_of
from hansei.tools.evaluation.labelling import Pair, disagreements, drift, next_to_label
from hansei.tools.evaluation.labels import Label
from hansei.tools.statistics import Interval

DRIFTS = ("week", "version", "judged_by")


def calibrated(
    evaluation: EvaluationResult,
    verdicts: Sequence[Verdict],
    labels: Mapping[str, Mapping[str, Label]],
    earlier: Sequence[Verdict] = (),
) -> EvaluationResult:
    """The evaluation with a calibration for each judge of pass and fail.

    Args:
        evaluation: as it is without labels.
        verdicts: of its run, also on labelled traces that were not chosen.
        labels: criterion → trace → label.
        earlier: verdicts of earlier runs, for the drift of a judge over models and versions.
    """
    results = [
        _calibrated(one, verdicts, labels.get(one.criterion.name, {}), earlier)
        if one.criterion.kind == "judge" and one.criterion.type == "boolean"
        else one
        for one in evaluation.results
    ]
    return evaluation.model_copy(update={"results": results})


def _calibrated(
    result: CriterionResult, verdicts: Sequence[Verdict], labels: Mapping[str, Label], earlier: Sequence[Verdict]
) -> CriterionResult:
    name = result.criterion.name
    mine = {
        one.trace_id: one
        for one in verdicts
        if one.criterion == name and one.version == result.criterion.version and one.value is not None
    }
    pairs = [_pair(verdict, labels[id]) for id, verdict in sorted(mine.items()) if id in labels]
    return result.model_copy(
        update={
            "calibration": _calibration(result, pairs, labels, earlier) if pairs else UNCALIBRATED,
            "to_label": _to_label(name, mine, verdicts, labels),
        }
    )


def _pair(verdict: Verdict, label: Label) -> Pair:
    return Pair(
        verdict.trace_id, verdict.value is False, not label.passes, label.at, verdict.version, verdict.judged_by
    )


def _calibration(
    result: CriterionResult, pairs: Sequence[Pair], labels: Mapping[str, Label], earlier: Sequence[Verdict]
) -> Calibration:
    measured = [one for one in pairs if split_of(one.trace_id) == "test"]
    table = Table.of((one.judge, one.human) for one in measured)
    found = Calibration(
        labels=len(pairs),
        tested=table.n,
        agreement=_estimate(table.agreement, table.n) if table.n else None,
        kappa=table.kappa,
        drift=_drifts(pairs, labels, earlier, result.criterion.name),
        disagreements=[
            Disagreement(trace_id=one.trace_id, people="fail" if one.human else "pass") for one in disagreements(pairs)
        ],
    )
    share = result.rate.value if result.rate else 0.0
    population = Judged(round(share * result.n), result.n)
    told = rates(table, population if result.n else None)
    if isinstance(told, str):
        return found.model_copy(update={"note": told})
    positives = table.hit + table.miss
    update = {"tpr": _estimate(told.tpr, positives), "tnr": _estimate(told.tnr, table.n - positives)}
    share_of_failures = corrected(told, population)
    if isinstance(share_of_failures, str):
        return found.model_copy(update={**update, "note": share_of_failures})
    return found.model_copy(update={**update, "corrected": _estimate(share_of_failures, result.n)})


def _drifts(
    pairs: Sequence[Pair], labels: Mapping[str, Label], earlier: Sequence[Verdict], name: str
) -> list[DriftOfJudge]:
    """By week over this run's labels; by version and model over those of earlier runs as well."""
    before = [
        _pair(one, labels[one.trace_id])
        for one in earlier
        if one.criterion == name and one.value is not None and one.trace_id in labels
    ]
    out = []
    for by in DRIFTS:
        known = {(one.trace_id, one.version, one.judged_by): one for one in [*before, *pairs]}
        found = drift(pairs if by == "week" else list(known.values()), by)
        if found is not None:
            groups = [GroupOfLabels(name=one.name, agreement=_estimate(one.agreement, one.n)) for one in found.groups]
            out.append(DriftOfJudge.model_validate({"by": by, "groups": groups, "p": round(found.p, 6)}))
    return out


def _to_label(
    name: str, mine: Mapping[str, Verdict], verdicts: Sequence[Verdict], labels: Mapping[str, Label]
) -> list[Unlabelled]:
    others: dict[str, dict[str, bool]] = {}
    for one in verdicts:
        if one.criterion != name and isinstance(one.value, bool):
            others.setdefault(one.trace_id, {})[one.criterion] = not one.value
    judged = {id: verdict.value is False for id, verdict in mine.items()}
    return [
        Unlabelled(trace_id=one.trace_id, verdict="fail" if one.found else "pass", why=one.why)
        for one in next_to_label(judged, others, labels)
    ]


def _estimate(interval: Interval, n: int) -> Estimate:
    return Estimate(value=interval.value, n=n, low=interval.low, high=interval.high)
