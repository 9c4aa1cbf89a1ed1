"""The screen: which slices differ from what the baseline led to expect, told by their narrowest cause.

Each cell of the window is given its expected sum: its x times the baseline's rate of its *context* (the same app,
step, environment and prompt, whatever the version). So a slice's excess is observed minus expected with the mix held
fixed: when only the traffic's composition moves, nothing is in excess. New versions need no baseline of their own.

Then the strongest slice is taken as a cause, its excess is removed from its cells, and the rest is looked at again,
until nothing is left: the echoes of a cause (the app it lives in, the release that brought it) vanish with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hansei.contracts import Comparison, Segment
from hansei.tools.playbook.cells import CHANGING, PRIORITY, Cells, Floats, Ints, is_blank, segment_of

MIN_Z = 3.5
"""Standard errors that an excess must have to be measured. Far looser than the bound on false alarms that follows."""

SHRINK = 20.0
"""Rows' worth of belief that a context is like its parent."""

_TIE = 0.97
"""Slices within 3 % of the best score tie: the shorter description wins."""

_PER_DIMENSION = 4.0
"""What each further dimension must earn, in units of z squared."""


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


@dataclass(frozen=True)
class Hit:
    """A slice in excess: its units and values, how strongly, and the ratio expected and observed."""

    units: tuple[str, ...]
    values: tuple[tuple[str, ...], ...]
    z: float
    expected: float
    observed: float
    cells: NDArray[np.bool_]

    @property
    def segment(self) -> Segment:
        return segment_of(self.units, self.values)


@dataclass(frozen=True)
class _Expectation:
    """Per cell of the window: expected y, its variance, and the rate's variance per squared row."""

    y: Floats
    variance: Floats
    context: Ints
    rate_variance: Floats
    known: NDArray[np.bool_]


def explain(cells: Cells, question: Question, *, explained: Sequence[Hit] = ()) -> tuple[list[Hit], int]:
    """Finds the causes behind the window's excess over the baseline.

    Args:
        explained: hits on the same cells that need not be told again.

    Returns:
        The causes, strongest first, and the number of slices that were compared.
    """
    window = cells.where(cells.in_window)
    baseline = cells.where(~cells.in_window)
    if not len(window) or not len(baseline):
        return [], 0
    stale = _stale_prompts(window, baseline, question.x) if "prompt" in cells.codes else frozenset()
    return _causes(window, question, _expect(window, baseline, question), explained, stale)


def stand_out(cells: Cells, question: Question, *, explained: Sequence[Hit] = ()) -> tuple[list[Hit], int]:
    """Finds slices of the window that differ from the rest of the window: what is bad all the time.

    Args:
        explained: hits of `explain` on the same cells; theirs are left out, since they are told already.
    """
    window = cells.where(cells.in_window)
    keep = np.ones(len(window), dtype=bool)
    for hit in explained:
        keep &= ~hit.cells
    window = window.where(keep)
    if not len(window):
        return [], 0
    return _causes(window, question, _expect(window, window, question, scatter=False))


def _expect(window: Cells, reference: Cells, question: Question, *, scatter: bool = True) -> _Expectation:
    """Expected sums of the window's cells from the reference's rates, shrunk towards the wider context."""
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
    for units in reversed(list(question.contexts)):
        groups, sums = _lookup(window, reference, units, (rx, ry, ryy))
        gx, gy, gyy = (column[groups] for column in sums)
        rate = (gy + SHRINK * rate) / (gx + SHRINK)
        square = (gyy + SHRINK * square) / (gx + SHRINK)
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
    return _Expectation(x * rate, factor * x * spread, context, factor * spread / weight, known)


def _lookup(
    window: Cells, reference: Cells, units: Sequence[str], sums: tuple[Floats, ...]
) -> tuple[Ints, list[Floats]]:
    """Group index per window cell, and the reference's sums per group."""
    both = Cells(
        {unit: np.concatenate([window.codes[unit], reference.codes[unit]]) for unit in units},
        window.values,
        np.concatenate([window.day, reference.day]),
        {},
    )
    index, names = both.group(units)
    mine, theirs = index[: len(window)], index[len(window) :]
    return mine, [_summed(theirs, column, len(names)) for column in sums]


def _summed(index: Ints, column: Floats, groups: int) -> Floats:
    """Sum of `column` per group."""
    return np.bincount(index, weights=column, minlength=groups).astype(np.float64)


