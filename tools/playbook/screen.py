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
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from hansei.contracts import Segment
from hansei.tools.playbook.cells import PRIORITY, Cells, Floats, is_blank, segment_of
from hansei.tools.playbook.excess import Groups, Look, gain, kinds
from hansei.tools.playbook.expectation import Expectation, Question, expect, summed

MIN_Z = 3.5
"""Standard errors that an excess must have to be measured. Far looser than the bound on false alarms that follows."""

SURE_Z = 6.0
"""A slice whose plain sum is that far off may be ranked by how well one and the same relative change fits its parts."""

_TIE = 0.97
"""Slices within 3 % of the best score tie: the shorter description wins."""

_CLOSE = 4.0
"""So do slices whose squared standard errors differ by less than chance makes them differ."""

_PRICE = 6.0
"""What each dimension of a slice must earn, in units of z squared: twice the logarithm of how many there are to try."""

_PRICES = {"trace_name": 2.0}
"""An app is a thing of its own, so that steps of one name in two apps may be quite different things: beside a step or
score it costs less."""


@dataclass(frozen=True)
class Hit:
    """A slice in excess: its units and values, how strongly, and the ratio expected and observed."""

    units: tuple[str, ...]
    values: tuple[tuple[str, ...], ...]
    z: float
    expected: float
    observed: float
    events: float
    """What was observed in all: y, where `observed` is y / x."""
    cells: NDArray[np.bool_]
    apps: tuple[str, ...] = ()
    """Apps in which the slice has rows; (): not known."""

    @property
    def segment(self) -> Segment:
        return segment_of(self.units, self.values)


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
    return _causes(
        window, question, expect(window, baseline, question), explained, _stale(window, baseline, question.x)
    )


def both_ways(cells: Cells, worse: Question, better: Question) -> tuple[list[Hit], list[Hit], int]:
    """What got worse, what got better, and how many slices were compared.

    The test that follows is two-sided, so that a slice counts once, whichever way it is looked at.
    """
    (more, looked), (less, looked_again) = explain(cells, worse), explain(cells, better)
    return more, less, max(looked, looked_again)


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
    return _causes(window, question, expect(window, window, question, scatter=False))


def causes(window: Cells, question: Question, expected: Expectation) -> tuple[list[Hit], int]:
    """Finds the causes behind the window's excess over any expectation of its cells."""
    return _causes(window, question, expected)


_Stale = frozenset[tuple[str, tuple[str, ...]]]
"""Units with values that were there before as well."""


def _stale(window: Cells, baseline: Cells, x: str) -> _Stale:
    """Prompt versions that were there before as well: they explain nothing that the step's own name does not. And so
    of models, where rows are whole traces: other traces may have called the same model for something else."""
    found = set()
    for unit in ("prompt", *(() if {"step", "score"} & {*window.codes} else ("model",))):
        if unit in window.codes:
            n = len(window.values[unit])
            now = summed(window.codes[unit], window.sums[x], n)
            before = summed(baseline.codes[unit], baseline.sums[x], n)
            found |= {(unit, window.values[unit][i]) for i in np.flatnonzero(before >= 0.3 * now)}
    return frozenset(found)


def _causes(
    window: Cells,
    question: Question,
    expected: Expectation,
    explained: Sequence[Hit] = (),
    stale: _Stale = frozenset(),
) -> tuple[list[Hit], int]:
    look = Look(window, question, expected)
    remaining = np.where(expected.known, window.sums[question.y], expected.y)
    for hit in explained:
        remaining = np.where(hit.cells, expected.y, remaining)
    hits: list[Hit] = []
    for _ in range(question.limit):
        passing = [one for units in question.groupings for one in _passing(look, remaining, tuple(units))]
        if not passing:
            break
        hits.append(_hit(window, question, expected, _narrowest(look, remaining, passing, stale)))
        remaining = np.where(_told(window, question, hits[-1]), expected.y, remaining)
    return hits, window.row_sets(window.sums[question.x] * expected.known, question.min_x, question.groupings)


