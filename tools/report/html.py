"""The report as one HTML file: one small script of ours, no request to anywhere, everything from outside escaped."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import replace
from functools import lru_cache
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from hansei.contracts import Finding, Report
from hansei.tools.report.catalogue import TEMPLATES, catalogue
from hansei.tools.report.charts import chart_title, finding_chart
from hansei.tools.report.comparisons import second_charts
from hansei.tools.report.finding_view import FindingView
from hansei.tools.report.flow_graph import flow_graph
from hansei.tools.report.marks import marks_of
from hansei.tools.report.proof_view import within
from hansei.tools.report.sparks import spark
from hansei.tools.report.text import visible
from hansei.tools.report.view import ReportView, report_view

MOST_PROOF = 1_800_000
"""Bytes of SQL, parameters and rows in a page; report.json has all."""


def render_html(report: Report) -> str:
    """The report as a page that can be opened from a disk or sent by mail; the same bytes for the same report."""
    css, script = _read("report.css"), _read("report.js")
    view, language = _bounded(report_view(report)), report.language
    page = environment().get_template("report.html.j2")
    return page.render(
        view=view,
        charts=[_charts(report, one, number) for number, one in enumerate(report.findings, start=1)],
        sparks=[
            Markup(spark(row.sign, report.window, row.label, language, f"spark-{number}"))
            for number, row in enumerate(view.signs, start=1)
        ],
        flows=[Markup(flow_graph(flow, language, f"flow-{number}")) for number, flow in enumerate(view.flows, start=1)],
        css=Markup(css),
        script=Markup(script),
        policy=_policy(css, script),
        t=catalogue(language).text,
    )


def _charts(report: Report, finding: Finding, number: int) -> list[dict[str, Any]]:
    """The charts of a finding, its main one first."""
    language, ident = report.language, f"chart-{number}"
    marks = marks_of(finding, report.health.changes if report.health else [], language)
    main = finding_chart(finding, report.window, report.baseline, language, ident, marks)
    charts = [(chart_title(finding, report.window, language), main), *second_charts(finding, language, ident)]
    return [{"title": title, "svg": Markup(svg)} for title, svg in charts]


def _bounded(view: ReportView) -> ReportView:
    """Keeps the page small enough to open at once and to be mailed: the last evidence loses its SQL and rows first."""
    room = MOST_PROOF
    parts: list[list[FindingView]] = []
    for group in (view.findings, view.refuted):
        parts.append([])
        for one in group:
            proof, room = within(one.proof, room)
            parts[-1].append(replace(one, proof=proof))
    questions = []
    for asked in view.investigations:
        proof, room = within(asked.proof, room)
        found = []
        for one in asked.findings:
            own, room = within(one.proof, room)
            found.append(replace(one, proof=own))
        questions.append(replace(asked, proof=proof, findings=found))
    coverage, _ = within(view.coverage_proof, room)
    return replace(view, findings=parts[0], refuted=parts[1], investigations=questions, coverage_proof=coverage)


@lru_cache
def environment() -> Environment:
    """Templates in which everything printed is escaped and made visible."""
    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        finalize=_visible,
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        auto_reload=False,
    )


def _visible(value: Any) -> Any:
    """Runs before escaping on every value that the template prints; what is markup already is left alone."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


@lru_cache
def _read(name: str) -> str:
    return (TEMPLATES / name).read_text("utf-8")


def _policy(css: str, script: str) -> str:
    """Content-Security-Policy: nothing but this one style sheet and this one script.

    Even an escaping mistake could load or run nothing.
    """
    style, code = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (css, script))
    return (
        f"default-src 'none'; style-src 'sha256-{style}'; script-src 'sha256-{code}'; img-src data:; base-uri 'none'; "
        "form-action 'none'"
    )