def _day_scatter(reference: Cells, question: Question, rx: Floats, ry: Floats, ryy: Floats) -> float:
    """How much more the baseline's days scatter around their contexts' rates than independent rows would (≥ 1).

    It also carries the likeness of rows of one trace.
    """
    finest = list(question.contexts[0])
    group, names = reference.group(finest)
    gx = _summed(group, rx, len(names))
    gy = _summed(group, ry, len(names))
    gyy = _summed(group, ryy, len(names))
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = np.where(gx > 0, gy / gx, 0.0)
        spread = rate * (1 - rate) if question.yy is None else np.maximum(np.where(gx > 0, gyy / gx, 0) - rate**2, 0)
    days, index = np.unique(np.stack([group, reference.day], axis=1), axis=0, return_inverse=True)
    index = index.reshape(-1)
    dx, dy = np.bincount(index, weights=rx), np.bincount(index, weights=ry)
    of = days[:, 0].astype(np.int64)
    expected = dx * spread[of]
    usable = expected > 1e-12
    if question.yy is None:
        usable &= dx * rate[of] >= 1.0
    freedom = int(usable.sum()) - len(np.unique(of[usable]))
    if freedom <= 0:
        return 1.0
    scatter = float((((dy - rate[of] * dx) ** 2)[usable] / expected[usable]).sum()) / freedom
    return float(np.clip(scatter, 1.0, 25.0))


def _stale_prompts(window: Cells, baseline: Cells, x: str) -> frozenset[tuple[str, ...]]:
    """Prompt versions that were there before as well: they explain nothing that the step's own name does not."""
    n = len(window.values["prompt"])
    now = _summed(window.codes["prompt"], window.sums[x], n)
    before = _summed(baseline.codes["prompt"], baseline.sums[x], n)
    return frozenset(window.values["prompt"][i] for i in np.flatnonzero(before >= 0.3 * now))


def _causes(
    window: Cells,
    question: Question,
    expected: _Expectation,
    explained: Sequence[Hit] = (),
    stale: frozenset[tuple[str, ...]] = frozenset(),
) -> tuple[list[Hit], int]:
    remaining = np.where(expected.known, window.sums[question.y], expected.y)
    for hit in explained:
        remaining = np.where(hit.cells, expected.y, remaining)
    hits: list[Hit] = []
    slices = 0
    for round_ in range(question.limit):
        scored = [
            slice_
            for units in question.groupings
            for slice_ in _slices(window, question, expected, remaining, tuple(units), count=round_ == 0)
        ]
        if round_ == 0:
            slices = sum(1 for slice_ in scored if slice_.compared)
        passing = [slice_ for slice_ in scored if slice_.passes]
        if not passing:
            break
        best = _best(passing, stale)
        hits.append(_hit(window, question, expected, best))
        remaining = np.where(hits[-1].cells, expected.y, remaining)
    return hits, slices


@dataclass(frozen=True)
class _Slice:
    units: tuple[str, ...]
    values: tuple[tuple[str, ...], ...]
    z: float
    compared: bool
    passes: bool

    @property
    def score(self) -> float:
        return self.z**2 - _PER_DIMENSION * len(self.units)


def _slices(
    window: Cells, question: Question, expected: _Expectation, y: Floats, units: tuple[str, ...], *, count: bool
) -> list[_Slice]:
    group, names = window.group(units)
    n = len(names)
    x = _summed(group, window.sums[question.x] * expected.known, n)
    observed = _summed(group, y, n)
    wanted = _summed(group, expected.y, n)
    variance = _summed(group, expected.variance, n) + _reference_variance(window, question, expected, group, n)
    large = x >= question.min_x
    with np.errstate(divide="ignore", invalid="ignore"):
        z = question.sign * (observed - wanted) / np.sqrt(np.maximum(variance, 1e-12))
        if question.yy is None:
            z = np.minimum(z, _poisson_z(observed, wanted, variance, question.sign))
        effect = question.sign * (observed - wanted) / np.maximum(x, 1.0)
        base = np.abs(wanted) / np.maximum(x, 1.0)
    passes = large & (z >= MIN_Z) & (effect >= question.min_effect) & (effect >= question.min_relative * base)
    out = []
    for i in np.flatnonzero(large if count else passes):
        blank = is_blank(units, names[i])
        out.append(_Slice(units, names[i], float(z[i]), not blank, bool(passes[i]) and not blank))
    return out