def _told(window: Cells, question: Question, hit: Hit) -> NDArray[np.bool_]:
    """The cells that hold a hit's rows."""
    if not question.repeats:
        return hit.cells
    group, _ = window.group(question.repeats)
    return np.isin(group, group[hit.cells & (window.sums[question.x] > 0)])


@dataclass(frozen=True)
class _Slice:
    units: tuple[str, ...]
    values: tuple[tuple[str, ...], ...]
    z: float

    @property
    def price(self) -> float:
        prices = _PRICES if {"step", "score"} & set(self.units) else {}
        return sum(prices.get(unit, _PRICE) for unit in self.units)

    @property
    def score(self) -> float:
        return self.z**2 - self.price

    def is_around(self, other: _Slice) -> bool:
        """Whether the other one is a part by its name: it has these dimensions and more."""
        mine, theirs = (set(zip(one.units, one.values, strict=True)) for one in (self, other))
        return mine < theirs

    def mask(self, window: Cells) -> NDArray[np.bool_]:
        """The cells of the slice."""
        return window.inside(self.units, self.values)


def _passing(look: Look, y: Floats, units: tuple[str, ...]) -> list[_Slice]:
    """The slices under `units` whose excess is large enough to be measured."""
    question = look.question
    sums = look.groups(y, units)
    large = sums.x >= question.min_x
    difference = question.sign * (sums.observed - sums.wanted)
    z = difference / np.sqrt(np.maximum(sums.variance, 1e-12))
    if question.yy is None:
        z = np.minimum(z, _binomial_z(sums, question.sign))
    else:
        z = np.where(z >= SURE_Z, np.maximum(z, question.sign * sums.fit), z)
    effect = difference / np.maximum(sums.x, 1.0)
    base = np.abs(sums.wanted) / np.maximum(sums.x, 1.0)
    passes = large & (z >= MIN_Z) & (effect >= question.min_effect) & (effect >= question.min_relative * base)
    return [
        _Slice(units, sums.names[i], float(z[i])) for i in np.flatnonzero(passes) if not is_blank(units, sums.names[i])
    ]


def _binomial_z(sums: Groups, sign: int) -> Floats:
    """Signed root of the binomial likelihood ratio, scaled to the variance: honest where counts are small."""
    n = np.maximum(np.maximum(sums.x, sums.observed), 1e-9)
    share = np.clip(sums.wanted / n, 1e-12, 1 - 1e-12)

    def part(count: Floats, expected: Floats) -> Floats:
        return np.where(count > 0, count * np.log(np.maximum(count, 1e-12) / np.maximum(expected, 1e-12)), 0.0)

    ratio = part(sums.observed, n * share) + part(n - sums.observed, n * (1 - share))
    scale = np.maximum(sums.variance / (n * share * (1 - share)), 1.0)
    return np.asarray(sign * np.sign(sums.observed - sums.wanted) * np.sqrt(np.maximum(2 * ratio, 0) / scale))


def _narrowest(look: Look, y: Floats, passing: list[_Slice], stale: _Stale) -> _Slice:
    """The best slice of which every large part shows the change; the best at all when there is none."""
    left = list(passing)
    while left:
        best = _best(left, stale)
        part = _part_alone(look, y, left, _whole(look, y, left, best))
        best = _best([one for one in left if _same_rows(look, one, part)], stale)
        if not _too_wide(look, y, best):
            return _with_its_step(look, passing, best)
        left.remove(best)
    return _best(passing, stale)


def _whole(look: Look, y: Floats, slices: Sequence[_Slice], best: _Slice) -> _Slice:
    """The slice around the best one, of no more dimensions, that rather changed as a whole; itself when none did."""
    inside = best.mask(look.window) & (look.window.sums[look.question.x] > 0)
    found = []
    for one in slices:
        outside = one.mask(look.window)
        if one.price <= best.price and not (inside & ~outside).any() and _has_more(look, one, best):
            whole = kinds(look, y, outside)
            found.append((_TIE * gain(look, y, outside, whole) - gain(look, y, inside, whole), one))
    more, around = max(found, key=lambda one: one[0], default=(0.0, best))
    return around if more > _CLOSE else best


