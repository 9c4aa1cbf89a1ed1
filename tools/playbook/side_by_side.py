"""Versions that run side by side: two versions of a prompt, two models of a step, two releases of an app.

They are held against each other inside the window, on the days on which both had traffic, whatever the baseline was.
What also changed against the baseline is told by that finding, with this one folded into it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from hansei.contracts import Comparison, Direction, Segment
from hansei.tools.playbook.cells import Cells
from hansei.tools.playbook.expectation import Question, expect, summed
from hansei.tools.playbook.model import Candidate, Metric
from hansei.tools.playbook.screen import Hit, causes

_CONTEXTS = (("score", "trace_name", "environment", "step"), ("score", "trace_name", "step"), ("score", "step"))
_PLACES: dict[str, tuple[str, ...]] = {
    "prompt": ("score",),
    "model": ("score", "step"),
    "release": ("score", "trace_name"),
}
"""Unit that runs side by side → what its slices also name. Scores have no steps, and steps no scores."""

_DIFFERS = {"prompt": "prompt_version", "model": "model", "release": "release"}

_SHARE = 0.1
"""On a day on which a version has less of the traffic than this, it does not run beside the others."""

_DAYS = 0.5
"""They must run side by side on this share of the window's days."""

_CLEAR = 4.5
"""Standard errors from which a version is measured against the others."""

ALL = ("prompt", "model", "release")
DEPLOYED = ("prompt", "release")
"""For time, tokens and money: models differ in these by their nature."""


def beside(
    detector: str, metric: Metric, cells: Cells, question: Question, units: tuple[str, ...] = ALL
) -> tuple[list[Candidate], int]:
    """Candidates for versions that do worse than the others beside them, and how many slices were compared."""
    found: list[Candidate] = []
    slices = 0
    window = cells.where(cells.in_window & (cells.sums[question.x] > 0))
    for unit in (one for one in units if one in cells.codes and len(window)):
        place = tuple(one for one in _PLACES[unit] if one in cells.codes)
        part = window.where(_days_side_by_side(window, unit, place, question.x))
        if not len(part):
            continue
        contexts = [tuple(one for one in context if one in cells.codes) for context in _CONTEXTS]
        asked = replace(question, contexts=contexts, groupings=[(unit, *place)], limit=2)
        hits, looked = causes(part, asked, expect(part, part, asked, scatter=False))
        slices += looked
        found += [_candidate(detector, metric, unit, hit) for hit in hits if hit.z >= _CLEAR]
    return found, slices


def _days_side_by_side(window: Cells, unit: str, place: tuple[str, ...], x: str) -> NDArray[np.bool_]:
    """Cells of the places and days on which two or more versions each had a good part of the traffic."""
    where, names = _places(window, unit, place)
    days = int(window.day.max()) + 1
    at = where * days + window.day
    whole = summed(at, window.sums[x], len(names) * days)
    versions, index = np.unique(np.stack([at, window.codes[unit]], axis=1), axis=0, return_inverse=True)
    mine = summed(index.reshape(-1).astype(np.int64), window.sums[x], len(versions))
    blank = np.asarray([not any(value) for value in window.values[unit]])[versions[:, 1]]
    large = (mine >= _SHARE * whole[versions[:, 0]]) & (mine > 0) & ~blank
    both = (np.bincount(versions[:, 0], weights=large, minlength=len(names) * days) >= 2).reshape(len(names), days)
    often = both.sum(axis=1) >= max(2.0, _DAYS * days)
    return np.asarray((both & often[:, None]).reshape(-1)[at], dtype=bool)


def _places(window: Cells, unit: str, place: tuple[str, ...]) -> tuple[NDArray[np.int64], list[object]]:
    """Where versions take each other's place: a prompt's name is part of its version's value."""
    index, names = window.group(place)
    if unit != "prompt":
        return index, list(names)
    prompts = np.unique(window.text("prompt"), return_inverse=True)[1].reshape(-1)
    pairs, both = np.unique(np.stack([index, prompts], axis=1), axis=0, return_inverse=True)
    return both.reshape(-1).astype(np.int64), list(pairs)


def _candidate(detector: str, metric: Metric, unit: str, hit: Hit) -> Candidate:
    others: Segment = {key: value for key, value in hit.segment.items() if key != _DIFFERS[unit]}
    direction: Direction = "hotspot"
    return Candidate(
        detector=detector, metric=metric.name, direction=direction, segment=hit.segment,
        comparison=Comparison(against="rest_of_window", segment=others), strength=round(hit.z, 2),
        apps=list(hit.apps),
    )  # fmt: skip
