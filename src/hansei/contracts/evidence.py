"""Evidence: a query, what it was asked with, and what it answered, so that anyone can ask again."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

Scalar = str | int | float | bool | None


def hash_result(columns: list[str], rows: list[list[Any]]) -> str:
    """SHA-256 of a result, as 64 hex digits.

    Floats count with 10 significant digits: ClickHouse adds them up in parallel, so the last bits of a float sum differ
    from run to run. Integers, decimals, strings and times count exactly.
    """

    def canonical(value: Any) -> Any:
        if isinstance(value, bool) or value is None:
            return value
        if isinstance(value, float):
            return "0" if value == 0 else f"{value:.10g}"
        if isinstance(value, int):
            return str(value)
        if isinstance(value, list):
            return [canonical(item) for item in value]
        return value

    text = json.dumps([columns, [[canonical(value) for value in row] for row in rows]], ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


class Evidence(BaseModel):
    """One query and its answer.

    `sql` is complete: with `parameters` bound it can be pasted into any ClickHouse client that reads the same tables.
    `rows` hold plain JSON values in the order of `columns`. `rows_read` and `seconds` tell what the answer cost this
    run, not what `sql` costs elsewhere: over small embedded data a run asks the same of copies of its rows in memory.
    """

    model_config = ConfigDict(extra="forbid")

    id: str = Field(description="Unique inside the report, such as e3.")
    purpose: str = Field(description="What the query is for: measure, rederive, users, examples, …")
    sql: str
    parameters: dict[str, Any] = Field(description="Values of the {name:Type} placeholders in sql.")
    columns: list[str]
    rows: list[list[Any]]
    row_count: int
    rows_read: int = Field(
        description="Rows that ClickHouse read for the answer: of Langfuse's tables, or, where the run held copies of "
        "its rows, of these, which are fewer."
    )
    seconds: float = Field(description="Until the answer was here, from tables or copies.")
    result_hash: str = Field(description="SHA-256 over columns and rows, see hash_result.")

    def records(self) -> list[dict[str, Any]]:
        """The rows as dictionaries."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]
