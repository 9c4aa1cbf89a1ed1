"""What the baseline leads to expect of every cell of the window, and how far that may be off.

Each cell of the window is given an expected sum: its x times the rate of its *context* in the reference, that is of the
same app, step, environment and prompt, shrunk towards the wider context where there is little to go
by.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hansei.tools.playbook.cells import Cells, Floats, Ints, dense

SHRINK = 20.0
"""Rows' worth of belief that a context is like the wider one."""
UNLIKE = 2.0
"""The same for the widest contexts and all the rest: another step's failures say little about a step's."""


@dataclass(frozen=True)
class Question:
    """What to look for in the cells.

    Args:
        x, y: names of the sums whose ratio is looked at; `yy`: sum of squares of y over rows, None for shares (then
            the variance follows from the ratio).
        contexts: units that define like with like, finest first; each later tuple is the fallback of the one before.
        groupings: the slices that are looked at.
        sign: 1 looks for an excess, -1 for a deficit.
        min_x: fewest rows of a slice.
        min_effect, min_relative: least change of the ratio, absolute and relative to the expected one.
        repeats: units of which each value's rows stand in several cells each, as a score does for each prompt of its
            trace; what is told of one of these cells is told of all of them. (): each row is in one cell.
    """

    x: str
    y: str
    contexts: Sequence[Sequence[str]]
    groupings: Sequence[Sequence[str]]
    yy: str | None = None
    sign: int = 1
    min_x: float = 30
    min_effect: float = 0.0
    min_relative: float = 0.0
    limit: int = 6
    repeats: Sequence[str] = ()


@dataclass(frozen=True)
class Expectation:
    """Per cell of the window: expected y, its variance, and the rate's variance per squared row."""

    y: Floats
    variance: Floats
    context: Ints
    rate_variance: Floats
    known: NDArray[np.bool_]


def expect(
    window: Cells, reference: Cells, question: Question, *, scatter: bool = True, others: str = ""
) -> Expectation:
    """Expected sums of the window's cells from the reference's rates, shrunk towards the wider context.

    Args:
        scatter: whether days that scatter more than chance lets them widen the variance.
        others: a unit; each cell is expected to be as the reference's cells with other values of it are. A value that
            is in its own expectation hides as much of what is wrong with it as its share of the rows.
    """
    rx, ry = reference.sums[question.x], reference.sums[question.y]
    share = question.yy is None
    ryy = ry if question.yy is None else reference.sums[question.yy]
    total_x = max(float(rx.sum()), 1.0)
    # Half a case more than was seen: where nothing ever happened, the first case must not be infinitely surprising.
    prior = 0.5 if share else 0.0
    rate = np.full(len(window), (float(ry.sum()) + prior) / total_x)
    square = np.full(len(window), (float(ryy.sum()) + prior) / total_x)
    weight = np.full(len(window), total_x)
    context = np.zeros(len(window), dtype=np.int64)
    known = np.zeros(len(window), dtype=bool)
    last = 0
    held = np.full(len(window), np.inf)
    for units in reversed(list(question.contexts)):
        groups, sums = _lookup(window, reference, units, (rx, ry, ryy))
        gx, gy, gyy = (column[groups] for column in sums)
        if others:
            own_groups, own_sums = _lookup(window, reference, (*units, others), (rx, ry, ryy))
            # Differences of sums: what is left by rounding is no row.
            gx, gy, gyy = (
                np.maximum(column - own[own_groups], 0.0) for column, own in zip((gx, gy, gyy), own_sums, strict=True)
            )
        # A context that holds the same rows as the wider one is no further evidence: counted again at every level, a
        # share that was never seen would be expected at next to nothing. (Means of different steps are so unlike that
        # they had better come from their own rows alone.)
        narrower = gx < (held if share else np.inf)
        belief = UNLIKE if share and np.isinf(held).all() else SHRINK
        rate = np.where(narrower, (gy + belief * rate) / (gx + belief), rate)
        square = np.where(narrower, (gyy + belief * square) / (gx + belief), square)
        held = gx
        # A context with rows of its own brings its own uncertainty; one without has its parent's, shared with others.
        own = gx >= SHRINK
        context = np.where(own, last + 1 + groups, context)
        weight = np.where(own, gx, weight)
        last += 1 + len(sums[0])
        if units:
            known |= gx > 0
    spread = rate * (1 - rate) if share else np.maximum(square - rate**2, 0)
    factor = _day_scatter(reference, question, rx, ry, ryy) if scatter else 1.0
    x = window.sums[question.x]
    if not any(question.contexts):
        known[:] = True
    return Expectation(x * rate, factor * x * spread, context, factor * spread / weight, known)


def _lookup(
    window: Cells, reference: Cells, units: Sequence[str], sums: tuple[Floats, ...]
) -> tuple[Ints, list[Floats]]:
    """Group index per window cell, and the reference's sums per group."""
    index, groups = np.zeros(len(window) + len(reference), dtype=np.int64), 1
    for unit in units:
        codes, kinds = np.concatenate([window.codes[unit], reference.codes[unit]]), len(window.values[unit])
        index, there = dense(index * kinds + codes, groups * kinds)
        groups = len(there)
    mine, theirs = index[: len(window)], index[len(window) :]
    return mine, [summed(theirs, column, groups) for column in sums]


def summed(index: Ints, column: Floats, groups: int) -> Floats:
    """Sum of `column` per group."""
    return np.bincount(index, weights=column, minlength=groups).astype(np.float64)


def _day_scatter(reference: Cells, question: Question, rx: Floats, ry: Floats, ryy: Floats) -> float:
    """How much more the baseline's days scatter around their contexts' rates than independent rows would (≥ 1).

    It also carries the likeness of rows of one trace.
    """
    finest = list(question.contexts[0])
    group, names = reference.group(finest)
    gx = summed(group, rx, len(names))
    gy = summed(group, ry, len(names))
    gyy = summed(group, ryy, len(names))
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = np.where(gx > 0, gy / gx, 0.0)
        spread = rate * (1 - rate) if question.yy is None else np.maximum(np.where(gx > 0, gyy / gx, 0) - rate**2, 0)
    day = reference.day - int(reference.day.min(initial=0))
    most = int(day.max(initial=0)) + 1
    index, days = dense(group * most + day, len(names) * most)
    dx, dy = np.bincount(index, weights=rx), np.bincount(index, weights=ry)
    of = days // most
    expected = dx * spread[of]
    usable = expected > 1e-12
    if question.yy is None:
        usable &= dx * rate[of] >= 1.0
    freedom = int(usable.sum()) - len(np.unique(of[usable]))
    if freedom <= 0:
        return 1.0
    scatter = float((((dy - rate[of] * dx) ** 2)[usable] / expected[usable]).sum()) / freedom
    return float(np.clip(scatter, 1.0, 25.0))
