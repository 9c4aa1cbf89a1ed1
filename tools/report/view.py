"""A report made ready to be shown: every number formatted, every label translated, every text cleaned and capped.

The renderers for Markdown and HTML (and a terminal) all read this view, so that they say the same; what is left to them
is escaping and layout. Strings here are plain text: they may still hold ``<``, ``|`` or anything else that means
something in a renderer's own syntax. Nothing is computed but shares and changes of two figures of the report.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from hansei.contracts import SEVERITIES, Report, Window
from hansei.contracts.spent import Usage
from hansei.tools.report import formats
from hansei.tools.report.catalogue import Catalogue, catalogue
from hansei.tools.report.finding_view import Fact, FindingView, by_model, finding_view, gain_text
from hansei.tools.report.flow_view import FlowView, flow_note, flow_views
from hansei.tools.report.health_view import HealthRow, SignRow, sign_rows, totals, totals_note
from hansei.tools.report.investigation_view import InvestigationView, investigation_views
from hansei.tools.report.judgement_view import JudgementRow, judgement_rows
from hansei.tools.report.labels import label
from hansei.tools.report.notices import said
from hansei.tools.report.proof_view import ProofView, proof_view
from hansei.tools.report.since_view import SinceView, since_view
from hansei.tools.report.text import excerpt, one_line, safe_url, visible

_SENTENCE_END = re.compile(r"(?<=.{20}[.!?])\s+(?=[^\Wa-z])|(?<=。)(?=.)")

MOST_ACTIONS = 3
LONGEST_TEXT = 4_000


@dataclass(frozen=True)
class Action:
    """One of the first things to do."""

    number: int
    """Of the finding, counted from 1."""
    text: str
    title: str
    gain: str
    badge: str
    badge_label: str


@dataclass(frozen=True)
class DetectorRow:
    name: str
    status: str
    status_label: str
    slices: str
    reason: str


@dataclass(frozen=True)
class PlanRow:
    id: str
    detector: str
    question: str
    reason: str


@dataclass(frozen=True)
class ReportView:
    language: str
    project: str
    headline: str
    """The verdict's first sentence."""
    verdict: str
    """What else the verdict says; may be empty."""
    summary: str
    """In a model's words; '' when there are none."""
    summary_by: str
    question: str | None
    counts: list[tuple[str, str]]
    """(severity, text) for each severity that has problems, then the improvements."""
    periods: list[Fact]
    looked_at: str
    not_looked_at: list[str]
    since: SinceView | None
    actions: list[Action]
    no_action: str
    """What to say when there is no action."""
    signs: list[SignRow]
    totals: list[HealthRow]
    totals_note: str | None
    nothing_found: list[str]
    """What to say instead of findings; empty when there are findings."""
    findings: list[FindingView]
    investigations: list[InvestigationView]
    judgements: list[JudgementRow]
    flows: list[FlowView]
    flow_note: str
    refuted: list[FindingView]
    detectors: list[DetectorRow]
    missing: list[str]
    notes: list[str]
    coverage_proof: list[ProofView]
    plan: list[PlanRow]
    run: list[Fact]
    run_url: str | None
    follow_ups: list[str]
    version: str


def report_view(report: Report) -> ReportView:
    """The report, ready to be shown in its language."""
    language, words = report.language, catalogue(report.language)
    headline, verdict = _verdict(report, words)
    excerpts = {one.trace_id: one for one in report.excerpts}
    model = report.run.model
    findings = [finding_view(one, i, language, excerpts, model) for i, one in enumerate(report.findings, start=1)]
    return ReportView(
        language=language,
        project=excerpt(one_line(report.project_id), 200),
        headline=headline,
        verdict=verdict,
        summary=_text(report.summary),
        summary_by=by_model(report.run.model, language) if report.summary else "",
        question=_text(report.question) or None,
        counts=_counts(report, words),
        periods=_periods(report, words),
        looked_at=_looked_at(report, words),
        not_looked_at=_not_looked_at(report, words),
        since=since_view(report),
        actions=_actions(report, findings),
        no_action=words.text("actions.none" if report.screening.slices else "actions.nothing_judged"),
        signs=sign_rows(report),
        totals=totals(report),
        totals_note=totals_note(report),
        nothing_found=[] if findings else _nothing_found(report, words),
        findings=findings,
        investigations=investigation_views(report),
        judgements=judgement_rows(report.judgements, language),
        flows=flow_views(report.flows, language) if report.flows else [],
        flow_note=flow_note(report.flows, language) if report.flows else "",
        refuted=[finding_view(one, number, language) for number, one in enumerate(report.refuted, start=1)],
        detectors=[
            DetectorRow(
                name=label("kind", one.name, language),
                status=one.status,
                status_label=words.text(f"status.{one.status}"),
                slices=formats.format_count(one.slices, language),
                reason=_text(said(one.reason, language)),
            )
            for one in report.coverage.detectors
        ],
        missing=[_text(said(one, language)) for one in report.coverage.missing],
        notes=[_text(said(one, language)) for one in report.coverage.notes],
        coverage_proof=[proof_view(one, language) for one in report.coverage.evidence],
        plan=[
            PlanRow(
                one_line(one.id),
                label("kind", one.detector, language),
                _text(said(one.question, language)),
                _text(said(one.reason, language)),
            )
            for one in report.plan
        ],
        run=_run(report, words),
        run_url=safe_url(report.run.langfuse_trace_url),
        follow_ups=[_text(one) for one in report.follow_ups],
        version=excerpt(one_line(report.hansei_version), 40),
    )


