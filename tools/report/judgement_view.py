"""What traces were judged by, ready to be shown: no judge's share without how far it can be believed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hansei.contracts.report import Judgement
from hansei.tools.report.catalogue import Catalogue, catalogue
from hansei.tools.report.formats import format_count, format_estimate, format_value
from hansei.tools.report.text import excerpt, one_line

LONGEST = 300


@dataclass(frozen=True)
class JudgementRow:
    """One criterion."""

    criterion: str
    definition: str
    kind: str
    value: str
    is_figure: bool
    """Whether the value is one figure, and no text of several."""
    n: str
    unscored: str
    believed: str


def judgement_rows(judgements: Sequence[Judgement], language: str) -> list[JudgementRow]:
    """The rows, what fails most first."""
    order = sorted(judgements, key=lambda one: (-(one.failing.value if one.failing else 0.0), one.criterion))
    return [_row(one, catalogue(language)) for one in order]


def _row(one: Judgement, words: Catalogue) -> JudgementRow:
    language = words.language
    return JudgementRow(
        criterion=excerpt(one_line(one.criterion), LONGEST),
        definition=excerpt(one_line(one.definition), LONGEST),
        kind=words.text(f"evaluation.kind.{one.kind}"),
        value=value_of(one, words),
        is_figure=not (one.shares or one.pairwise),
        n=format_count(one.n if one.n is not None else one.failing.n if one.failing else 0, language),
        unscored=format_count(one.unscored, language),
        believed=believed_of(one, words),
    )


def value_of(one: Judgement, words: Catalogue) -> str:
    """What it comes to: the failing share, the mean, the shares, or how often which version is better."""
    language = words.language
    if one.pairwise is not None and one.compared is not None:
        pair, changed = one.pairwise, one.pairwise.order_dependent
        return words.text(
            "evaluation.pairwise", first=one.compared.first, second=one.compared.second, a=pair.first, b=pair.second,
            tie=pair.tie, changed=format_estimate(changed, "ratio", language) if changed else "0",
        )  # fmt: skip
    if one.failing is not None:
        return format_estimate(one.failing, "ratio", language)
    if one.mean is not None:
        return words.text("evaluation.mean", mean=format_estimate(one.mean, "score", language))
    if one.shares:
        return "; ".join(f"{name} {format_estimate(share, 'ratio', language)}" for name, share in one.shares.items())
    return words.text("evaluation.nothing") if not one.unscored else "–"


def believed_of(one: Judgement, words: Catalogue) -> str:
    """How far the judge can be believed, and whether that differs from week to week, say."""
    by = ", ".join(words.text(f"evaluation.drift.{name}") for name in one.drifts)
    return _measured(one, words) + (f"; {words.text('evaluation.drifting', by=by)}" if by else "")


def _measured(one: Judgement, words: Catalogue) -> str:
    language, labels = words.language, format_count(one.labels, words.language)
    if one.calibration != "calibrated":
        return words.text("evaluation.not_needed" if one.calibration == "not_needed" else "evaluation.uncalibrated")
    if (numeric := one.numeric) is not None:
        return words.text(
            "evaluation.numeric", labels=labels, tolerance=format_value(numeric.tolerance, "score", language),
            within=format_estimate(numeric.within, "ratio", language),
            spearman=format_estimate(numeric.spearman, "score", language) if numeric.spearman else "–",
            bias=format_estimate(numeric.bias, "score", language),
        )  # fmt: skip
    if one.agreement is not None:
        return words.text(
            "evaluation.agrees", agreement=format_estimate(one.agreement, "ratio", language), labels=labels,
            kappa=format_estimate(one.kappa, "score", language) if one.kappa else "–",
        )  # fmt: skip
    if one.tpr is None or one.tnr is None:
        return words.text("evaluation.uncalibrated")
    told = words.text(
        "evaluation.calibrated", tpr=format_estimate(one.tpr, "ratio", language),
        tnr=format_estimate(one.tnr, "ratio", language), labels=labels,
    )  # fmt: skip
    if one.corrected is None:
        return told
    return f"{told}; {words.text('evaluation.corrected', share=format_estimate(one.corrected, 'ratio', language))}"