def _part_alone(look: Look, y: Floats, slices: Sequence[_Slice], whole: _Slice) -> _Slice:
    """The part of a slice, narrower by one dimension or more, that rather changed alone, or most, where parts changed
    in ways of their own; the slice itself when all of it rather changed alike."""
    mask = whole.mask(look.window)
    around = kinds(look, y, mask)
    inside = sorted((one for one in slices if whole.is_around(one)), key=lambda one: (one.units, one.values))
    found = []
    for units, group in groupby(inside, key=lambda one: one.units):
        gains = ((gain(look, y, one.mask(look.window), around), one) for one in group)
        parts = sorted(gains, key=lambda part: -part[0])
        more, first = parts[0]
        if not _has_more(look, whole, first):
            continue
        by = {*units} - {*whole.units}
        # What comes and goes changes in its own way already when it is there for other days than the rest.
        if by <= {"trace_name", "step"}:
            more += sum(max(gained - one.price, 0.0) for gained, one in parts[1:])
        # Steps of one name in two apps may be quite different things: it takes the others' word to tell them too.
        if by != {"trace_name"} or not whole.units:
            more -= first.price - whole.price
        # With much data, parts of one change differ by next to nothing, and yet by more than chance.
        found.append((more - gain(look, y, mask, around) / _TIE, first))
    more, part = max(found, key=lambda one: one[0], default=(0.0, whole))
    return _part_alone(look, y, slices, part) if more > 0 else whole


def _same_rows(look: Look, one: _Slice, other: _Slice) -> bool:
    rows = look.window.sums[look.question.x] > 0
    return not ((one.mask(look.window) ^ other.mask(look.window)) & rows).any()


def _has_more(look: Look, whole: _Slice, part: _Slice) -> bool:
    """Whether what a slice has beside its part is large enough to be told apart."""
    x = look.window.sums[look.question.x] * look.expected.known
    return float(x[part.mask(look.window)].sum()) <= (1 - _LARGE_PART) * float(x[whole.mask(look.window)].sum())


def _with_its_step(look: Look, passing: Sequence[_Slice], best: _Slice) -> _Slice:
    """A slice of an app or release with its step named, when it has rows of that step only: a team mends the step."""
    if best.units[:1] not in (("trace_name",), ("release",)) or {"step", "score", "prompt", "model"} & {*best.units}:
        return best
    rows = look.window.sums[look.question.x] * look.expected.known
    mine = float(rows[best.mask(look.window)].sum())
    named = [one for one in passing if {*best.units, "step"} == set(one.units) and {*best.values} < {*one.values}]
    return next((one for one in named if rows[one.mask(look.window)].sum() >= _NEARLY_ALL * mine), best)


def _too_wide(look: Look, y: Floats, slice_: _Slice) -> bool:
    """Whether a narrower slice tells the change better: because a part that is large enough to show it does not, or
    because a small part, or two, are all of it.

    Both ways of sharing a change are allowed for: every part by the same amount, or in proportion to what it had.
    """
    sign = look.question.sign
    keep = slice_.mask(look.window)
    whole = look.groups(y, (), keep)
    x, excess, wanted = float(whole.x[0]), sign * float(whole.observed[0] - whole.wanted[0]), float(whole.wanted[0])
    if x <= 0:
        return False
    for unit in look.window.codes:
        if unit in slice_.units:
            continue
        parts = look.groups(y, (unit,), keep)
        alike = excess * parts.x / x
        if wanted >= (_FEW if look.question.yy is None else 1e-300):
            alike = np.minimum(alike, excess * parts.wanted / wanted)
        shown = sign * (parts.observed - parts.wanted)
        lacking = (alike - shown) / np.sqrt(np.maximum(_variance_if(parts, sign * alike, look.question), 1e-12))
        innocent = (shown < _INNOCENT * alike) & (lacking >= _LACKING)
        if bool(((parts.x >= _LARGE_PART * x) & innocent).any()):
            return True
        # One small part, or two faults at once of which the slice is made.
        most = np.argsort(-shown)[:2]
        if bool(((parts.x <= _SMALL_PART * x) & (shown >= _ALL * excess)).any()):
            return True
        if float(parts.x[most].sum()) <= _SMALL_PART * x and float(shown[most].sum()) >= _ALL * excess:
            return True
    return False


