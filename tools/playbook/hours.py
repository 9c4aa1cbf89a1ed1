"""Spans of hours of the day, such as 02:00 to 04:00 UTC, in which a slice does worse than in its other hours."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hansei.tools.playbook.attributes import HOUR
from hansei.tools.playbook.cells import Cells, Floats, Ints, is_blank
from hansei.tools.playbook.excess import Look, gain, kinds
from hansei.tools.playbook.expectation import Expectation, Question, summed
from hansei.tools.playbook.screen import MIN_Z, Hit

_LENGTHS = (2, 6)
"""Lengths that are tried at every hour; the best span's ends are then moved by single hours."""

_PLACES: tuple[tuple[str, ...], ...] = ((), ("trace_name",), ("step",))

_PER_DIMENSION = 4.0
"""What a place must earn by its name, in units of z squared, as in the screen of other slices."""

_LARGE_PART = 0.1
"""What is left of a place must be at least this share of its rows to be told apart."""

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
    hour, compared = _hours(window), 0
    for units in _places(window):
        (x,), told, _ = _by_hour(window, hour, units, window.sums[question.x])
        compared += sum(int((told & (_over(x, length) >= question.min_x)).sum()) for length in _LENGTHS)
    return compared


def _places(window: Cells) -> list[tuple[str, ...]]:
    return [units for units in _PLACES if window.codes.keys() >= {*units}]


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
        spans = [span for units in _places(window) for span in _spans(window, hour, y, question, expected, units)]
        if not spans:
            break
        best = max(spans, key=lambda span: (span.score, -len(span.units), -span.length, -span.start))
        hit = _hit(window, hour, y, question, expected, _narrowed(window, hour, y, question, expected, best))
        hits.append(hit)
        y = np.where(hit.cells, expected.y, y)
    return hits


def _narrowed(window: Cells, hour: Ints, y: Floats, question: Question, expected: Expectation, span: _Span) -> _Span:
    """The span at the step, and at the app, that rather changed alone in these hours; itself when all of it did."""
    look = Look(window, question, expected)
    for unit in ("step", "trace_name"):
        if unit in span.units or unit not in window.codes:
            continue
        inside = window.inside(span.units, span.values) & ((hour - span.start) % 24 < span.length)
        x = window.sums[question.x] * inside
        # An app beside a step is asked for nothing: see the screen of other slices.
        whole = kinds(look, y, inside)
        best, least = span, gain(look, y, inside, whole) + (_PER_DIMENSION if unit == "step" or not span.units else 0.0)
        for value in np.unique(window.codes[unit][inside]):
            name = window.values[unit][value]
            part = inside & (window.codes[unit] == value)
            small = question.min_x <= x[part].sum() <= (1 - _LARGE_PART) * x.sum()
            if small and not is_blank((unit,), (name,)) and (more := gain(look, y, part, whole)) > least:
                best, least = replace(span, units=(*span.units, unit), values=(*span.values, name)), more
        span = best
    if span.units == ("trace_name", "step"):
        alone = replace(span, units=span.units[1:], values=span.values[1:])
        rows = [window.sums[question.x] * window.inside(one.units, one.values) for one in (span, alone)]
        span = alone if rows[0].sum() == rows[1].sum() else span
    return span


def _by_hour(
    window: Cells, hour: Ints, units: tuple[str, ...], *amounts: Floats
) -> tuple[list[Floats], NDArray[np.bool_], list[tuple[tuple[str, ...], ...]]]:
    """Sums of shape (places, 24); of shape (places, 1), whether a place can be told; and the places."""
    group, names = window.group(units)
    sums = [summed(group * 24 + hour, column, 24 * len(names)).reshape(len(names), 24) for column in amounts]
    told = np.asarray([not is_blank(units, values) for values in names], dtype=np.bool_)
    return sums, told[:, None], names


def _over(sums: Floats, length: int) -> Floats:
    """The sums over so many hours from each hour on."""
    return np.asarray(np.sum([np.roll(sums, -back, axis=1) for back in range(length)], axis=0), dtype=np.float64)


def _spans(
    window: Cells, hour: Ints, y: Floats, question: Question, expected: Expectation, units: tuple[str, ...]
) -> Iterator[_Span]:
    """The spans that stand out and carry their place's excess."""
    columns = (window.sums[question.x], y, expected.y, expected.variance)
    sums, told, names = _by_hour(window, hour, units, *columns)
    whole = question.sign * (sums[1] - sums[2]).sum(axis=1, keepdims=True)
    for length in _LENGTHS:
        rolled = [_over(column, length) for column in sums]
        z = _z(question, *rolled)
        carries = question.sign * (rolled[1] - rolled[2]) >= _CARRIED * whole
        passing = told & (rolled[0] >= question.min_x) & (z >= MIN_Z) & carries
        for place, start in np.argwhere(passing).tolist():
            yield _Span(units, names[place], start, length, float(z[place, start]))


def _z(question: Question, x: Floats, y: Floats, wanted: Floats, variance: Floats) -> Floats:
    """Standard errors of the excess of each span; 0 when it is too small to matter."""
    difference = question.sign * (y - wanted)
    rows = np.maximum(x, 1.0)
    matters = (difference / rows >= question.min_effect) & (difference >= question.min_relative * wanted)
    z = difference / np.sqrt(np.maximum(variance, 1e-12))
    if question.yy is None and question.sign > 0:
        # The likelihood ratio of a Poisson count: honest where little is expected.
        seen = np.maximum(y, 1e-300)
        ratio = y * np.log(seen / np.maximum(wanted, 1e-9)) - difference
        z = np.where(y > 0, np.minimum(z, np.sqrt(2 * np.maximum(0.0, ratio))), z)
    return np.where(matters, z, 0.0)


def _hit(window: Cells, hour: Ints, y: Floats, question: Question, expected: Expectation, span: _Span) -> Hit:
    place = window.inside(span.units, span.values)
    look = Look(window, question, expected)

    def inside(start: int, length: int) -> NDArray[np.bool_]:
        return np.asarray(place & ((hour - start) % 24 < length))

    def z(start: int, length: int) -> float:
        mask = inside(start, length)
        sums = (window.sums[question.x], window.sums[question.y], expected.y, expected.variance)
        return float(_z(question, *(np.asarray(column[mask].sum()) for column in sums)))

    # Its ends are moved hour by hour as long as one change of all its hours explains more of what was seen.
    start, length = span.start, span.length
    gained = gain(look, y, inside(start, length))
    for _ in range(8):
        moves = ((start - 1, length + 1), (start, length + 1), (start + 1, length - 1), (start, length - 1))
        able = [(a % 24, n) for a, n in moves if 1 <= n <= 12 and z(a, n) >= MIN_Z]
        tried = [(gain(look, y, inside(a, n)), a, n) for a, n in able]
        better = max(tried, default=(0.0, start, length))
        if better[0] <= gained:
            break
        gained, start, length = better
    mask = inside(start, length)
    final = replace(span, start=start, length=length)
    x = max(float(window.sums[question.x][mask].sum()), 1.0)
    wanted, observed = float(expected.y[mask].sum()), float(window.sums[question.y][mask].sum())
    units, values = (*span.units, HOUR), (*span.values, (final.text,))
    return Hit(units, values, z(start, length), wanted / x, observed / x, observed, mask)
