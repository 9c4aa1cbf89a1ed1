"""An evaluation for people: one line, a table, and a page of Markdown, in its language."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hansei.contracts import Estimate
from hansei.contracts.calibration import Calibration
from hansei.contracts.evaluation import CriterionResult, EvaluationResult
from hansei.tools.evaluation.judgements import DRIFTS, judgement_of
from hansei.tools.report.catalogue import Catalogue, catalogue
from hansei.tools.report.formats import format_count, format_estimate, format_span, format_value
from hansei.tools.report.judgement_view import believed_of, value_of
from hansei.tools.report.markdown_text import code, escape, paragraph, table

MOST_EXAMPLES = 3


@dataclass(frozen=True)
class Row:
    """A criterion's line."""

    name: str
    by: str
    value: str
    n: str
    unscored: str
    believed: str

    @property
    def cells(self) -> list[str]:
        return [self.name, self.by, self.value, self.n, self.unscored, self.believed]


def headline(evaluation: EvaluationResult) -> str:
    """What it comes to, in one line."""
    words, language = catalogue(evaluation.language), evaluation.language
    if not evaluation.results and evaluation.estimated:
        used = evaluation.estimated.usage
        return words.text(
            "evaluation.headline.estimated", calls=format_count(used.calls, language),
            tokens=format_value(used.tokens, "tokens", language),
        )  # fmt: skip
    failing = [one for one in evaluation.results if one.rate is not None and one.failing]
    failing.sort(key=lambda one: -(one.rate.value if one.rate else 0))
    worst = ", ".join(
        words.text("evaluation.worst", name=one.criterion.name, share=format_value(one.rate.value, "ratio", language))
        for one in failing[:3]
        if one.rate
    )
    key = "evaluation.headline" if worst else "evaluation.headline.none"
    count = format_count(evaluation.traces, language)
    return words.text(key, count=count, criteria=len(evaluation.results), worst=worst)


def headings(language: str) -> list[str]:
    """Of the table of `rows`."""
    words = catalogue(language)
    return [words.text(f"evaluation.{key}") for key in ("criterion", "by", "value", "n", "unscored", "believed")]


def rows(evaluation: EvaluationResult) -> list[Row]:
    """A line for each criterion, those that fail most first."""
    order = sorted(evaluation.results, key=lambda one: (-(one.rate.value if one.rate else 0), one.criterion.name))
    return [_row(one, catalogue(evaluation.language)) for one in order]


def _row(one: CriterionResult, words: Catalogue) -> Row:
    language, told = words.language, judgement_of(one)
    return Row(
        one.criterion.name,
        words.text(f"evaluation.kind.{one.criterion.kind}"),
        value_of(told, words),
        format_count(one.n, language),
        format_count(one.unscored, language),
        believed_of(told, words),
    )


def frame(evaluation: EvaluationResult) -> str:
    """What was looked at, in one line."""
    words, language = catalogue(evaluation.language), evaluation.language
    return words.text(
        "evaluation.of", project=evaluation.project_id, window=format_span(evaluation.window, language),
        traces=format_count(evaluation.traces, language), population=format_count(evaluation.population, language),
        plan=evaluation.plan,
    )  # fmt: skip


def remarks(evaluation: EvaluationResult) -> list[str]:
    """What must be known beside the table: the cost, what ended early, what is unscored and why, notes."""
    words, language, used = catalogue(evaluation.language), evaluation.language, evaluation.usage
    kept = sum(one.kept for one in evaluation.results)
    told: list[str] = []
    if evaluation.model and any(one.criterion.kind != "code" for one in evaluation.results):
        usd = words.text("evaluation.usd", usd=format_value(used.usd, "usd", language)) if used.usd else ""
        told.append(
            words.text(
                "evaluation.cost", calls=format_count(used.calls, language), usd=usd, kept=format_count(kept, language),
                tokens=format_value(used.tokens, "tokens", language),
            )
        )  # fmt: skip
    if (before := evaluation.before).calls:
        usd = words.text("evaluation.usd", usd=format_value(before.usd, "usd", language)) if before.usd else ""
        told.append(words.text("evaluation.before", tokens=format_value(before.tokens, "tokens", language), usd=usd))
    if evaluation.stopped:
        told.append(words.text("evaluation.stopped", reason=evaluation.stopped))
    for one in evaluation.results:
        if one.reasons:
            reasons = ", ".join(
                f"{words.text(f'evaluation.reason.{key}')} {format_count(count, language)}"
                for key, count in one.reasons.items()
            )
            count = format_count(one.unscored, language)
            told.append(words.text("evaluation.why", name=one.criterion.name, count=count, reasons=reasons))
    for one in evaluation.results:
        if one.rate is not None and one.sound is not None:
            shares = {
                key: format_estimate(of, "ratio", language) for key, of in (("bad", one.rate), ("sound", one.sound))
            }
            told.append(words.text("evaluation.beside", name=one.criterion.name, **shares))
    if any(_is_uncalibrated(one) for one in evaluation.results):
        told.append(words.text("evaluation.uncalibrated_note"))
    return [*told, *_on_judges(evaluation, words), *evaluation.notes]


