"""run_sql: SQL of a model, through the guard, with the answer as a small table."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from hansei.contracts import Evidence
from hansei.errors import BudgetExceeded, QueryFailed, QueryRefused, UsageError
from hansei.tools.inquiry.answer import Answer, Refusal
from hansei.tools.inquiry.bounds import Bounds
from hansei.tools.inquiry.notebook import Notebook
from hansei.tools.inquiry.personal import is_hidden
from hansei.tools.inquiry.wording import FRAME, UNTRUSTED, fitted, plural, section
from hansei.tools.langfuse.dataset import Dataset
from hansei.tools.langfuse.masking import unmasked
from hansei.tools.langfuse.untrusted import one_line

_IDS = frozenset({"id", "trace_id", "observation_id", "parent_id"})
"""Columns that are shown as they are, since read_trace is asked with what stands in them."""

_REASON = {
    159: "It took too long. Ask for less: a shorter time, one segment, fewer joins.",
    241: "It took too much memory. Group by fewer or shorter columns, or select less text.",
}


def run_sql(
    dataset: Dataset,
    bounds: Bounds,
    notebook: Notebook,
    sql: str,
    purpose: str,
    parameters: Mapping[str, Any] | None = None,
) -> Answer:
    """The answer as a table whose cells are cut; the evidence holds it whole.

    Raises:
        Refusal: the guard or the budget does not let the query through, ClickHouse cannot make sense of it, or it
            returns more than evidence may hold.
        HanseiError: ClickHouse is not there, or denies what every query needs.
    """
    id = notebook.id_for(dataset, "run_sql", sql.strip(), dict(parameters or {}), bounds.result_rows)
    if known := notebook.get(id):
        return Answer(_told(known, bounds), [id])
    told = one_line(purpose, 200, unmasked)
    try:
        evidence = dataset.ask_untrusted(id, told, sql, parameters, at_most=bounds.result_rows)
    except (QueryRefused, BudgetExceeded, UsageError) as error:
        raise Refusal(f"Refused: {error}") from None
    except QueryFailed as error:
        if error.retryable or not error.code:
            raise
        hint = _REASON.get(error.code, "Check names, types and what is grouped by; describe_data names the columns.")
        raise Refusal(f"{error.message} {hint}") from None
    _check_size(evidence, bounds)
    notebook.keep(evidence)
    return Answer(_told(evidence, bounds), [id])


def _check_size(evidence: Evidence, bounds: Bounds) -> None:
    characters = sum(_length(value) for row in evidence.rows for value in row)
    if characters > bounds.result_characters:
        raise Refusal(
            f"The result holds {characters:,} characters; evidence may hold {bounds.result_characters:,}. Select less "
            "text, such as leftUTF8(output, 200), or fewer rows; read_trace shows whole texts."
        )


def _length(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        return sum(_length(key) + _length(item) for key, item in value.items())
    return sum(map(_length, value)) if isinstance(value, list) else 8


def _told(evidence: Evidence, bounds: Bounds) -> str:
    room = bounds.sql_characters - 400
    names, left_out = _columns(evidence.columns, room // 3)
    lines = [" | ".join(names)]
    for row in evidence.rows[: bounds.table_rows]:
        cells = [_cell(name, value, bounds) for name, value in zip(evidence.columns, row, strict=False)]
        lines.append(" | ".join(cells[: len(names)]))
    shown, count = section(lines, room - FRAME, "… more rows")
    rows = max(0, count - 1)
    said = "all shown" if rows == evidence.row_count else f"the first {rows:,} shown" if rows else "none fits here"
    head = f"Evidence {evidence.id}: {plural(evidence.row_count, 'row')}{f', {said}' if evidence.row_count else ''}"
    if evidence.row_count >= bounds.result_rows:
        head += f" (cut at {bounds.result_rows:,}: there may be more, so do not count them; aggregate instead)"
    if left_out:
        head += f", {plural(left_out, 'column')} not shown"
    return f"{head}. Cite {evidence.id} for what it proves. {UNTRUSTED}\n{shown}"


def _columns(names: list[str], room: int) -> tuple[list[str], int]:
    """The names of the columns that are shown, and how many are not."""
    shown: list[str] = []
    for name in names:
        told = one_line(name, 60, unmasked)
        room -= len(told) + 3
        if room < 0:
            break
        shown.append(told)
    return shown, len(names) - len(shown)


def _rounded(value: Any) -> Any:
    """Floats with as many digits as tell something."""
    if isinstance(value, float):
        return float(f"{value:.8g}")
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return {key: _rounded(item) for key, item in value.items()} if isinstance(value, Mapping) else value


def _cell(column: str, value: Any, bounds: Bounds) -> str:
    if value is None:
        return "NULL"
    if bounds.masked and column not in _IDS and is_hidden(value):
        return "[secret]"
    value = _rounded(value)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = text.replace(" | ", " ¦ ")
    if not isinstance(value, str | list | Mapping):
        return text
    masking = unmasked if column in _IDS else bounds.masking
    limit = bounds.cell_characters
    if len(text) <= limit:
        return one_line(text, limit, masking)
    length = f"… ({len(text):,} characters)"
    return fitted(one_line(text, limit, masking), max(8, limit - len(length))).rstrip("…") + length