_NEARLY_ALL = 0.95
_FEW = 3.0
"""With fewer expected events than this, which parts had them before is chance, and no measure for their share."""
_LARGE_PART = 0.1
"""Parts smaller than this share of a slice's rows need not be named apart."""
_SMALL_PART = 0.5
_ALL = 0.95
"""A part with at most that share of the rows and at least this share of the change is what the change is about."""
_INNOCENT = 0.25
"""A part that shows less than this share of its share of the change may be innocent …"""
_LACKING = 3.0
"""… if what it lacks of that share is so many standard errors."""


def _variance_if(parts: Groups, more: Floats, question: Question) -> Floats:
    """The parts' variance if the change were in them: more failures and larger amounts scatter more."""
    now = parts.wanted + more
    if question.yy is None:
        n = np.maximum(parts.x, 1e-9)
        before, after = (np.clip(sum_ / n, 1e-9, 1 - 1e-9) for sum_ in (parts.wanted, now))
        grown = after * (1 - after) / (before * (1 - before))
    else:
        grown = np.where(parts.wanted != 0, now / np.where(parts.wanted != 0, parts.wanted, 1.0), 1.0) ** 2
    # The reference's own part of the variance does not grow, so this errs on the side of telling nothing apart.
    return parts.variance * np.maximum(grown, 1.0)


def _ties(slices: Sequence[_Slice]) -> list[_Slice]:
    """The slices that score as the best one does, but for what chance may make."""
    top = max(one.score for one in slices)
    return [one for one in slices if one.score >= _TIE * top - _CLOSE]


def _best(slices: list[_Slice], stale: _Stale) -> _Slice:
    near = _ties(slices)

    def names(slice_: _Slice) -> list[int]:
        return [
            len(PRIORITY) if unit not in PRIORITY or (unit, value) in stale else PRIORITY.index(unit)
            for unit, value in zip(slice_.units, slice_.values, strict=True)
        ]

    return min(near, key=lambda s: (len(s.units) > 1, s.price if len(s.units) > 1 else 0, names(s), -s.score, s.values))


def _hit(window: Cells, question: Question, expected: Expectation, best: _Slice) -> Hit:
    mask = best.mask(window)
    counted = mask & expected.known
    x = max(float(window.sums[question.x][counted].sum()), 1.0)
    wanted, observed = float(expected.y[counted].sum()), float(window.sums[question.y][counted].sum())
    return Hit(
        best.units, best.values, best.z, wanted / x, observed / x, observed, mask, _apps(window, mask, question.x)
    )


def _apps(window: Cells, mask: NDArray[np.bool_], x: str) -> tuple[str, ...]:
    if "trace_name" not in window.codes:
        return ()
    names = window.values["trace_name"]
    return tuple(sorted(names[code][0] for code in np.unique(window.codes["trace_name"][mask & (window.sums[x] > 0)])))


def merged(*answers: tuple[list[Hit], int]) -> tuple[list[Hit], int]:
    """Several looks at the same slices as one: a slice that several found counts once, with its greatest strength."""
    best: dict[str, Hit] = {}
    for hits, _ in answers:
        for hit in hits:
            key = repr(sorted(hit.segment.items()))
            if key not in best or hit.z > best[key].z:
                best[key] = replace(hit)
    return sorted(best.values(), key=lambda hit: -hit.z), sum(slices for _, slices in answers)
