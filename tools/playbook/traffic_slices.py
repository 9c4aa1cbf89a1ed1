"""Which slices' traffic moved: apps and environments, and what their traces carry where one value moved alone."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from hansei.contracts import Segment
from hansei.tools import statistics
from hansei.tools.playbook.attributes import HOUR
from hansei.tools.playbook.cells import Cells, Floats, is_blank, segment_of

LEAST = 100
"""Fewest traces, in the window or expected there, for anything to be said."""
LEAST_RELATIVE = 0.2
"""Smallest change that matters, relative to what was expected."""

_GROUPINGS = ((), ("trace_name",), ("environment",), ("trace_name", "environment"))
_P = 1e-3
"""Screen: a far looser bound than the one on false alarms that follows."""

_ALONE_RELATIVE = 0.5
"""The same as `LEAST_RELATIVE` of what traces carry: users and tenants vary more than an app as a whole."""
_SHARES = {"user_id": 0.15}
_SHARE = 0.05
"""A value's change must be this share of the project's traces (`_SHARES`: of some keys): customers come and go all the
time, and people go on holiday."""
_OF_APP = 2.0
"""In an app it may be twice this share of the app's."""
_IN_SUM = 0.5
"""This share of a value's change must be there in the whole: what only takes another value's place is no traffic."""
_SPANS = (1, 2, 3, 4, 6, 8)
"""Hours of the day are looked at in spans of so many."""
_MOST = 3
"""Slices that are told."""


@dataclass(frozen=True)
class Days:
    """How many days are known: before the window, in it, and before it at the least (the baseline)."""

    history: int
    window: int
    least: int

    @property
    def all(self) -> int:
        return self.history + self.window


ONE_EACH = Days(1, 1, 1)
"""One day is known of the window, and the same weekday before it."""

_SCATTER = 4.0
"""How much more two days differ than chance makes them, where nothing tells how much they do."""


def known_days(history: Floats, least: int) -> Floats:
    """The days before the window since there has been traffic, oldest first; where there was none, `least` such days.

    The first of more than a week is left out where it has less than half of what is usual: it began within the day, and
    a part of a day says nothing of its weekday.
    """
    there = np.flatnonzero(history)
    if not len(there):
        return history[max(0, len(history) - least) :]
    first = int(there[0])
    if 0 < first < len(history) - 7 and history[first] < history[first + 1 :].mean() / 2:
        first += 1
    return history[first:]


@dataclass(frozen=True)
class Moved:
    """A slice's traffic in the window against what was expected, its p-value, and how much its days scatter.

    `counts` are its days, of which those of the window come last: before the first trace of all there is no history.
    """

    segment: Segment
    counts: Floats
    now: float
    expected: float
    p: float
    factor: float

    @classmethod
    def of(cls, segment: Segment, counts: Floats, days: Days) -> Moved | None:
        """None when no weekday of the window occurs in the days before it."""
        history, window = known_days(counts[: days.history], days.least), counts[days.history :]
        if days == ONE_EACH:
            now, before = float(window[0]), float(history[0])
            z = abs(now - before) / math.sqrt(max(1.0, _SCATTER * (now + before)))
            return cls(segment, counts, now, before, math.erfc(z / math.sqrt(2)), _SCATTER)
        test = statistics.count_test(list(history), list(window))
        if test is None:
            return None
        known = counts[days.history - len(history) :]
        return cls(segment, known, float(window.sum()), test.expected * days.window, test.p, test.factor)

    @property
    def excess(self) -> float:
        """Traces beyond what was expected."""
        return self.now - self.expected

    @property
    def change(self) -> float:
        """Relative to what was expected."""
        return self.now / self.expected - 1 if self.expected > 0 else math.inf

    @property
    def has_moved(self) -> bool:
        """Whether it passes the screen."""
        return self._passes(LEAST_RELATIVE)

    @property
    def stands_out(self) -> bool:
        """Whether it does by the stricter bound on what traces carry."""
        return self._passes(_ALONE_RELATIVE)

    def _passes(self, relative: float) -> bool:
        return max(self.now, self.expected) >= LEAST and abs(self.change) >= relative and self.p <= _P

    @property
    def distinct(self) -> float:
        """How far it stands out of its own scatter; of slices that hold the same change the narrower does more."""
        return self.excess**2 / (max(self.expected, 1.0) * self.factor)

    def shows(self, change: float) -> bool:
        """Whether this part shares a wider slice's change, or is too small to tell."""
        deviation = math.sqrt(max(self.expected, 1.0) * self.factor)
        if abs(change) * self.expected < 3 * deviation:
            return True
        return self.change * math.copysign(1, change) >= 0.25 * abs(change)

    def is_alike(self, other: Moved) -> bool:
        """Whether both grew, or both fell."""
        return (self.excess > 0) == (other.excess > 0)


