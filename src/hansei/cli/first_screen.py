"""The first screen of a report at the terminal: the verdict, what to do first, the health, the findings, the gaps."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hansei.cli.console import Console
    from hansei.contracts import Report


_SINCE = {"fixed": "ok", "regressed": "high", "new": "medium"}
"""State → the style of its line."""


def tell_report(console: Console, report: Report, files: list[Path]) -> None:
    """Shows a report in short, as its page begins, in its language; and where the rest is."""
    from hansei.tools.report.catalogue import catalogue
    from hansei.tools.report.formats import format_count, format_span
    from hansei.tools.report.labels import label
    from hansei.tools.report.view import report_view

    words, language, coverage = catalogue(report.language), report.language, report.coverage
    view = report_view(report)
    console.line(report.headline, style="title")
    console.line(
        words.text(
            "terminal.project", project=report.project_id, window=format_span(report.window, language),
            baseline=format_span(report.baseline, language), traces=format_count(coverage.traces.window, language),
            traces_before=format_count(coverage.traces.baseline, language), schema=coverage.langfuse_schema,
        )
    )  # fmt: skip
    if view.since:
        console.line()
        console.line(words.text("section.since"), style="title")
        console.line(view.since.frame)
        for row in view.since.rows:
            console.line(f"  {row.state_label}: {row.title}", style=_SINCE.get(row.state, ""))
            for part in filter(None, (row.text, row.effect, row.muted)):
                console.line(f"    {part}")
        if view.since.left_out:
            console.line(view.since.left_out)
    if view.summary:
        console.line()
        console.line(f"{words.text('model.summary')}: {view.summary}")
        console.line(view.summary_by, style="skipped")
    if view.actions:
        console.line()
        console.line(words.text("section.actions"), style="title")
        for place, action in enumerate(view.actions, start=1):
            console.line(f"  {place}. {action.text}")
            if action.gain:
                console.line(f"     {words.text('gain.label')} {action.gain}", style="ok")
    if view.signs:
        console.line()
        console.line(words.text("section.health"), style="title")
        console.table(*_health(report))
        for told, names in _given_by_evaluators(report).items():
            console.line(f"  * {', '.join(names)} ({told})")
    if report.findings:
        console.line()
        console.table(*_findings(report))
    console.line()
    for detector in coverage.detectors:
        if detector.status != "ran":
            gap = words.text(
                "terminal.gap", detector=label("kind", detector.name, language).lower(), reason=detector.reason,
                status=words.text(f"status.{detector.status}").lower(),
            )  # fmt: skip
            console.line(gap, style="skipped")
    for one in view.investigations:
        console.line(
            words.text("terminal.looked_into", question=one.question, verdict=one.verdict_label, answer=one.answer)
        )
    if report.refuted:
        console.line(words.text("terminal.more", count=len(report.refuted)))
    if report.run.langfuse_trace_url:
        console.line(words.text("terminal.trace", url=report.run.langfuse_trace_url))
    for file in files:
        console.line(words.text("terminal.wrote", file=file))


def _health(report: Report) -> tuple[list[str], list[list[str]]]:
    """The vital signs as a table: headings and rows."""
    from hansei.tools.report.catalogue import catalogue
    from hansei.tools.report.markdown_text import sign_trend
    from hansei.tools.report.view import report_view

    words = catalogue(report.language)
    headings = ["", words.text("period.window"), words.text("period.baseline"), words.text("health.change")]
    rows = [
        [
            f"{row.label} *" if row.judged else row.label,
            f"{row.window} ({row.interval})" if row.interval else row.window,
            row.baseline,
            row.state_label if row.state in ("same", "unknown") else f"{row.change} · {row.state_label}",
            sign_trend(row.sign, report.window),
        ]
        for row in report_view(report).signs
    ]
    return [*headings, words.text("sign.trend")], rows


def _given_by_evaluators(report: Report) -> dict[str, list[str]]:
    """How far scores can be believed that evaluators gave, with their names: too long to stand in the table."""
    from hansei.tools.report.view import report_view

    told: dict[str, list[str]] = {}
    for row in report_view(report).signs:
        if row.judged:
            told.setdefault(row.judged, []).append(row.label)
    return told


def _findings(report: Report) -> tuple[list[str], list[list[str]]]:
    """The findings as a table: headings and rows."""
    from hansei.tools.report.catalogue import catalogue
    from hansei.tools.report.formats import format_onset_short

    words = catalogue(report.language)
    rows = [
        [
            finding.severity if report.language == "en" else words.text(f"severity.{finding.severity}"),
            format_onset_short(finding.onset, finding.onset_hour, report.language) if finding.onset else "",
            finding.title,
        ]
        for finding in report.findings
    ]
    return words.text("terminal.findings").split("|"), rows