def _reference_variance(window: Cells, question: Question, expected: _Expectation, group: Ints, n: int) -> Floats:
    """Variance of a slice's expected sum: the reference's rates are estimates too. One term per context in the
    slice."""
    pairs, index = np.unique(np.stack([group, expected.context], axis=1), axis=0, return_inverse=True)
    index = index.reshape(-1)
    x = np.bincount(index, weights=window.sums[question.x])
    rate_variance = np.zeros(len(pairs))
    rate_variance[index] = expected.rate_variance
    return _summed(pairs[:, 0].astype(np.int64), x**2 * rate_variance, n)


def _poisson_z(observed: Floats, expected: Floats, variance: Floats, sign: int) -> Floats:
    """Signed root of the Poisson likelihood ratio, scaled to `variance`: honest where counts are small."""
    wanted = np.maximum(expected, 1e-9)
    ratio = np.where(observed > 0, observed * np.log(np.maximum(observed, 1e-9) / wanted), 0.0) - (observed - wanted)
    scale = np.maximum(variance / wanted, 1.0)
    return sign * np.sign(observed - wanted) * np.sqrt(np.maximum(2 * ratio, 0) / scale)


def _best(slices: list[_Slice], stale: frozenset[tuple[str, ...]]) -> _Slice:
    top = max(slices, key=lambda s: s.score)
    near = [s for s in slices if s.score >= _TIE * top.score - _PER_DIMENSION]

    def names(slice_: _Slice) -> list[int]:
        return [
            len(PRIORITY) if value in stale and unit == "prompt" else PRIORITY.index(unit)
            for unit, value in zip(slice_.units, slice_.values, strict=True)
        ]

    return min(near, key=lambda s: (len(s.units), names(s), -s.score, s.values))


def _hit(window: Cells, question: Question, expected: _Expectation, best: _Slice) -> Hit:
    mask = np.ones(len(window), dtype=bool)
    for unit, value in zip(best.units, best.values, strict=True):
        mask &= window.codes[unit] == window.values[unit].index(value)
    counted = mask & expected.known
    x = max(float(window.sums[question.x][counted].sum()), 1.0)
    return Hit(
        best.units,
        best.values,
        best.z,
        float(expected.y[counted].sum()) / x,
        float(window.sums[question.y][counted].sum()) / x,
        mask,
    )


def reference_for(cells: Cells, hit: Hit, x: str) -> Comparison:
    """What a slice is compared with: itself in the baseline, or, when it is new there, what it took the place of.

    Version 7 of a prompt takes the place of the prompt's other versions; a release that of the other releases of the
    apps and steps that it runs.
    """
    if not CHANGING & set(hit.units):
        return Comparison(against="baseline", segment=hit.segment)
    mask = np.ones(len(cells), dtype=bool)
    for unit, value in zip(hit.units, hit.values, strict=True):
        mask &= cells.codes[unit] == cells.values[unit].index(value)
    before = float(cells.sums[x][mask & ~cells.in_window].sum())
    now = cells.sums[x] * (mask & cells.in_window)
    if before >= max(30.0, 0.3 * float(now.sum())):
        return Comparison(against="baseline", segment=hit.segment)
    kept = {key: value for key, value in hit.segment.items() if key not in _DROPPED}
    if not {"prompt", "step"} & set(hit.units):
        for unit in ("trace_name", "step"):
            if unit in cells.codes and unit not in hit.units:
                share = _summed(cells.codes[unit], now, len(cells.values[unit])) / max(float(now.sum()), 1.0)
                if share.max() >= _NEARLY_ALL:
                    kept |= segment_of((unit,), (cells.values[unit][int(share.argmax())],))
    return Comparison(against="baseline", segment=kept)


_NEARLY_ALL = 0.95
_DROPPED = frozenset({"prompt_version", "model", "release", "version"})


def merged(*answers: tuple[list[Hit], int]) -> tuple[list[Hit], int]:
    """Several looks at the same slices as one: a slice that several found counts once, with its greatest strength."""
    best: dict[str, Hit] = {}
    for hits, _ in answers:
        for hit in hits:
            key = repr(sorted(hit.segment.items()))
            if key not in best or hit.z > best[key].z:
                best[key] = replace(hit)
    return sorted(best.values(), key=lambda hit: -hit.z), sum(slices for _, slices in answers)
