"""Judges of categories and numbers held against people's labels; what of it all kinds of judges share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hansei.contracts import Estimate
from hansei.contracts.calibration import (
    Calibration,
    CategoryRates,
    Disagreement,
    DriftOfJudge,
    GroupOfLabels,
    Numeric,
    Unlabelled,
)
from hansei.contracts.evaluation import Criterion, Verdict
from hansei.tools.evaluation.agreement import FEWEST, TOLERANCE, Confusion, Numbers
from hansei.tools.evaluation.calibration import split_of
from hansei.tools.evaluation.labelling import TO_LABEL, Pair, drift, shuffled
from hansei.tools.evaluation.labels import Label, Said
from hansei.tools.statistics import Interval

DRIFTS = ("week", "version", "judged_by")
MOST_DISAGREEMENTS = 20


def calibration_of_values(
    criterion: Criterion, mine: Mapping[str, Verdict], labels: Mapping[str, Label], earlier: Sequence[Verdict],
    before: Mapping[str, Label] | None = None,
) -> Calibration | None:  # fmt: skip
    """A judge of categories or of numbers held against people; None: no trace has both.

    Args:
        criterion: the judge's.
        mine: its verdicts of this run, by trace.
        labels: people's, by trace: categories of the criterion, or numbers of its range.
        earlier: its verdicts of earlier runs, for its drift.
        before: labels of their traces. Default: `labels`.
    """
    span, before = _span(criterion), labels if before is None else before

    def agrees(verdict: Verdict, labels: Mapping[str, Label] = labels) -> Pair:
        """As a pair for the drift, which looks at nothing but whether both are the same."""
        label = labels[verdict.trace_id]
        same = _is_same(verdict.value, label.said, span)
        return Pair(verdict.trace_id, same, True, label.at, verdict.version, verdict.judged_by)

    both = [verdict for id, verdict in sorted(mine.items()) if id in labels]
    if not both:
        return None
    tested = [one for one in both if split_of(one.trace_id) == "test"]
    others = [one for one in both if split_of(one.trace_id) != "test" and not agrees(one).judge]
    others.sort(key=lambda one: (labels[one.trace_id].at, one.trace_id), reverse=True)
    found = Calibration(
        labels=len(both),
        tested=len(tested),
        drift=drifts_of(
            [agrees(one) for one in both],
            [agrees(one, before) for one in earlier if one.trace_id in before and _fits(criterion, one)],
        ),
        disagreements=[
            Disagreement(trace_id=one.trace_id, people=shown(labels[one.trace_id].said))
            for one in others[:MOST_DISAGREEMENTS]
        ],
    )
    if len(tested) < FEWEST:
        return found.model_copy(update={"note": too_few(len(tested))})
    if criterion.type == "numeric":
        numbers = Numbers(
            tuple(float(one.value or 0) for one in tested),
            tuple(float(labels[one.trace_id].said) for one in tested),
            span,
        )
        return found.model_copy(update={"numeric": _numeric(numbers)})
    told = [(str(one.value), str(labels[one.trace_id].said)) for one in tested]
    return found.model_copy(update=agreement_of(Confusion.of(told, criterion.categories)))


def drawn_to_label(mine: Mapping[str, Verdict], labels: Mapping[str, Label]) -> list[Unlabelled]:
    """The traces that people should label next for a judge of categories or numbers: drawn by chance alone, since
    nothing weights its measures back to all traces."""
    drawn = sorted((id for id in mine if id not in labels), key=shuffled)[:TO_LABEL]
    return [Unlabelled(trace_id=id, verdict=shown(mine[id].value), why="drawn") for id in drawn]


def drifts_of(pairs: Sequence[Pair], before: Sequence[Pair]) -> list[DriftOfJudge]:
    """Whether a judge agrees with people alike: by week, by version and by model, over this run's labels and those of
    earlier runs. By week only what the same model said by the same version of prompt and criterion counts.

    Args:
        pairs: of this run.
        before: of earlier ones; what this run judged as well is there once.
    """
    out = []
    now = {(one.version, one.judged_by) for one in pairs}
    known = {(one.trace_id, one.version, one.judged_by): one for one in [*before, *pairs]}
    for by in DRIFTS:
        found = drift([one for key, one in known.items() if by != "week" or key[1:] in now], by)
        if found is not None:
            groups = [GroupOfLabels(name=one.name, agreement=estimate_of(one.agreement, one.n)) for one in found.groups]
            out.append(DriftOfJudge.model_validate({"by": by, "groups": groups, "p": round(found.p, 6)}))
    return out


def estimate_of(interval: Interval, n: int) -> Estimate:
    return Estimate(value=interval.value, n=n, low=interval.low, high=interval.high)


def shown(value: Said | None) -> str:
    """A verdict or label as text."""
    if isinstance(value, bool):
        return "pass" if value else "fail"
    return f"{value:g}" if isinstance(value, float | int) else str(value)


def agreement_of(confusion: Confusion) -> dict[str, object]:
    n, kappa = confusion.n, confusion.kappa
    categories = []
    for i, name in enumerate(confusion.names):
        people = sum(confusion.counts[i])
        tpr, tnr = confusion.rates(name)
        categories.append(
            CategoryRates(
                name=name, people=people, tpr=estimate_of(tpr, people) if tpr else None,
                tnr=estimate_of(tnr, n - people) if tnr else None,
            )
        )  # fmt: skip
    rows = zip(confusion.names, confusion.counts, strict=True)
    return {
        "agreement": estimate_of(confusion.agreement, n), "kappa": kappa.value if kappa else None,
        "kappa_interval": estimate_of(kappa, n) if kappa else None, "categories": categories,
        "confusion": {name: dict(zip(confusion.names, row, strict=True)) for name, row in rows},
    }  # fmt: skip


def _numeric(numbers: Numbers) -> Numeric:
    spearman = numbers.spearman
    return Numeric(
        spearman=estimate_of(spearman, numbers.n) if spearman else None, within=estimate_of(numbers.within, numbers.n),
        tolerance=TOLERANCE * numbers.span, bias=estimate_of(numbers.bias, numbers.n),
    )  # fmt: skip


def _span(criterion: Criterion) -> float:
    """How far a number may go; 0 of a category."""
    if criterion.lowest is None or criterion.highest is None:
        return 0.0
    return criterion.highest - criterion.lowest


def _is_same(judge: Said | None, people: Said, span: float) -> bool:
    if span and judge is not None:
        return Numbers((), (), span).is_same(float(judge), float(people))
    return judge == people


def _fits(criterion: Criterion, verdict: Verdict) -> bool:
    """Whether an earlier verdict is of the same type: the criterion may have been another one then."""
    return isinstance(verdict.value, str) == (criterion.type == "categorical") and not isinstance(verdict.value, bool)


def too_few(tested: int) -> str:
    return f"{tested} test labels: at least {FEWEST} are needed"
