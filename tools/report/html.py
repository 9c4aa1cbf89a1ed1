"""The report as one HTML file: no scripts, no request to anywhere, everything from outside escaped."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import replace
from functools import lru_cache
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from hansei.contracts import Report
from hansei.tools.report.catalogue import TEMPLATES, catalogue
from hansei.tools.report.charts import chart_title, finding_chart
from hansei.tools.report.finding_view import FindingView
from hansei.tools.report.proof_view import within
from hansei.tools.report.text import visible
from hansei.tools.report.view import ReportView, report_view

MOST_PROOF = 1_800_000
"""Bytes of SQL, parameters and rows in a page; report.json has all."""


def render_html(report: Report) -> str:
    """The report as a page that can be opened from a disk or sent by mail; the same bytes for the same report."""
    css = _css()
    charts = [
        {
            "title": chart_title(one, report.window, report.language),
            "svg": Markup(finding_chart(one, report.window, report.baseline, report.language, f"chart-{number}")),
        }
        for number, one in enumerate(report.findings, start=1)
    ]
    page = _environment().get_template("report.html.j2")
    return page.render(
        view=_bounded(report_view(report)),
        charts=charts,
        css=Markup(css),
        policy=_policy(css),
        t=catalogue(report.language).text,
    )


def _bounded(view: ReportView) -> ReportView:
    """Keeps the page small enough to open at once and to be mailed: the last evidence loses its SQL and rows first."""
    room = MOST_PROOF
    parts: list[list[FindingView]] = []
    for group in (view.findings, view.refuted):
        parts.append([])
        for one in group:
            proof, room = within(one.proof, room)
            parts[-1].append(replace(one, proof=proof))
    coverage, _ = within(view.coverage_proof, room)
    return replace(view, findings=parts[0], refuted=parts[1], coverage_proof=coverage)


@lru_cache
def _environment() -> Environment:
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
def _css() -> str:
    return (TEMPLATES / "report.css").read_text("utf-8")


def _policy(css: str) -> str:
    """Content-Security-Policy: nothing but this one style sheet. Even an escaping mistake could load or run nothing."""
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
