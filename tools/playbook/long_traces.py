"""Long traces: those with more steps than their app hardly ever needs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hansei.tools.playbook.cells import Cells

MANY_STEPS = (25, 50, 75, 100, 200, 500, 1000)
"""Bounds at which long traces are counted."""

LONG = ", ".join(
    f"countIf(steps > {bound}) AS steps_over_{bound},"
    f" sumIf(ifNull(toFloat64(total_cost), 0), steps > {bound}) AS cost_over_{bound}"
    for bound in MANY_STEPS
)
"""SQL of the sums over traces that `with_bound` takes."""

_RARE = 0.003
"""A number of steps that at most this share of the baseline's traces exceed is more than the app needs."""


def with_bound(cells: Cells) -> tuple[Cells, dict[str, int]]:
    """Adds the sums `long` and `long_cost` (traces above their app's bound, and their cost); and each app's bound.

    Args:
        cells: of traces, with `LONG`.
    """
    index, names = cells.group(("trace_name",))
    reference = ~cells.in_window if cells.has_baseline else cells.in_window
    n = np.bincount(index[reference], weights=cells.sums["n"][reference], minlength=len(names))
    long, cost = np.zeros(len(cells)), np.zeros(len(cells))
    chosen = np.zeros(len(names), dtype=bool)
    bounds: dict[str, int] = {}
    for bound in MANY_STEPS:
        over = np.bincount(index[reference], weights=cells.sums[f"steps_over_{bound}"][reference], minlength=len(names))
        # One more may be chance: in a small baseline a single runaway must not become what is usual.
        fits = ~chosen & (n > 0) & (over <= _RARE * n + 1)
        long = np.where(fits[index], cells.sums[f"steps_over_{bound}"], long)
        cost = np.where(fits[index], cells.sums[f"cost_over_{bound}"], cost)
        bounds |= {names[i][0][0]: bound for i in np.flatnonzero(fits)}
        chosen |= fits
    return replace(cells, sums={**cells.sums, "long": long, "long_cost": cost}), bounds
