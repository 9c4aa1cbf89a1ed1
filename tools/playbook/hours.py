"""Spans of hours of the day, such as 02:00 to 04:00 UTC, in which a slice does worse than in its other hours."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from hansei.tools.playbook.attributes import HOUR
from hansei.tools.playbook.cells import Cells, Floats, Ints, is_blank
from hansei.tools.playbook.expectation import Expectation, Question, summed
from hansei.tools.playbook.screen import MIN_Z, Hit

_LENGTHS = (2, 6)
"""Lengths that are tried at every hour; the best span's ends are then moved by single hours."""

_PLACES: tuple[tuple[str, ...], ...] = ((), ("trace_name",), ("step",))

_PER_DIMENSION = 4.0
"""What a place must earn by its name, in units of z squared, as in the screen of other slices."""

_SMALL_PART = 0.5
_ALL = 0.95
"""A place with at most that share of the rows and at least this share of the excess is what the span is about."""

_CARRIED = 0.6
"""A span must carry this share of its place's excess: else it is not about those hours."""


@dataclass(frozen=True)
class _Span:
    units: tuple[str, ...]
    values: tuple[tuple[str, ...], ...]
    start: int
    length: int
    z: float

    @property
    def score(self) -> float:
        return self.z**2 - _PER_DIMENSION * len(self.units)

    @property
    def text(self) -> str:
        return f"{self.start:02d}:00-{(self.start + self.length) % 24:02d}:00"


def hours_compared(window: Cells, question: Question) -> int:
    """How many spans of hours have enough rows to be compared."""
    nothing = np.zeros(len(window))
    expected = Expectation(nothing, nothing, nothing.astype(np.int64), nothing, nothing.astype(bool))
    return sum(1 for units in _PLACES for _ in _spans(window, _hours(window), nothing, question, expected, units))


def _hours(window: Cells) -> Ints:
    return np.asarray([int(value[0]) for value in window.values[HOUR]], dtype=np.int64)[window.codes[HOUR]]


def hours_in_excess(window: Cells, question: Question, expected: Expectation) -> list[Hit]:
    """The spans of hours in excess, strongest first.

    A hit's value of the unit `hour_of_day` is a text such as ``02:00-04:00``; over midnight the end is the smaller one.
    """
    hour = _hours(window)
    y = np.where(expected.known, window.sums[question.y], expected.y)
    hits: list[Hit] = []
    for _ in range(question.limit):
        spans = [span for units in _PLACES for span in _spans(window, hour, y, question, expected, units)]
        passing = [span for span in spans if span.z >= MIN_Z]
        if not passing:
            break
        best = max(passing, key=lambda span: (span.score, -len(span.units), -span.length, -span.start))
        hit = _hit(window, hour, question, expected, _narrowed(window, hour, y, question, expected, best))
        hits.append(hit)
        y = np.where(hit.cells, expected.y, y)
    return hits


def _narrowed(window: Cells, hour: Ints, y: Floats, question: Question, expected: Expectation, span: _Span) -> _Span:
    """The span at the one step, else at the one app, that is all of the excess; the span itself when there is none."""
    inside = window.inside(span.units, span.values) & ((hour - span.start) % 24 < span.length)
    part = window.where(inside)
    excess = question.sign * (y - expected.y)[inside]
    for unit in ("step", "trace_name"):
        if unit in span.units:
            break
        group, names = part.group((unit,))
        shares = np.bincount(group, weights=excess, minlength=len(names)) / excess.sum()
        rows = np.bincount(group, weights=part.sums[question.x], minlength=len(names))
        top = int(shares.argmax())
        if shares[top] >= _ALL and rows[top] <= _SMALL_PART * rows.sum() and not is_blank((unit,), names[top]):
            return replace(span, units=(unit,), values=names[top])
    return span


def _spans(
    window: Cells, hour: Ints, y: Floats, question: Question, expected: Expectation, units: tuple[str, ...]
) -> Iterator[_Span]:
    group, names = window.group(units)
    index = group * 24 + hour

    def by_hour(amounts: Floats) -> Floats:
        return summed(index, amounts, 24 * len(names)).reshape(len(names), 24)

    x = window.sums[question.x]
    sums = [by_hour(column) for column in (x, y, expected.y, expected.variance)]
    for place, values in enumerate(names):
        if is_blank(units, values):
            continue
        rows = [column[place] for column in sums]
        excess = question.sign * (rows[1] - rows[2]).sum()
        for length in _LENGTHS:
            rolled = [sum(np.roll(column, -back) for back in range(length)) for column in rows]
            for start in np.flatnonzero(rolled[0] >= question.min_x):
                z = _z(question, *(float(column[start]) for column in rolled))
                gained = question.sign * (rolled[1][start] - rolled[2][start])
                yield _Span(units, values, int(start), length, z if gained >= _CARRIED * excess else 0.0)


def _z(question: Question, x: float, y: float, wanted: float, variance: float) -> float:
    """Standard errors of the excess; 0 when it is too small to matter."""
    difference = question.sign * (y - wanted)
    effect = difference / max(x, 1.0)
    if effect < question.min_effect or effect < question.min_relative * wanted / max(x, 1.0):
        return 0.0
    z = difference / math.sqrt(max(variance, 1e-12))
    if question.yy is None and y > 0 and question.sign > 0:
        # The likelihood ratio of a Poisson count: honest where little is expected.
        z = min(z, math.sqrt(2 * max(0.0, y * math.log(y / max(wanted, 1e-9)) - difference)))
    return z


def _hit(window: Cells, hour: Ints, question: Question, expected: Expectation, span: _Span) -> Hit:
    place = window.inside(span.units, span.values)

    def inside(start: int, length: int) -> tuple[float, ...]:
        mask = place & ((hour - start) % 24 < length)
        amounts = (window.sums[question.x], window.sums[question.y], expected.y, expected.variance)
        return tuple(float(column[mask].sum()) for column in amounts)

    # Its ends are moved hour by hour as long as that makes it clearer.
    start, length, z = span.start, span.length, _z(question, *inside(span.start, span.length))
    for _ in range(8):
        moves = ((start - 1, length + 1), (start, length + 1), (start + 1, length - 1), (start, length - 1))
        tried = [(_z(question, *inside(a % 24, n)), a % 24, n) for a, n in moves if 1 <= n <= 12]
        better = max(tried)
        if better[0] <= z:
            break
        z, start, length = better
    mask = place & ((hour - start) % 24 < length)
    final = _Span(span.units, span.values, start, length, z)
    x, y, wanted, _ = inside(start, length)
    units, values = (*span.units, HOUR), (*span.values, (final.text,))
    return Hit(units, values, z, wanted / max(x, 1.0), y / max(x, 1.0), mask)
