"""Which users, sessions, tags, values of metadata or hours of the day a problem is confined to.

A value is told when its steps do worse than the same steps of the same apps at the other values do in the same window,
so what hits all alike is never told by one of them. Against the baseline it must also do worse than it did itself, by
more than the others moved. The narrower finding then stands as the cause of the wider one, by the critic's own check.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hansei.contracts import Comparison, Direction, Segment
from hansei.tools.playbook.attributes import FEWEST_EVENTS, HOUR, Cohorts
from hansei.tools.playbook.cells import Cells, Floats, is_blank
from hansei.tools.playbook.expectation import Expectation, Question, expect
from hansei.tools.playbook.hours import hours_compared, hours_in_excess
from hansei.tools.playbook.model import Candidate, Metric
from hansei.tools.playbook.multiplicity import deviations_to_stand
from hansei.tools.playbook.screen import Hit, causes

Mask = Callable[[Cells], NDArray[np.bool_]]
"""Which of the cells are meant."""

MOST = 3
"""Places that are told of one metric, in each direction."""

_NEARLY_ALL = 0.8
"""A value that this share of its place's rows carry has no others to be held against."""

_SINGLE = ("user_id", "session_id")

_LIKE_OTHERS = 50.0
"""Rows' worth of belief that a value is as the others are, against what was seen of it before."""

_CLEAR = 4.5
"""Standard errors that make a candidate here: so many slices are looked at that less would not stand afterwards. Where
few are, fewer do (`deviations_to_stand`)."""


def confined(
    detector: str,
    metric: Metric,
    cohorts: Cohorts,
    worse: Question,
    always: Question | None = None,
    better: Question | None = None,
    better_metric: Metric | None = None,
    always_in: Mask | None = None,
) -> tuple[list[Candidate], int]:
    """Candidates confined to something that traces carry, and how many slices were compared.

    Args:
        worse: what is looked for against the baseline; its contexts and groupings are set here.
        always: the same for what is bad all the time, against the rest of the window; None: not looked for.
        better: the same for what got better against the baseline, of the same sums; None: not looked for.
        better_metric: the metric of that, if it is another one.
        always_in: which cells may be bad all the time; None: all.
    """
    found: list[tuple[Metric, str, Cells, list[Hit], Direction]] = []
    slices = 0
    for key, cells in cohorts.cells.items():
        if (worse.yy is not None and key in _SINGLE) or (key == HOUR and worse.x in ("costed", "counted")):
            # An average over a single user's calls is made by its few largest; and prices and prompts have no hours.
            continue
        cells = cells.where(cells.sums[worse.x] > 0)
        for name, part in [(None, cells)] if cohorts.whole else _one_by_one(cells, worse):
            for direction, hits, looked in _hits(key, part, metric, worse, always, better, always_in):
                slices += looked
                # Of a part of the rows, few events may be many.
                few = worse.yy is None and worse.sign > 0 and direction != "improvement" and not cohorts.note
                named = [_at(hit, _what(cells), name) for hit in hits if not few or hit.events >= FEWEST_EVENTS]
                of = metric if direction != "improvement" else better_metric or metric
                found.append((of, key, cells, named, direction))
    clear = min(_CLEAR, deviations_to_stand(slices))
    candidates = [
        candidate
        for of, key, cells, hits, direction in found
        for candidate in _candidates(
            detector, of, key, cells, [hit for hit in hits if hit.z >= clear], worse.x, direction
        )
    ]
    return list(_strongest(candidates)), slices


