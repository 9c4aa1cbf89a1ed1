"""A query and its answer, ready to be shown: values as short texts, the first rows, and how many more there are."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from html import escape
from typing import Any

from hansei.contracts import Evidence
from hansei.tools.report import formats
from hansei.tools.report.labels import label
from hansei.tools.report.text import excerpt, one_line, visible

MOST_ROWS = 20
LONGEST_CELL = 160
LONGEST_SQL = 20_000


@dataclass(frozen=True)
class ProofView:
    id: str
    purpose: str
    sql: str
    parameters: list[tuple[str, str]]
    columns: list[str]
    numeric: list[bool]
    """Per column: whether it holds numbers only."""
    rows: list[list[str]]
    hidden_rows: int
    row_count: str
    rows_read: str
    seconds: str
    result_hash: str
    is_short: bool = False
    """Whether SQL, parameters and rows were left out, because a page holds only so much."""


def proof_view(evidence: Evidence, language: str) -> ProofView:
    """Evidence as text, the first rows of it."""
    width = len(evidence.columns)
    what, _, which = evidence.purpose.partition(":")  # without:<the other finding>
    shown = [row[:width] + [None] * (width - len(row)) for row in evidence.rows[:MOST_ROWS]]
    return ProofView(
        id=excerpt(one_line(evidence.id), 40),
        purpose=excerpt(": ".join([label("purpose", what, language), *filter(None, [one_line(which)])]), 200),
        sql=excerpt(visible(evidence.sql).strip("\n"), LONGEST_SQL),
        parameters=[(excerpt(one_line(name), 80), cell(value)) for name, value in evidence.parameters.items()],
        columns=[excerpt(one_line(name), 80) for name in evidence.columns],
        numeric=[all(_is_number(row[place]) for row in shown) for place in range(width)],
        rows=[[cell(value) for value in row] for row in shown],
        hidden_rows=max(evidence.row_count, len(evidence.rows)) - len(shown),
        row_count=formats.format_count(evidence.row_count, language),
        rows_read=formats.format_count(evidence.rows_read, language),
        seconds=formats.format_value(evidence.seconds, "s", language),
        result_hash=excerpt(one_line(evidence.result_hash), 64),
    )


def cell(value: Any) -> str:
    """A value of a result, exactly as it is (not rounded), on one line."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return excerpt(one_line(text), LONGEST_CELL)


def within(proof: list[ProofView], room: int) -> tuple[list[ProofView], int]:
    """Shortens what does not fit into so many bytes of HTML.

    Returns:
        (the proof, the room that is left).
    """
    fitting = []
    for one in proof:
        texts = [one.sql, *(text for group in (*one.parameters, *one.rows) for text in group)]
        size = sum(len(escape(text).encode("utf-8", "replace")) + 40 for text in texts)
        if size > room:
            one = replace(one, sql="", parameters=[], columns=[], numeric=[], rows=[], hidden_rows=0, is_short=True)
        else:
            room -= size
        fitting.append(one)
    return fitting, room


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