def moved_places(tables: Sequence[Cells], days: Days) -> tuple[list[Moved], int]:
    """All apps and environments, and how many have no weekday to be compared with."""
    found: list[Moved] = []
    unknown = 0
    for units in _GROUPINGS:
        for values, counts in _daily(tables, units, days).items():
            if is_blank(units, values):
                continue
            if (moved := Moved.of(segment_of(units, values), counts, days)) is None:
                unknown += 1
            else:
                found.append(moved)
    return found, unknown


def _daily(tables: Sequence[Cells], units: Sequence[str], days: Days) -> dict[tuple[tuple[str, ...], ...], Floats]:
    """Traces by day of each slice: of the days before the window, then of the window's."""
    found: dict[tuple[tuple[str, ...], ...], Floats] = {}
    for cells in tables:
        if not len(cells):
            continue
        index, names = cells.group(units)
        kept = (cells.day >= -days.history) & (cells.day < days.window)
        places = index[kept] * days.all + cells.day[kept] + days.history
        sums = np.bincount(places, weights=cells.sums["n"][kept], minlength=len(names) * days.all)
        for values, counts in zip(names, sums.reshape(len(names), days.all), strict=True):
            found.setdefault(values, np.zeros(days.all))[:] += counts
    return found


def told_once(slices: Sequence[Moved], but: Collection[str] = ()) -> list[Moved]:
    """The widest slices of which every part moved; what lies inside one of them is told with it.

    Args:
        but: apps ('' is all of them) that are not told: they are parts of others only.
    """
    kept: list[Moved] = []
    able = [slice_ for slice_ in slices if slice_.segment.get("trace_name", "") not in but]
    for slice_ in sorted(able, key=lambda s: (len(s.segment), s.p, sorted(s.segment.items()))):
        inside = [part for part in slices if slice_.segment.items() < part.segment.items()]
        told = any(wide.segment.items() <= slice_.segment.items() for wide in kept)
        if slice_.has_moved and not told and all(part.shows(slice_.change) for part in inside):
            kept.append(slice_)
    return kept


def moved_alone(places: Sequence[Moved], carried: Mapping[str, Cells], days: Days) -> tuple[list[Moved], set[str], int]:
    """Values of what traces carry, and spans of hours, whose traffic moved while that of the others did not.

    Args:
        places: apps and environments, by the same rows.

    Returns:
        The slices; the apps ('' is all of them) whose change is theirs; and how many slices were compared.
    """
    by_app = {one.segment.get("trace_name", ""): one for one in places if "environment" not in one.segment}
    if "" not in by_app:
        return [], set(), 0
    project = max(by_app[""].now, by_app[""].expected)
    found: list[tuple[str, Moved]] = []
    explained: dict[int, set[str]] = {}
    looked = 0
    for key, cells in carried.items():
        share = _SHARES.get(key, _SHARE)
        least = {app: share * min(project, _OF_APP * max(place.now, place.expected)) for app, place in by_app.items()}
        balance = _balance(cells, key, days)
        for value, by_place in _by_value(cells, key, days):
            large = {
                app: Moved.of({key: value}, counts, days)
                for app, counts in by_place.items() if _most(counts, days) >= max(LEAST, least.get(app, math.inf))
            }  # fmt: skip
            looked += len(large)
            alone = {
                app: one for app, one in large.items()
                if one is not None and abs(one.excess) >= least[app] and _is_alone(one, by_app[app], days)
                and balance.get(app, {}).get(one.excess < 0, 0.0) < _IN_SUM * abs(one.excess)
            }  # fmt: skip
            whole = alone.pop("", None)
            if whole is not None and all(_shows(counts, whole, days) for app, counts in by_place.items() if app):
                alone = {"": whole}
            for app, one in alone.items():
                named = replace(one, segment={**one.segment, **({"trace_name": app} if app else {})})
                explained[len(found)] = {
                    name for name, counts in by_place.items()
                    if name in by_app and app in ("", name) and _explains(one, counts, by_app[name], days)
                }  # fmt: skip
                found.append((key, named))
    kept = _of_one_key(found)[:_MOST]
    return [found[at][1] for at in kept], set().union(*(explained[at] for at in kept)), looked


