"""The pieces that Markdown is made of: escaped text, tables, small bars, graphs."""

from __future__ import annotations

import re
from collections.abc import Sequence

from hansei.contracts import Sign, Window
from hansei.tools.report.flow_view import FlowView
from hansei.tools.report.text import one_line, visible

_SPECIAL = re.compile(r"[\\`*\[\]#|~]|(?<![^\W_])_|_(?![^\W_])|\$(?!\d)")
"""Single underscores inside a word mean nothing; a dollar sign before a digit can't end GitHub's inline mathematics."""
_TAG = re.compile(r"<(?!\s|$)")
_ENTITY = re.compile(r"&(?=[#\w])")
_AUTOLINK = re.compile(r"(?i)[a-z]:(?=//)|\bwww\.|\b(?:mailto|xmpp):|@(?=\w)")
_BLOCK_START = re.compile(r"^(\d*)([-+=>.)])")
_BARS = "▁▂▃▄▅▆▇█"


def escape(text: str) -> str:
    """Text on one line that can stand inside a paragraph or a table cell and means nothing there but itself.

    Only what could mean something is escaped, so that the file also reads well as it is. Addresses and mentions, which
    some renderers link even after their characters were escaped, are cut by an empty comment.
    """
    escaped = _SPECIAL.sub(r"\\\g<0>", one_line(text))
    escaped = _TAG.sub("&lt;", _ENTITY.sub("&amp;", escaped))
    return _AUTOLINK.sub(r"\g<0><!-- -->", escaped)


def paragraph(text: str) -> str:
    """`escape`, for text that begins a paragraph or a list item: it must not begin a list or a quote instead."""
    return _BLOCK_START.sub(r"\1\\\2", escape(text))


def code(text: str) -> str:
    """Text as a code span, whatever backticks it holds; not for tables, whose cells a pipe would end."""
    line = one_line(text)
    longest = max((len(run) for run in re.findall(r"`+", line)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if line.startswith("`") or line.endswith("`") or not line else ""
    return f"{fence}{pad}{line}{pad}{fence}"


def fenced(language: str, lines: Sequence[str]) -> str:
    """Lines as a block of code, whatever fences they hold; each stays one line."""
    shown = [" ".join(visible(line).splitlines()) for line in lines]
    longest = max((len(run) for line in shown for run in re.findall(r"`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return "\n".join([f"{fence}{language}", *shown, fence])


def sparkline(values: Sequence[float]) -> str:
    """Values as bars of eight heights, from zero (or the least, when that is negative) to the largest."""
    low, high = min(0.0, *values), max(values)
    if high <= low:
        return _BARS[0] * len(values)
    return "".join(_BARS[min(7, int((value - low) / (high - low) * 8))] for value in values)


def sign_trend(sign: Sign, window: Window) -> str:
    """The days of the baseline and of the window as two groups of bars; a day without a value is a blank."""
    values = [day.value for day in sign.days if day.value is not None]
    if len(values) < 2:
        return ""
    bars = iter(sparkline(values))
    shown = ["", ""]
    for day in sign.days:
        shown[day.start >= window.start] += next(bars) if day.value is not None else "·"
    return " ".join(part for part in shown if part)


def mermaid(flow: FlowView) -> str:
    """A flow as a fenced Mermaid graph. Names stand in quotes, and what has a meaning there becomes an entity."""
    lines = ["```mermaid", "flowchart TD", '  begin(("●"))', '  stop(("○"))']
    for i, step in enumerate(flow.steps):
        told = f"{step.count} · {step.seconds}" + (f" · {step.errors} ✕" if step.fails else "")
        state = f"<br>{_entities(step.state_label)}" if step.state_label else ""
        lines.append(f'  s{i}["{_entities(step.short)}<br>{_entities(told)}{state}"]')
    for move in flow.moves:
        source = "begin" if move.source is None else f"s{move.source}"
        target = "stop" if move.target is None else f"s{move.target}"
        text = f"{move.count} {move.mark}".strip()
        lines.append(f'  {source} {"-.->" if move.state == "gone" else "-->"}|"{_entities(text)}"| {target}')
    changed = [f"s{i}" for i, step in enumerate(flow.steps) if step.state in ("new", "worse", "slower")]
    if changed:
        lines.append("  classDef changed stroke:#b3470a,stroke-width:3px")
        lines.append(f"  class {','.join(changed)} changed")
    return "\n".join([*lines, "```"])


def _entities(text: str) -> str:
    """Text inside a quoted Mermaid label: only letters, digits and a few marks stand for themselves."""
    return "".join(
        char if char.isalnum() or char in " _-.,:%$/·+×✕()…" else f"#{ord(char)};" for char in one_line(text)
    )


def table(head: Sequence[str], rows: Sequence[Sequence[str]], numeric: Sequence[bool]) -> str:
    """A table of cells that are Markdown already; columns of numbers are aligned to the right."""
    rule = ["---:" if right else "---" for right in numeric]
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, rule, *rows))
