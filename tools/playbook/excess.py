"""Sums of groups of cells beside what was expected of them, and how a change is shared among them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hansei.tools.playbook.cells import Cells, Floats, Ints, dense
from hansei.tools.playbook.expectation import Expectation, Question, summed


@dataclass(frozen=True)
class Look:
    """What all slices are computed from."""

    window: Cells
    question: Question
    expected: Expectation

    def groups(self, y: Floats, units: Sequence[str], keep: NDArray[np.bool_] | None = None) -> Groups:
        """Sums per group under `units`, of the cells that `keep` names (default: all)."""
        expected, at = self.expected, slice(None) if keep is None else np.flatnonzero(keep)
        group, names, index, of = self._partition(tuple(units)) if keep is None else self._part(units, at)
        n = len(names)
        x, observed, wanted = self.window.sums[self.question.x][at], y[at], expected.y[at]
        rate_variance = np.zeros(len(of))
        rate_variance[index] = expected.rate_variance[at]
        noise = summed(index, expected.variance[at], len(of))
        variance = noise + summed(index, x, len(of)) ** 2 * rate_variance
        size = np.abs(summed(index, wanted, len(of)))
        apart = summed(index, observed - wanted, len(of))
        precision = size / np.maximum(variance, 1e-12)
        fit = summed(of, apart * precision, n) / np.sqrt(np.maximum(summed(of, size * precision, n), 1e-12))
        return Groups(
            names,
            summed(group, x * expected.known[at], n),
            summed(group, observed, n),
            summed(group, wanted, n),
            summed(of, variance, n),
            summed(of, noise, n),
            fit,
        )

    def _partition(self, units: tuple[str, ...]) -> _Partition:
        """The same for all cells: asked again for each cause."""
        if units not in self._partitions:
            self._partitions[units] = self._part(units, slice(None))
        return self._partitions[units]

    @cached_property
    def _partitions(self) -> dict[tuple[str, ...], _Partition]:
        return {}

    def _part(self, units: Sequence[str], at: Ints | slice) -> _Partition:
        window = self.window
        if isinstance(at, slice):
            group, names = window.group(units)
        else:
            codes = {unit: window.codes[unit][at] for unit in units}
            group, names = Cells(codes, window.values, window.day[at], {}).group(units)
        # The rates that are expected are estimates too, one per context: cells of one context are off together.
        contexts = int(self.expected.context.max(initial=0)) + 1
        index, parts = dense(group * contexts + self.expected.context[at], len(names) * contexts)
        return group, names, index, parts // contexts


_Partition = tuple[Ints, list[tuple[tuple[str, ...], ...]], Ints, Ints]
"""Each cell's group, the groups' values, each cell's part (the cells of a group in one context), each part's group."""


@dataclass(frozen=True)
class Groups:
    """Per group: its values, rows, observed and expected sum, and the variance of their difference.

    `noise`: the variance but for what is not known of the reference, which a group and its parts have in common.
    `fit`: standard errors by which one relative change, the same in all of the group's contexts, differs from none. A
    dear context with much scatter does not drown the cheap ones in it, as it does in the plain sum.
    """

    names: list[tuple[tuple[str, ...], ...]]
    x: Floats
    observed: Floats
    wanted: Floats
    variance: Floats
    noise: Floats
    fit: Floats


_KINDS = ("score", "trace_name", "environment", "step", "model", "hour_of_day")
"""Units whose parts are each expected to be as they were: a change hits all of them alike, or some."""

_HALF = 0.5
_STEPS = 8


def kinds(look: Look, y: Floats, cells: NDArray[np.bool_]) -> Groups:
    """A slice by the kinds of traffic in it."""
    return look.groups(y, [unit for unit in _KINDS if unit in look.window.codes], cells)


def gain(look: Look, y: Floats, cells: NDArray[np.bool_], whole: Groups | None = None) -> float:
    """How much better one change of a slice explains what was seen in it than no change does.

    Twice the logarithm of the ratio of the likelihoods, at the change that fits best. The slice's kinds of traffic
    change alike: by the same amount for each row, or in proportion to what was expected, whichever fits. So what does
    not change as the rest of the slice does takes from its gain, and a part that alone changed has a greater one.

    Args:
        look, y: the cells.
        cells: of the slice.
        whole: by `kinds`, of the slice around it that its gain is held against: what is not known of the reference is
            the same for all of its parts, and no part may gain by knowing it better.
    """
    part = kinds(look, y, cells)
    there = part.x > 0
    if not there.any():
        return 0.0
    x, seen, variance = part.x[there], part.observed[there], part.variance[there]
    if whole is not None:
        widened = dict(zip(whole.names, whole.variance / np.maximum(whole.noise, 1e-12), strict=True))
        variance = (part.noise * [widened[name] for name in part.names])[there]
    if look.question.yy is not None:
        return max(_normal(seen - part.wanted[there], size, variance) for size in (x, part.wanted[there]))
    # Where next to nothing was expected, half a case is: that none was seen before is chance, too.
    wanted = np.maximum(part.wanted[there], _HALF)
    n = np.maximum(x, seen)
    usual = np.clip(wanted / n, 1e-9, 1 - 1e-9)
    weight = 1 / np.maximum(variance / (n * usual * (1 - usual)), 1.0)
    return max(_binomial(seen, wanted, n, weight, change) for change in _changes(seen, wanted, x, weight))


def _normal(apart: Floats, size: Floats, variance: Floats) -> float:
    precision = size / np.maximum(variance, 1e-12)
    return float((apart * precision).sum() ** 2 / max(float((size * precision).sum()), 1e-12))


def _changes(seen: Floats, wanted: Floats, x: Floats, weight: Floats) -> Iterator[Floats]:
    """What would be expected of each kind if all changed alike, in both ways."""
    yield wanted * max(float((seen * weight).sum() / (wanted * weight).sum()), 1e-6)
    more = float(((seen - wanted) * weight).sum() / (x * weight).sum())
    for _ in range(_STEPS):
        # Newton's step towards the most likely amount.
        now = np.maximum(wanted + more * x, 1e-3)
        slope = float((weight * x * (seen / now - 1)).sum())
        more += slope / max(float((weight * x * x * seen / now**2).sum()), 1e-12)
    yield np.maximum(wanted + more * x, 1e-3)


def _binomial(seen: Floats, wanted: Floats, n: Floats, weight: Floats, changed: Floats) -> float:
    def likelihood(mean: Floats) -> Floats:
        share = np.clip(mean / n, 1e-9, 1 - 1e-9)
        return np.asarray(seen * np.log(share) + (n - seen) * np.log(1 - share))

    return float((2 * weight * (likelihood(changed) - likelihood(wanted))).sum())