def _most(counts: Floats, days: Days) -> float:
    """Traces of the window, or on as many average days before it if these are more."""
    before = float(counts[: days.history].mean()) * days.window if days.history else 0.0
    return max(before, float(counts[days.history :].sum()))


def _by_value(cells: Cells, key: str, days: Days) -> Iterator[tuple[str, dict[str, Floats]]]:
    """Traces by day of each value: of all apps as '', and of each app that has a name. Of hours, of spans of them."""
    found: dict[str, dict[str, Floats]] = {}
    for units in ((key,), (key, "trace_name")):
        for values, counts in _daily([cells], units, days).items():
            if not is_blank(units, values):
                found.setdefault(values[0][0], {})[values[1][0] if values[1:] else ""] = counts
    if key != HOUR:
        yield from found.items()
        return
    hours = [found.get(f"{hour:02d}", {}) for hour in range(24)]
    for length, start in product(_SPANS, range(24)):
        span: dict[str, Floats] = {}
        for by_place in (hours[(start + ahead) % 24] for ahead in range(length)):
            for app, counts in by_place.items():
                span[app] = span.get(app, 0.0) + counts
        yield f"{start:02d}:00-{(start + length) % 24:02d}:00", span


def _balance(cells: Cells, key: str, days: Days) -> dict[str, dict[bool, float]]:
    """By app ('' is all): how many traces more than before the values have that clearly grew (True), and how many fewer
    those that clearly fell (False)."""
    found: dict[str, dict[bool, float]] = {}
    for units in ((key,), (key, "trace_name")):
        for values, counts in _daily([cells], units, days).items():
            now, before = float(counts[days.history :].sum()), _usual(counts, days)
            if abs(now - before) > 3 * math.sqrt(now + before):
                sums = found.setdefault(values[1][0] if values[1:] else "", {})
                sums[now > before] = sums.get(now > before, 0.0) + abs(now - before)
    return found


def _usual(counts: Floats, days: Days) -> float:
    """Traces of as many days as the window has, by the days just before it."""
    before = counts[max(0, days.history - days.least) : days.history]
    return float(before.mean()) * days.window if len(before) else 0.0


def _is_alone(moved: Moved, place: Moved, days: Days) -> bool:
    """Whether the change is there in its place as a whole, and clearly not in the rest of it."""
    if not moved.stands_out or abs(place.excess) < _IN_SUM * abs(moved.excess):
        return False
    return _explains(moved, moved.counts, place, days)


def _explains(moved: Moved, counts: Floats, place: Moved, days: Days) -> bool:
    """Whether a place that moved as a slice did has clearly not moved without what it has of the slice."""
    known = min(len(moved.counts), len(counts), len(place.counts))
    left = np.maximum(place.counts[-known:] - counts[-known:], 0.0)
    if not moved.is_alike(place) or not left[-days.window :].any():
        return False
    before = known - days.window
    rest = Moved.of({}, left, Days(before, days.window, before))
    return rest is not None and not (rest.has_moved and rest.is_alike(moved)) and not rest.shows(moved.change)


def _shows(counts: Floats, whole: Moved, days: Days) -> bool:
    part = Moved.of({}, counts, days)
    return part is None or part.shows(whole.change)


def _of_one_key(found: Sequence[tuple[str, Moved]]) -> list[int]:
    """Of the keys whose values moved alike in one place, the one whose value stands out most; of hours, one span."""
    kept: list[int] = []
    for at in sorted(range(len(found)), key=lambda at: (-found[at][1].distinct, sorted(found[at][1].segment.items()))):
        key, moved = found[at]
        app = moved.segment.get("trace_name", "")
        rivals = [
            found[other] for other in kept
            if found[other][1].is_alike(moved) and (not app or found[other][1].segment.get("trace_name", app) == app)
        ]  # fmt: skip
        if all(other == key != HOUR for other, _ in rivals):
            kept.append(at)
    return kept
