"""The page over the reports of many projects: ``index.html`` and ``index.md``, in the look of a report."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from markupsafe import Markup

from hansei import __version__
from hansei.contracts import SEVERITIES, Report, Severity
from hansei.tools.ledger.identity import muted_in
from hansei.tools.report.catalogue import TEMPLATES, catalogue
from hansei.tools.report.files import write_texts
from hansei.tools.report.formats import format_count
from hansei.tools.report.html import environment
from hansei.tools.report.markdown_text import escape, table


@dataclass(frozen=True)
class Entry:
    """What became of one project. `folder` is beside the index; `counts` are problems that are not muted."""

    project: str
    folder: str
    state: Literal["done", "failed", "waiting"]
    headline: str = ""
    counts: dict[Severity, int] = field(default_factory=dict)
    reason: str = ""

    @classmethod
    def of(cls, report: Report, folder: str) -> Entry:
        """The entry of a finished report."""
        muted = muted_in(report)
        problems = [one.severity for one in report.findings if one.direction != "improvement" and one.id not in muted]
        counts = {severity: problems.count(severity) for severity in SEVERITIES if severity in problems}
        return cls(report.project_id, folder, "done", report.headline, counts)


@dataclass(frozen=True)
class _Row:
    project: str
    link: str | None
    badges: list[tuple[Severity, str]]
    verdict: str


def write_index(entries: Sequence[Entry], folder: Path, language: str) -> list[Path]:
    """Writes ``index.html`` and ``index.md``, each in place at once, in the order of the entries.

    Raises:
        UsageError: when the folder cannot be written.
    """
    texts = {"index.html": render_index_html(entries, language), "index.md": render_index_markdown(entries, language)}
    return list(write_texts(texts, folder).values())


def render_index_html(entries: Sequence[Entry], language: str) -> str:
    """The index as one self-contained page without a script; the same bytes for the same entries."""
    css = (TEMPLATES / "report.css").read_text("utf-8")
    style = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{style}'; img-src data:; base-uri 'none'; form-action 'none'"
    return (
        environment()
        .get_template("index.html.j2")
        .render(
            css=Markup(css),
            language=language,
            policy=policy,
            rows=[_row(entry, language, "report.html") for entry in entries],
            summary=_summary(entries, language),
            t=catalogue(language).text,
            version=__version__,
        )
    )


def render_index_markdown(entries: Sequence[Entry], language: str) -> str:
    """The index for chats and pull requests."""
    words = catalogue(language)
    rows = []
    for row in (_row(entry, language, "report.md") for entry in entries):
        name = escape(row.project)
        badges = ", ".join(text for _, text in row.badges)
        rows.append([f"[{name}]({row.link})" if row.link else name, escape(badges), escape(row.verdict)])
    head = [words.text("index.project"), words.text("section.findings"), words.text("index.verdict")]
    title = escape(words.text("index.title"))
    return f"# {title}\n\n{escape(_summary(entries, language))}\n\n{table(head, rows, [False] * 3)}\n"


def _row(entry: Entry, language: str, file: str) -> _Row:
    words = catalogue(language)
    link = f"{quote(entry.folder)}/{file}" if entry.state == "done" else None
    badges = [
        (severity, f"{format_count(count, language)} {words.text(f'severity.{severity}')}")
        for severity, count in entry.counts.items()
    ]
    verdict = {
        "done": entry.headline,
        "failed": words.text("index.could_not", reason=entry.reason),
        "waiting": words.text("index.not_yet"),
    }[entry.state]
    return _Row(entry.project, link, badges, verdict)


def _summary(entries: Sequence[Entry], language: str) -> str:
    """How far it is: ``3 of 5 projects analysed · 1 could not be done · 1 still to do``."""
    words = catalogue(language)
    states = [entry.state for entry in entries]
    parts = [words.text("index.done", done=states.count("done"), count=format_count(len(states), language))]
    if states.count("failed"):
        parts.append(words.text("index.failed", count=format_count(states.count("failed"), language)))
    if states.count("waiting"):
        parts.append(words.text("index.waiting", count=format_count(states.count("waiting"), language)))
    return " · ".join(parts)
