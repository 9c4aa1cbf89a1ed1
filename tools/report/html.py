"""The report as one HTML file: no scripts, no request to anywhere, everything from outside escaped."""

from __future__ import annotations

import base64
import hashlib
from functools import lru_cache
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from hansei.contracts import Report
from hansei.tools.report.catalogue import TEMPLATES, catalogue
from hansei.tools.report.charts import chart_title, finding_chart
from hansei.tools.report.text import visible
from hansei.tools.report.view import report_view


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
        view=report_view(report),
        charts=charts,
        css=Markup(css),
        policy=_policy(css),
        t=catalogue(report.language).text,
    )


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
