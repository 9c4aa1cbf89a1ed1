"""What a slice is compared with: itself in the baseline, or what it took the place of."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hansei.contracts import Comparison
from hansei.tools.playbook.cells import CHANGING, Cells, Floats, segment_of
from hansei.tools.playbook.expectation import summed
from hansei.tools.playbook.screen import Hit

_NEARLY_ALL = 0.95
_LEAST = 30.0
"""Rows of the baseline that something is compared with."""
_DROPPED = frozenset({"prompt_version", "model", "release", "version"})


def reference_for(cells: Cells, hit: Hit, x: str) -> Comparison:
    """What a slice is compared with: itself in the baseline, or, when it is new there, what it took the place of.

    Version 7 of a prompt takes the place of the prompt's other versions; a release that of the other releases of the
    apps and steps that it runs.
    """
    if not CHANGING & set(hit.units):
        return Comparison(against="baseline", segment=hit.segment)
    mask = cells.inside(hit.units, hit.values)
    before = float(cells.sums[x][mask & ~cells.in_window].sum())
    now = cells.sums[x] * (mask & cells.in_window)
    if before >= max(_LEAST, 0.3 * float(now.sum())):
        return Comparison(against="baseline", segment=hit.segment)
    kept = {key: value for key, value in hit.segment.items() if key not in _DROPPED}
    named = bool({"prompt", "step"} & set(hit.units))
    place = {unit: value for unit, value in zip(hit.units, hit.values, strict=True) if unit not in CHANGING}
    for unit in _app_of_step(cells, hit, x) if named else ("trace_name", "step"):
        if unit in cells.codes and unit not in hit.units:
            share = summed(cells.codes[unit], now, len(cells.values[unit])) / max(float(now.sum()), 1.0)
            if share.max() >= _NEARLY_ALL:
                place[unit] = cells.values[unit][int(share.argmax())]
                kept |= segment_of((unit,), (place[unit],))
    if not named and "step" in cells.codes and not {"tool_name", "observation_name"} & kept.keys():
        # A model is compared with other models, not with tools.
        types = {cells.values["step"][code][0] for code in np.unique(cells.codes["step"][now > 0])}
        if len(types) == 1:
            kept["observation_type"] = types.pop()
    if "prompt_name" not in kept and (prompt := _prompt_of(cells, place, now, x)):
        kept["prompt_name"] = prompt
    return Comparison(against="baseline", segment=kept)


def _app_of_step(cells: Cells, hit: Hit, x: str) -> tuple[str, ...]:
    """The app, when steps of that name ran in several before: they may be quite different things."""
    if "step" not in hit.units or "prompt" in hit.units or "trace_name" not in cells.codes:
        return ()
    step = cells.values["step"].index(hit.values[hit.units.index("step")])
    before = cells.sums[x] * ((cells.codes["step"] == step) & ~cells.in_window)
    apps = summed(cells.codes["trace_name"], before, len(cells.values["trace_name"]))
    return () if apps.max(initial=0.0) >= _NEARLY_ALL * float(apps.sum()) else ("trace_name",)


def _prompt_of(cells: Cells, place: Mapping[str, tuple[str, ...]], now: Floats, x: str) -> str:
    """The prompt of nearly all calls of a slice, where its place had calls of others as well before; else ''.

    Frameworks name a call after the client that makes it, so steps of one name may do quite different things.

    Args:
        place: unit → value, what the slice is compared with so far.
        now: of each cell, the slice's rows in the window.
    """
    if "prompt" not in cells.codes:
        return ""
    of_cell = np.asarray([value[0] for value in cells.values["prompt"]])[cells.codes["prompt"]]
    called = of_cell[now > 0]
    name = max(sorted({*called}), key=lambda one: float(now[of_cell == one].sum()), default="")
    before = cells.sums[x] * (cells.inside(list(place), list(place.values())) & ~cells.in_window)
    mine = float(before[of_cell == name].sum())
    alone = float(now[of_cell == name].sum()) >= _NEARLY_ALL * float(now.sum())
    return str(name) if alone and _LEAST <= mine < _NEARLY_ALL * float(before.sum()) else ""
