"""An evaluation held against people's labels: each judge's result gets its calibration, and what to label next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hansei.contracts.calibration import Calibration, Disagreement, Unlabelled
from hansei.contracts.evaluation import UNCALIBRATED, Criterion, CriterionResult, EvaluationResult, Verdict
from hansei.tools.evaluation.agreement import Confusion
from hansei.tools.evaluation.calibrating_pairs import calibration_of_pairs, pairs_to_label
from hansei.tools.evaluation.calibrating_values import calibration_of_values, drawn_to_label, drifts_of, estimate_of
from hansei.tools.evaluation.calibration import Judged, Table, corrected, rates, split_of
from hansei.tools.evaluation.labelling import Pair, disagreements, next_to_label
from hansei.tools.evaluation.labels import Label


def calibrated(
    evaluation: EvaluationResult,
    verdicts: Sequence[Verdict],
    labels: Mapping[str, Mapping[str, Label]],
    earlier: Sequence[Verdict] = (),
    labels_before: Mapping[str, Mapping[str, Label]] | None = None,
) -> EvaluationResult:
    """The evaluation with a calibration for each judge.

    Args:
        evaluation: as it is without labels.
        verdicts: of its run, also on labelled traces that were not chosen; of pairs those that are settled.
        labels: criterion → trace → label.
        earlier: verdicts of earlier runs, for the drift of a judge over weeks, models and versions.
        labels_before: labels of their traces, which may be before the window. Default: those of the window.
    """
    results = []
    for one in evaluation.results:
        mine = labels.get(one.criterion.name, {})
        known = {**(labels_before or {}).get(one.criterion.name, {}), **mine}
        before = [
            v for v in earlier if v.criterion == one.criterion.name and v.trace_id in known and v.value is not None
        ]
        if one.criterion.kind == "pairwise":
            settled = [v for v in verdicts if _is_of(v, one.criterion)]
            found = calibration_of_pairs(settled, mine, [v for v in before if v.against in known], known)
            to_label = pairs_to_label(settled, _others(one.criterion.name, verdicts), mine)
            results.append(one.model_copy(update={"calibration": found or UNCALIBRATED, "to_label": to_label}))
        elif one.criterion.kind == "judge":
            results.append(_calibrated(one, verdicts, mine, before, known))
        else:
            results.append(one)
    return evaluation.model_copy(update={"results": results})


def _calibrated(
    result: CriterionResult, verdicts: Sequence[Verdict], labels: Mapping[str, Label], earlier: Sequence[Verdict],
    known: Mapping[str, Label],
) -> CriterionResult:  # fmt: skip
    criterion = result.criterion
    mine = {one.trace_id: one for one in verdicts if _is_of(one, criterion) and one.value is not None}
    if criterion.type == "boolean":
        pairs = [_pair(verdict, labels[id]) for id, verdict in sorted(mine.items()) if id in labels]
        before = [_pair(one, known[one.trace_id]) for one in earlier if isinstance(one.value, bool)]
        found = _calibration(result, pairs, before) if pairs else None
        to_label = _to_label(criterion.name, mine, verdicts, labels)
    else:
        found = calibration_of_values(criterion, mine, labels, earlier, known)
        to_label = drawn_to_label(mine, labels)
    return result.model_copy(update={"calibration": found or UNCALIBRATED, "to_label": to_label})


def _is_of(verdict: Verdict, criterion: Criterion) -> bool:
    """Whether a verdict says something about a criterion's judge: not on the examples that the judge was shown."""
    shown = {one.trace for one in criterion.examples}
    return (verdict.criterion, verdict.version) == (criterion.name, criterion.version) and verdict.trace_id not in shown


def _pair(verdict: Verdict, label: Label) -> Pair:
    return Pair(verdict.trace_id, verdict.value is False, not label.said, label.at, verdict.version, verdict.judged_by)


def _calibration(result: CriterionResult, pairs: Sequence[Pair], before: Sequence[Pair]) -> Calibration:
    measured = [one for one in pairs if split_of(one.trace_id) == "test"]
    table = Table.of((one.judge, one.human) for one in measured)
    kappa = (
        Confusion(("fail", "pass"), ((table.hit, table.miss), (table.alarm, table.clear))).kappa if table.n else None
    )
    found = Calibration(
        labels=len(pairs),
        tested=table.n,
        agreement=estimate_of(table.agreement, table.n) if table.n else None,
        kappa=table.kappa,
        kappa_interval=estimate_of(kappa, table.n) if kappa else None,
        drift=drifts_of(pairs, before),
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
    update = {"tpr": estimate_of(told.tpr, positives), "tnr": estimate_of(told.tnr, table.n - positives)}
    share_of_failures = corrected(told, population)
    if isinstance(share_of_failures, str):
        return found.model_copy(update={**update, "note": share_of_failures})
    return found.model_copy(update={**update, "corrected": estimate_of(share_of_failures, result.n)})


def _to_label(
    name: str, mine: Mapping[str, Verdict], verdicts: Sequence[Verdict], labels: Mapping[str, Label]
) -> list[Unlabelled]:
    judged = {id: verdict.value is False for id, verdict in mine.items()}
    return [
        Unlabelled(trace_id=one.trace_id, verdict="fail" if one.found else "pass", why=one.why)
        for one in next_to_label(judged, _others(name, verdicts), labels)
    ]


def _others(name: str, verdicts: Sequence[Verdict]) -> dict[str, dict[str, bool]]:
    """Of each trace whether the other criteria and checks found their failure, by name."""
    others: dict[str, dict[str, bool]] = {}
    for one in verdicts:
        if one.criterion != name and isinstance(one.value, bool):
            others.setdefault(one.trace_id, {})[one.criterion] = not one.value
    return others
