"""What a model looked into, ready to be shown: see `hansei.tools.report.view`."""

from __future__ import annotations

from dataclasses import dataclass

from hansei.contracts import Category, Finding, Investigation, Report
from hansei.tools.report import formats
from hansei.tools.report.catalogue import catalogue
from hansei.tools.report.finding_view import FindingView, finding_view
from hansei.tools.report.labels import label, segment_text
from hansei.tools.report.notices import said
from hansei.tools.report.proof_view import ProofView, proof_view
from hansei.tools.report.text import excerpt, one_line, visible

LONGEST = 2_000
MOST_EXAMPLES = 3
OTHER = "other"


@dataclass(frozen=True)
class CategoryRow:
    """One label of a taxonomy."""

    label: str
    definition: str
    share: str
    interval: str
    count: str
    """How many of how many."""
    examples: list[str]
    """Ids of traces."""


@dataclass(frozen=True)
class InvestigationView:
    """One question that was looked into."""

    number: int
    question: str
    verdict: str
    verdict_label: str
    answer: str
    """Never empty: says so when there is none."""
    hypothesis: str
    refuted_by: str
    place: str
    """What the categories are shares of; empty without categories."""
    categories: list[CategoryRow]
    unread: str
    findings: list[FindingView]
    told_by: list[tuple[int, str]]
    """Number and title of findings of the report."""
    proof: list[ProofView]
    notes: list[str]


def investigation_views(report: Report) -> list[InvestigationView]:
    """All questions that were looked into, in the report's order."""
    return [_view(one, number, report) for number, one in enumerate(report.investigations, start=1)]


def _view(one: Investigation, number: int, report: Report) -> InvestigationView:
    language, words = report.language, catalogue(report.language)
    taxonomy = one.taxonomy
    numbers = {finding.id: (place, finding) for place, finding in enumerate(report.findings, start=1)}
    answer = _text(one.answer) or words.text(
        "investigation.unanswerable" if one.verdict == "unanswerable" else "investigation.no_answer"
    )
    return InvestigationView(
        number=number,
        question=_text(one.question),
        verdict=one.verdict,
        verdict_label=words.text(f"investigation.verdict.{one.verdict}"),
        answer=answer,
        hypothesis=_text(one.hypothesis),
        refuted_by=_text(one.refuted_by),
        place=""
        if taxonomy is None
        else words.text(
            "investigation.place",
            metric=label("metric", taxonomy.metric, language),
            segment=segment_text(taxonomy.segment, language),
            count=formats.format_count(sum(len(row.trace_ids) for row in taxonomy.categories), language),
        ),
        categories=[_category(row, language) for row in taxonomy.categories] if taxonomy else [],
        unread=words.text("investigation.unread", count=formats.format_count(taxonomy.unread, language))
        if taxonomy and taxonomy.unread
        else "",
        findings=[finding_view(finding, place, language) for place, finding in enumerate(one.findings, start=1)],
        told_by=[_told(numbers[id]) for id in one.told_by if id in numbers],
        proof=[proof_view(item, language) for item in one.evidence],
        notes=[_text(said(note, language)) for note in one.notes],
    )


def _told(numbered: tuple[int, Finding]) -> tuple[int, str]:
    number, finding = numbered
    return number, _text(finding.title)


def _category(row: Category, language: str) -> CategoryRow:
    words, share = catalogue(language), row.share
    return CategoryRow(
        label=words.text("investigation.other") if row.label == OTHER else excerpt(one_line(row.label), 100),
        definition=excerpt(one_line(row.definition), 300),
        share=formats.format_value(share.value, "ratio", language),
        interval=formats.format_interval(share.low, share.high, "ratio", language),
        count=words.text(
            "investigation.of",
            part=formats.format_count(len(row.trace_ids), language),
            whole=formats.format_count(share.n, language),
        ),
        examples=[excerpt(one_line(id), 200) for id in row.trace_ids[:MOST_EXAMPLES]],
    )


def _text(text: str) -> str:
    return excerpt(one_line(visible(text)), LONGEST)