def _hits(
    key: str,
    cells: Cells,
    metric: Metric,
    worse: Question,
    always: Question | None,
    better: Question | None,
    always_in: Mask | None,
) -> Iterator[tuple[Direction, list[Hit], int]]:
    """What is in excess in each direction, and how many slices were compared."""
    window, baseline = cells.where(cells.in_window), cells.where(~cells.in_window)
    if not len(window):
        return
    told: list[Hit] = []
    if len(baseline):
        sides = _Sides.of(key, window, baseline, worse)
        told, looked = _look(key, window, replace(worse, limit=MOST), _moved(window, worse, sides))
        yield "regression", told, looked
        if better is not None:
            # The test of an amount is two-sided, so its slices count once.
            hits, looked = _look(key, window, replace(better, limit=MOST), _moved(window, better, sides))
            yield "improvement", hits, 0 if better.yy is not None else looked
            told = [*told, *hits]
    if always is not None and not (key == HOUR and worse.yy is not None):
        keep = np.ones(len(window), dtype=bool)
        for hit in told:
            keep &= ~hit.cells
        rest = window.where(keep if always_in is None else keep & always_in(window))
        # What a call costs or takes differs from app to app: amounts are held against others of the same app only.
        contexts = _alike(cells) if always.yy is None else _alike(cells)[:-1]
        asked = replace(always, contexts=contexts, limit=MOST, min_x=min(always.min_x, metric.min_n))
        if len(rest):
            yield "hotspot", *_look(key, rest, asked, expect(rest, rest, asked, scatter=False, others=_others(key)))


def _one_by_one(cells: Cells, question: Question) -> Iterator[tuple[tuple[str, ...], Cells]]:
    """The cells of each step, or app, by itself: where others were not read, nothing can be told without its name."""
    events, what = cells.sums[question.y], _what(cells)
    now = cells.in_window
    for at, name in enumerate(cells.values[what]):
        mine = cells.codes[what] == at
        if max(events[mine & now].sum(), events[mine & ~now].sum()) >= FEWEST_EVENTS and not is_blank((what,), (name,)):
            yield name, cells.where(mine)


def _at(hit: Hit, what: str, name: tuple[str, ...] | None) -> Hit:
    if name is None or what in hit.units:
        return hit
    return replace(hit, units=(*hit.units, what), values=(*hit.values, name))


def _alike(cells: Cells) -> tuple[tuple[str, ...], ...]:
    """What is like a step, a score or a whole trace, whatever the trace carries."""
    what = _what(cells)
    if what == "trace_name":
        return (("trace_name", "environment"), ("trace_name",))
    return (("trace_name", "environment", what), ("trace_name", what), (what,))


def _what(cells: Cells) -> str:
    """The unit that must be the same: scores of another name are something else, and so are traces of another app."""
    return next(unit for unit in ("score", "step", "trace_name") if unit in cells.codes)


def _groupings(key: str, cells: Cells) -> tuple[tuple[str, ...], ...]:
    if _what(cells) == "trace_name":
        return ((key,),)
    if _what(cells) == "step":
        return ((key,), (key, "step"), (key, "trace_name"), (key, "step", "trace_name"))
    prompts = (("score", key, "prompt"),) if "prompt" in cells.codes else ()
    return (("score", key), ("score", key, "trace_name"), *prompts)


def _look(key: str, window: Cells, question: Question, expected: Expectation) -> tuple[list[Hit], int]:
    """The causes among a key's slices, and how many slices could have been one."""
    able = window.where(_able(window, question, expected))
    if key == HOUR:
        return hours_in_excess(window, question, expected), hours_compared(able, question)
    groupings = _groupings(key, window)
    hits, _ = causes(window, replace(question, groupings=groupings), expected)
    return hits, able.row_sets(able.sums[question.x], question.min_x, groupings)


def _able(cells: Cells, question: Question, expected: Expectation) -> NDArray[np.bool_]:
    """Cells of steps that can give a finding at all: of shares, those in which it happened often enough, or should
    have."""
    if question.yy is not None:
        return np.ones(len(cells), dtype=bool)
    group, names = cells.group((_what(cells),))
    happened = cells.sums[question.y] if question.sign > 0 else np.maximum(cells.sums[question.y], expected.y)
    return np.bincount(group, weights=happened, minlength=len(names))[group] >= FEWEST_EVENTS


@dataclass(frozen=True)
class _Sides:
    """What each cell was in the baseline, and what the other values of its key are now and were before."""

    own: Expectation
    now: Expectation
    before: Expectation
    rows: Floats
    """That the baseline has of each cell's step, app and value."""

    @classmethod
    def of(cls, key: str, window: Cells, baseline: Cells, question: Question) -> _Sides:
        contexts, others = _alike(window), _others(key)
        alike = replace(question, contexts=contexts)
        own = replace(question, contexts=tuple((*units, key) for units in contexts) + contexts)
        return cls(
            expect(window, baseline, own),
            expect(window, window, alike, scatter=False, others=others),
            expect(window, baseline, alike, others=others),
            _known_rows(window, baseline, question, key),
        )


