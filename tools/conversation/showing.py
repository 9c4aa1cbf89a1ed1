"""An answer as Markdown for a chat. Names out of traces are shown visibly."""

from __future__ import annotations

from hansei.contracts.answers import Answer, Table
from hansei.tools.report.catalogue import say, speaking
from hansei.tools.report.text import visible

MARKS = {True: "✓", False: "✗", None: "–"}


def as_markdown(answer: Answer, language: str) -> str:
    """Text, table, chart, checks, links and what may be asked next."""
    with speaking(language):
        parts = [visible(answer.text)]
        if answer.table is not None:
            parts.append(_table(answer.table))
        if answer.chart:
            parts.append(f"`{answer.chart}`")
        if answer.checks:
            parts.append("\n".join(f"- {MARKS[check.passed]} {visible(check.detail)}" for check in answer.checks))
        if answer.trace_urls:
            links = ", ".join(f"[{n}]({url})" for n, url in enumerate(answer.trace_urls, 1))
            parts.append(f"{say('ask.links')}: {links}")
        parts += [f"_{visible(note)}_" for note in answer.notes]
        if answer.follow_ups:
            parts.append(f"{say('ask.next_title')}: {' · '.join(answer.follow_ups)}")
    return "\n\n".join(parts)


def _table(table: Table) -> str:
    def line(cells: list[str]) -> str:
        return "| " + " | ".join(visible(cell).replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"

    return "\n".join([line(table.columns), "|" + " --- |" * len(table.columns), *map(line, table.rows)])