def _text(text: str | None) -> str:
    return excerpt(visible(text or "").strip(), LONGEST_TEXT)


def _verdict(report: Report, words: Catalogue) -> tuple[str, str]:
    """The first sentence, which becomes the title, and the rest."""
    text = excerpt(one_line(report.headline), 1_000) or _own_headline(report, words)
    match = _SENTENCE_END.search(text)
    return (text[: match.end()].rstrip(), text[match.end() :].strip()) if match else (text, "")


def _own_headline(report: Report, words: Catalogue) -> str:
    if not report.coverage.traces.window:
        return words.text("headline.empty")
    if not report.findings:
        return words.text("headline.none")
    return words.text("headline.findings", count=len(report.findings), title=one_line(report.findings[0].title))


def _counts(report: Report, words: Catalogue) -> list[tuple[str, str]]:
    problems = [one for one in report.findings if one.direction != "improvement"]
    counts = {severity: sum(one.severity == severity for one in problems) for severity in SEVERITIES}
    shown: list[tuple[str, str]] = [
        (severity, words.text("count.severity", count=count, severity=words.text(f"severity.{severity}").lower()))
        for severity, count in counts.items()
        if count
    ]
    if better := len(report.findings) - len(problems):
        shown.append(("improvement", words.text("count.improvements", count=better)))
    return shown


def _periods(report: Report, words: Catalogue) -> list[Fact]:
    def span(window: Window) -> str:
        length = formats.format_duration(window.length, report.language)
        return words.text("period.span", span=formats.format_span(window, report.language), length=length)

    return [
        Fact(words.text("period.window"), span(report.window)),
        Fact(words.text("period.baseline"), span(report.baseline)),
    ]


def _looked_at(report: Report, words: Catalogue) -> str:
    language = report.language
    return words.text(
        "looked_at",
        traces=formats.format_count(report.coverage.traces.window, language),
        observations=formats.format_count(report.coverage.observations.window, language),
        slices=formats.format_count(report.screening.slices, language),
        rate=formats.format_value(report.screening.false_discovery_rate, "ratio", language),
    )


def _not_looked_at(report: Report, words: Catalogue) -> list[str]:
    lines = [
        words.text(
            "not_looked_at",
            detector=label("kind", one.name, report.language),
            status=words.text(f"status.{one.status}"),
            reason=_text(said(one.reason, report.language)) or words.text("no_reason"),
        )
        for one in report.coverage.detectors
        if one.status != "ran"
    ]
    return lines + [_text(said(one, report.language)) for one in report.coverage.missing]


def _actions(report: Report, findings: list[FindingView]) -> list[Action]:
    """The recommendations of the first findings that are no improvements; equal ones once."""
    actions: list[Action] = []
    for one, shown in zip(report.findings, findings, strict=True):
        if one.direction == "improvement" or shown.recommendation in [action.text for action in actions]:
            continue
        gain = gain_text(one, report.language)
        actions.append(Action(shown.number, shown.recommendation, shown.title, gain, shown.badge, shown.badge_label))
    return actions[:MOST_ACTIONS]


def _nothing_found(report: Report, words: Catalogue) -> list[str]:
    if not report.coverage.traces.window:
        return [words.text("nothing.empty")]
    if not report.screening.slices:
        return [words.text("nothing.not_compared")]
    lines = [words.text("nothing.found", slices=formats.format_count(report.screening.slices, report.language))]
    if not report.coverage.traces.baseline:
        lines.append(words.text("nothing.no_baseline"))
    if report.refuted:
        lines.append(words.text("nothing.refuted", count=len(report.refuted)))
    return lines


def _run(report: Report, words: Catalogue) -> list[Fact]:
    run, language = report.run, report.language
    facts = [
        Fact(words.text("run.started"), formats.format_moment(run.started_at, language)),
        Fact(words.text("run.seconds"), formats.format_value(run.seconds, "s", language)),
        Fact(words.text("run.model"), excerpt(one_line(run.model), 100) if run.model else words.text("run.rules")),
        Fact(words.text("run.cost"), formats.format_value(run.cost, "usd", language)),
        Fact(words.text("run.tokens"), formats.format_count(run.tokens, language)),
        Fact(words.text("run.queries"), formats.format_count(run.queries, language)),
        Fact(words.text("run.rows"), formats.format_count(run.rows_read, language)),
        Fact(words.text("run.schema"), report.coverage.langfuse_schema),
        Fact(words.text("run.id"), excerpt(one_line(run.id), 100)),
    ]
    if run.usage:
        facts.insert(5, Fact(words.text("run.usage"), " · ".join(_used(*one, words) for one in run.usage.items())))
    if run.langfuse_trace_url and safe_url(run.langfuse_trace_url) is None:
        facts.append(Fact(words.text("run.trace"), words.text("link.unsafe")))
    return facts


def _used(node: str, usage: Usage, words: Catalogue) -> str:
    calls, tokens = (formats.format_count(count, words.language) for count in (usage.calls, usage.tokens))
    used = words.text("run.used", node=excerpt(one_line(node), 40), calls=calls, tokens=tokens)
    return words.text("run.cached", used=used, count=usage.cached) if usage.cached else used
