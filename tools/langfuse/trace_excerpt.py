"""A trace as a short indented text, for a model or a report: the failing step gets room first, then what is near."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from hansei.tools.langfuse.masking import Mask, mask, unmasked
from hansei.tools.langfuse.trace_tree import Score, Step, TraceTree
from hansei.tools.langfuse.untrusted import Text, one_line, shortened

FEWEST_CHARACTERS = 1_000

DEEPEST = 12
"""Levels of indentation; what lies deeper says so."""

_SHORTEST = 100
"""Characters below which a part of a text is not worth its line."""
_GAP = 90
"""Characters that a line about steps left out may take."""


@dataclass(frozen=True)
class Line:
    """One line of an excerpt.

    Args:
        kind: about the trace, a step, a text of the trace or step above, or steps that were left out.
        step: index of the step in the tree, if it is about one.
        failing: whether it belongs to the tree's failing step.
        whole: False when a text was cut.
    """

    kind: Literal["trace", "step", "text", "gap"]
    text: str
    depth: int = 0
    step: int | None = None
    failing: bool = False
    whole: bool = True

    @property
    def shown(self) -> str:
        """The line as it stands in `Excerpt.text`."""
        mark = "▶ " if self.failing and self.kind == "step" else ""
        return "  " * min(self.depth, DEEPEST) + mark + self.text


@dataclass(frozen=True)
class Excerpt:
    """Part of a trace. All text is visible, masked and in one line each, but it is not escaped for any format."""

    lines: tuple[Line, ...]

    @property
    def text(self) -> str:
        """Lines with two blanks for each level; the failing step has a ▶ before it."""
        return "\n".join(line.shown for line in self.lines)


def excerpt(tree: TraceTree, characters: int = 6_000, *, masking: Mask = mask) -> Excerpt:
    """What matters of a trace, in at most that many characters (of which there must be `FEWEST_CHARACTERS`).

    Half of them at most go to one line for each step, those that explain most first; the rest to texts: first the
    failing step's, as whole as can be, then those of the steps around it.

    Raises:
        ValueError: for fewer characters.
    """
    if characters < FEWEST_CHARACTERS:
        raise ValueError(f"an excerpt needs {FEWEST_CHARACTERS} characters")
    head = _head(tree, characters // 4, masking)
    left = characters - sum(_size(line) for line in head)
    lines = [_step_line(tree, i, masking) for i in range(len(tree.steps))]
    order = tree.by_weight()
    shown = _that_fit(tree, lines, order, left // 2)
    left -= sum(_size(lines[i]) for i in shown)
    gaps = _gaps(tree, shown)
    left -= sum(_size(line) for line in gaps.values())
    texts = _texts(tree, [i for i in order if i in shown], left, masking)
    body: list[Line] = [*head, *texts.get(None, ())]
    for i in range(len(tree.steps) + 1):
        if i in gaps:
            body.append(gaps[i])
        if i in shown:
            body += [lines[i], *texts.get(i, ())]
    return Excerpt(tuple(body))


def _size(line: Line) -> int:
    return len(line.shown) + 1


def _head(tree: TraceTree, room: int, masking: Mask) -> list[Line]:
    steps = f"{tree.of:,} step{'' if tree.of == 1 else 's'}"
    errors = tree.errors
    parts = [
        f"trace {one_line(tree.trace_id, 80, unmasked)}",
        one_line(tree.name, 80, masking),
        f"{tree.timestamp:%Y-%m-%d %H:%M:%S} UTC",
        _duration(tree.latency_ms),
        steps + (f", {errors:,} failed" if errors else ""),
        _money(tree.total_cost),
    ]
    named = {
        "environment": tree.environment, "release": tree.release, "version": tree.version, "user": tree.user_id,
        "session": tree.session_id, "tags": ", ".join(tree.tags),
    }  # fmt: skip
    parts += [f"{key} {one_line(value, 40, masking)}" for key, value in named.items() if value]
    lines = [Line("trace", " · ".join(part for part in parts if part)[: room // 2])]
    if tree.scores:
        told = "scores: " + "; ".join(_score(score, masking) for score in tree.scores[:10])
        more = len(tree.scores) - 10
        told += f"; {more} more" if more > 0 else ""
        lines.append(Line("trace", told[: max(0, room - _size(lines[0]) - 1)]))
    return lines


def _score(score: Score, masking: Mask) -> str:
    value = score.string_value or ("none" if score.value is None else f"{score.value:g}")
    said = f" ({one_line(score.comment, 120, masking)})" if score.comment else ""
    return f"{one_line(score.name, 40, masking)} = {one_line(value, 40, masking)}{said}"


def _step_line(tree: TraceTree, index: int, masking: Mask) -> Line:
    step = tree.steps[index]
    failing = index == tree.failing
    prompt = f"prompt {one_line(step.prompt_name, 40, masking)}" if step.prompt_name else ""
    parts = [
        f"#{index + 1} {one_line(step.type, 20, masking)} {one_line(step.name, 60, masking)}",
        f"at {_duration(step.offset_ms)}",
        _duration(step.latency_ms) if step.finished else "without an end",
        one_line(step.level, 20, unmasked) if step.level not in ("DEFAULT", "") else "",
        one_line(step.model, 40, masking),
        f"{prompt} v{one_line(step.prompt_version, 10, masking)}" if prompt and step.prompt_version else prompt,
        _tokens(step),
        _money(step.total_cost),
        f"depth {step.depth}" if step.depth > DEEPEST else "",
        step.strange,
        f"id {one_line(step.id, 80, unmasked)}" if failing else "",
    ]
    text = " · ".join(part for part in parts if part)
    return Line("step", text, step.depth + 1, index, failing)


def _tokens(step: Step) -> str:
    if step.input_tokens is None and step.output_tokens is None:
        return ""
    return f"{step.input_tokens or 0:,} → {step.output_tokens or 0:,} tokens"


def _money(dollars: float | None) -> str:
    return "" if dollars is None else f"${dollars:.4f}" if dollars < 1 else f"${dollars:,.2f}"


def _duration(milliseconds: int | None) -> str:
    if milliseconds is None:
        return ""
    return f"{milliseconds:,} ms" if abs(milliseconds) < 1_000 else f"{milliseconds / 1000:,.1f} s"


def _that_fit(tree: TraceTree, lines: list[Line], order: list[int], room: int) -> set[int]:
    """The steps that get a line: all, or those that matter most."""
    if sum(_size(line) for line in lines) <= room:
        return set(order)
    shown: set[int] = set()
    room -= _GAP
    for i in order:
        # A line may be followed by one that tells how many steps were left out.
        cost = _size(lines[i]) + _GAP
        if cost > room:
            break
        shown.add(i)
        room -= cost
    return shown


def _gaps(tree: TraceTree, shown: set[int]) -> dict[int, Line]:
    """Lines about steps that are not shown, by the index of the step that they stand before."""
    gaps: dict[int, Line] = {}
    run: list[Step] = []
    for i in range(len(tree.steps) + 1):
        if i < len(tree.steps) and i not in shown:
            run.append(tree.steps[i])
            continue
        unread = tree.of - len(tree.steps) if i == len(tree.steps) else 0
        if run or unread:
            errors = sum(step.level == "ERROR" for step in run)
            count = len(run) + unread
            text = f"… {count:,} step{'' if count == 1 else 's'} not shown"
            gaps[i] = Line("gap", text + (f", {errors:,} of them failed" if errors else ""), 1)
        run = []
    return gaps


@dataclass
class _Wish:
    """A text that asks for room: `share` of what is left, at first."""

    step: int | None
    label: str
    text: Text
    depth: int
    share: float
    room: int = 0

    @property
    def frame(self) -> int:
        return 2 * min(self.depth, DEEPEST) + len(self.label) + 1

    @property
    def need(self) -> int:
        return self.frame + len(self.text.head) + len(self.text.tail) + (40 if self.text.tail else 0)


def _texts(tree: TraceTree, order: list[int], left: int, masking: Mask) -> dict[int | None, list[Line]]:
    """The texts of steps (None: of the trace), as much of them as fits."""
    wishes = list(_wishes(tree, order))
    for wish in wishes:
        offered = min(wish.need, max(int(left * wish.share), _SHORTEST + wish.frame))
        if offered <= left:
            wish.room = offered
            left -= offered
    for wish in wishes:  # what the short ones left over
        more = min(wish.need - wish.room, left) if wish.room else 0
        wish.room += more
        left -= more
    lines: dict[int | None, list[Line]] = {}
    for wish in wishes:
        if wish.room <= wish.frame:
            continue
        told = shortened(wish.text, wish.room - wish.frame, masking)
        failing = wish.step is not None and wish.step == tree.failing
        whole = wish.room >= wish.need and not wish.text.tail
        line = Line("text", wish.label + told, wish.depth, wish.step, failing, whole)
        lines.setdefault(wish.step, []).append(line)
    return lines


def _wishes(tree: TraceTree, order: list[int]) -> Iterator[_Wish]:
    """Texts in the order in which they get room: the failing step's, the trace's own, then the other steps'."""
    first = [i for i in order if i == tree.failing]
    for i in first:
        yield from _of_step(tree, i, 0.6)
    of_steps = {text.head for i in order for text in (tree.steps[i].input, tree.steps[i].output)}
    for name, text in (("input", tree.input), ("output", tree.output)):
        if text.head and text.head not in of_steps:
            yield _Wish(None, _label(name, text), text, 1, 0.2)
    for i in order:
        if i not in first:
            yield from _of_step(tree, i, 0.25)


def _of_step(tree: TraceTree, index: int, share: float) -> Iterator[_Wish]:
    step = tree.steps[index]
    depth = step.depth + 2
    if step.status_message:
        yield _Wish(index, "status: ", Text.of(step.status_message), depth, share)
    for name, text in (("input", step.input), ("output", step.output)):
        if text.head:
            yield _Wish(index, _label(name, text), text, depth, share)


def _label(name: str, text: Text) -> str:
    return f"{name} ({text.length:,} character{'' if text.length == 1 else 's'}): "
