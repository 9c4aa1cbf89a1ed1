"""What traces were judged by, ready to be shown: no judge's share without how far it can be believed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hansei.contracts.report import Judgement
from hansei.tools.report.catalogue import Catalogue, catalogue
from hansei.tools.report.formats import format_count, format_estimate
from hansei.tools.report.text import excerpt, one_line

LONGEST = 300


@dataclass(frozen=True)
class JudgementRow:
    """One criterion."""

    criterion: str
    definition: str
    kind: str
    failing: str
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
        failing=format_estimate(one.failing, "ratio", language) if one.failing else "–",
        n=format_count(one.failing.n if one.failing else 0, language),
        unscored=format_count(one.unscored, language),
        believed=_believed(one, words),
    )


def _believed(one: Judgement, words: Catalogue) -> str:
    language = words.language
    if one.calibration != "calibrated" or one.tpr is None or one.tnr is None:
        return words.text("evaluation.not_needed" if one.calibration == "not_needed" else "evaluation.uncalibrated")
    told = words.text(
        "evaluation.calibrated", tpr=format_estimate(one.tpr, "ratio", language),
        tnr=format_estimate(one.tnr, "ratio", language), labels=format_count(one.labels, language),
    )  # fmt: skip
    if one.corrected is None:
        return told
    return f"{told}; {words.text('evaluation.corrected', share=format_estimate(one.corrected, 'ratio', language))}"
