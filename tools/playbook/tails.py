"""Tails: how many rows are slow by the standard of their own step, so that a tail can grow unseen by the average."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from hansei.tools.playbook.cells import Cells
from hansei.tools.playbook.groupings import Units


def with_tail(cells: Cells, contexts: Units, timed: str, over: str, bounds: Sequence[int]) -> Cells:
    """Adds the sum `slow`: rows above the first bound that at most 5 % of the same step's baseline exceeded.

    Args:
        contexts: the last one says what a step's own baseline is.
        timed: name of the sum that counts the timed rows.
        over: beginning of the names of the sums that count the rows above a bound (``over_1000``).
        bounds: ascending, in milliseconds.
    """
    group, names = cells.group(contexts[-1])
    base = ~cells.in_window
    n = np.bincount(group[base], weights=cells.sums[timed][base], minlength=len(names))
    slow = np.zeros(len(cells))
    chosen = np.zeros(len(names), dtype=bool)
    for bound in bounds:
        above = cells.sums[f"{over}_{bound}"]
        fits = ~chosen & (n > 0) & (np.bincount(group[base], weights=above[base], minlength=len(names)) <= 0.05 * n)
        slow = np.where(fits[group], above, slow)
        chosen |= fits
    return replace(cells, sums={**cells.sums, "slow": slow})
