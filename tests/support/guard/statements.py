"""Reads `hostile.sql` and `honest.sql`: groups of statements, each with one line about it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Statement:
    """One statement of a file. `expected` is what stands before the colon of its line, `why` what stands after it."""

    group: str
    expected: str
    why: str
    sql: str

    @property
    def id(self) -> str:
        """What a test's name shows."""
        return f"{self.group}: {self.why}"


def read_statements(name: str) -> list[Statement]:
    """The statements of a file, in order. ``␀`` stands for the character NUL."""
    text = Path(__file__).with_name(name).read_text(encoding="utf-8")
    found: list[Statement] = []
    group = ""
    for block in text.split("\n\n"):
        lines = [line for line in block.strip().splitlines() if not line.startswith("# ")]
        if not lines:
            continue
        if lines[0].startswith("== "):
            group = lines[0].removeprefix("== ")
            continue
        expected, _, why = lines[0].removeprefix("-- ").rpartition(": ")
        found.append(Statement(group, expected, why, "\n".join(lines[1:]).replace("␀", "\0")))
    return found