def _on_judges(evaluation: EvaluationResult, words: Catalogue) -> list[str]:
    """Why a judge has no rates, that it drifts, where people see it otherwise, what to label next."""
    told, language = [], words.language
    for one in evaluation.results:
        name, found = one.criterion.name, one.calibration
        if isinstance(found, Calibration):
            if found.note:
                count = format_count(found.labels, language)
                told.append(words.text("evaluation.no_rates", name=name, labels=count, reason=found.note))
            for drift in found.drift:
                if drift.p < DRIFTS:
                    groups = ", ".join(
                        f"{group.name} {format_value(group.agreement.value, 'ratio', language)}"
                        for group in drift.groups
                    )
                    by = words.text(f"evaluation.drift.{drift.by}")
                    told.append(words.text("evaluation.drifts", name=name, by=by, groups=groups))
            if found.disagreements:
                cases = ", ".join(one.trace_id for one in found.disagreements[:5])
                count = format_count(len(found.disagreements), language)
                told.append(words.text("evaluation.disagreements", name=name, count=count, cases=cases))
            told += _by_category(one, found, words)
        if (pair := one.pairwise) is not None and pair.first_place and pair.second_place:
            places = (format_estimate(of, "ratio", language) for of in (pair.first_place, pair.second_place))
            told.append(words.text("evaluation.places", name=name, first=next(places), second=next(places)))
        if one.to_label and _is_uncalibrated(one):
            count = format_count(len(one.to_label), language)
            told.append(words.text("evaluation.to_label", name=name, count=count))
    return told


def _is_uncalibrated(one: CriterionResult) -> bool:
    found = one.calibration
    return found == "uncalibrated" or (isinstance(found, Calibration) and not found.is_measured)


def _by_category(result: CriterionResult, found: Calibration, words: Catalogue) -> list[str]:
    """What a judge of categories or pairs finds of each; of pairs also its agreement where both prefer one."""
    if not found.categories:
        return []
    language, name = words.language, result.criterion.name

    def rate(of: Estimate | None) -> str:
        return format_estimate(of, "ratio", language) if of else "–"

    rates = "; ".join(
        words.text("evaluation.category", name=one.name, tpr=rate(one.tpr), tnr=rate(one.tnr), count=one.people)
        for one in found.categories
        if one.people
    )
    told = [words.text("evaluation.categories", name=name, rates=rates)]
    if found.decided is not None:
        told.append(words.text("evaluation.decided", name=name, agreement=rate(found.decided)))
    return told


def render_evaluation(evaluation: EvaluationResult) -> str:
    """The evaluation as a page of Markdown; ends with one line end."""
    words = catalogue(evaluation.language)
    cells = [[escape(cell) for cell in row.cells] for row in rows(evaluation)]
    blocks = [
        f"# {words.text('evaluation.title')}",
        f"**{paragraph(headline(evaluation))}**",
        paragraph(frame(evaluation)),
    ]
    if cells:
        heads = [escape(one) for one in headings(evaluation.language)]
        blocks.append(table(heads, cells, [False, False, False, True, True, False]))
    blocks.append("\n".join(f"- {paragraph(text)}" for text in remarks(evaluation)))
    if examples := _examples(evaluation.results, words):
        blocks += [f"## {words.text('evaluation.failing')}", *examples]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _examples(results: Sequence[CriterionResult], words: Catalogue) -> list[str]:
    blocks = []
    for one in results:
        if not one.examples:
            continue
        lines = [f"**{escape(one.criterion.name)}**: {escape(one.criterion.definition)}", ""]
        for verdict in one.examples[:MOST_EXAMPLES]:
            told = words.text("evaluation.example", trace=verdict.trace_id, reason=verdict.reason or "–")
            quote = f" {code(verdict.quote)}" if verdict.quote else ""
            lines.append(f"- {paragraph(told)}{quote}")
        blocks.append("\n".join(lines))
    return blocks