def _moved(window: Cells, question: Question, sides: _Sides) -> Expectation:
    """What each cell was in the baseline, moved as far as the other values moved since, if that was the same way."""
    own, now, before = sides.own, sides.now, sides.before
    shift = np.maximum(question.sign * (now.y - before.y), 0.0) * question.sign
    y, variance = own.y + shift, np.maximum(own.variance, now.variance)
    if question.yy is None:
        y = np.clip(y, 0.0, window.sums[question.x])
    if question.yy is None and question.sign > 0:
        # That nothing was seen of it before may be chance, the more so the fewer rows there were.
        y = np.maximum(y, now.y * _LIKE_OTHERS / (_LIKE_OTHERS + sides.rows))
        variance = np.maximum(own.variance, now.variance * np.minimum(1.0, y / np.maximum(now.y, 1e-12)))
    # How far the others moved is an estimate as well, and a rough one where they are few.
    rate_variance = own.rate_variance + (shift != 0) * (now.rate_variance + before.rate_variance)
    return Expectation(y, variance, own.context, rate_variance, own.known & now.known)


def _known_rows(window: Cells, baseline: Cells, question: Question, key: str) -> Floats:
    """How many rows the baseline has of each cell's step, app and value."""
    units = (*_alike(window)[1], key)
    both = {unit: np.concatenate([window.codes[unit], baseline.codes[unit]]) for unit in units}
    days = np.concatenate([window.day, baseline.day])
    group, names = Cells(both, window.values, days, {}).group(units)
    rows = np.bincount(group[len(window) :], weights=baseline.sums[question.x], minlength=len(names))
    return np.asarray(rows[group[: len(window)]], dtype=np.float64)


def _others(key: str) -> str:
    """The unit whose other values a value is held against. Hours are put together to spans, whose hours are alike."""
    return "" if key == HOUR else key


def _candidates(
    detector: str, metric: Metric, key: str, cells: Cells, hits: list[Hit], x: str, direction: Direction
) -> Iterator[Candidate]:
    for hit in hits:
        place: Segment = {name: value for name, value in hit.segment.items() if name != key}
        inside = _rows_of(cells, hit, skip=None)
        around = _rows_of(cells, hit, skip=key)
        amounts = cells.sums[x]
        if amounts[inside & cells.in_window].sum() > _NEARLY_ALL * amounts[around & cells.in_window].sum():
            continue
        segment = {**hit.segment}
        reference = Comparison(against="rest_of_window", segment=place)
        if direction != "hotspot":
            before = float(amounts[inside & ~cells.in_window].sum())
            # What the baseline hardly knows is compared with its whole place there, a new version with the former ones.
            known = segment if before >= metric.min_n else place
            if before < metric.min_n and "prompt_version" in segment:
                known = {name: value for name, value in segment.items() if name != "prompt_version"}
            reference = Comparison(against="baseline", segment=known)
        yield Candidate(
            detector=detector, metric=metric.name, direction=direction, segment=segment, comparison=reference,
            strength=round(hit.z, 2), apps=list(hit.apps),
        )  # fmt: skip


def _rows_of(cells: Cells, hit: Hit, *, skip: str | None) -> NDArray[np.bool_]:
    """The cells of a slice in both periods; `skip` leaves one unit open."""
    named = {unit: value for unit, value in zip(hit.units, hit.values, strict=True) if unit != skip}
    span = named.pop(HOUR, None)
    mask = cells.inside(list(named), list(named.values()))
    if span is not None:
        start, end = int(span[0][:2]), int(span[0][6:8])
        hours = np.asarray([int(text[0]) for text in cells.values[HOUR]])[cells.codes[HOUR]]
        mask &= (hours - start) % 24 < ((end - start) % 24 or 24)
    return mask


def _strongest(found: list[Candidate]) -> Iterator[Candidate]:
    """The strongest of each direction, so few that the critic can hold them against each other."""
    for direction in ("regression", "improvement", "hotspot"):
        mine = [candidate for candidate in found if candidate.direction == direction]
        yield from sorted(mine, key=lambda one: (-one.strength, sorted(one.segment.items())))[:MOST]
