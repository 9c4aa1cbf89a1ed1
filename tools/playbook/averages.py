"""Averages of the whole project that moved because the mix of its traffic did.

Nothing got worse or better anywhere, and yet the number on the dashboard moved: the critic measures it and says how
many points are the mix and how many happened within the kinds of traffic.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from hansei.contracts import Comparison, Segment
from hansei.tools.playbook.cells import Cells, segment_of
from hansei.tools.playbook.expectation import summed
from hansei.tools.playbook.mix import decompose
from hansei.tools.playbook.model import Candidate, Metric

STEPS = ("trace_name", "environment", "step")
RUNS = ("trace_name", "environment")
"""Units that make a kind of traffic."""

_MOSTLY = 0.5
"""At most this share of the change is within the kinds of traffic, or it is for the screen of slices to find."""


def moved_by_mix(
    detector: str,
    metric: Metric,
    cells: Cells,
    x: str,
    y: str,
    kinds: Sequence[str],
    known: Sequence[Candidate],
    *,
    per: str = "",
) -> list[Candidate]:
    """The averages as candidates, those under suspicion.

    Args:
        x, y: names of the sums whose ratio is looked at.
        kinds: units that make a kind of traffic.
        known: candidates that are there already.
        per: a unit each value of which has an average of its own, such as a score's name.
    """
    found = []
    told = [candidate.segment for candidate in known if candidate.metric == metric.name]
    for segment, rows in _parts(cells, per):
        if segment in told:
            continue
        parts = decompose(_strata(cells.where(rows), x, y, kinds))
        amounts = cells.sums[x] * rows
        if parts is None or min(amounts[cells.in_window].sum(), amounts[~cells.in_window].sum()) < metric.min_n:
            continue
        least = max(metric.min_effect, metric.min_relative * abs(parts.reference))
        if parts.total == 0 or abs(parts.total) < least or parts.within_share >= _MOSTLY:
            continue
        found.append(
            Candidate(
                detector=detector, metric=metric.name,
                direction="regression" if (parts.total > 0) == (metric.worse > 0) else "improvement",
                segment=segment, comparison=Comparison(against="baseline", segment=segment), suspicion="mix_shift",
            )
        )  # fmt: skip
    return found


def _parts(cells: Cells, per: str) -> Iterator[tuple[Segment, NDArray[np.bool_]]]:
    if not per:
        yield {}, np.ones(len(cells), dtype=bool)
        return
    for code, value in enumerate(cells.values[per]):
        yield segment_of((per,), (value,)), cells.codes[per] == code


def _strata(cells: Cells, x: str, y: str, kinds: Sequence[str]) -> list[dict[str, object]]:
    """The kinds of traffic with their sums on both sides, as `decompose` takes them."""
    group, names = cells.group(kinds)

    def sum_of(name: str, rows: NDArray[np.bool_]) -> NDArray[np.float64]:
        return summed(group, cells.sums[name] * rows, len(names))

    sums = [sum_of(name, rows) for rows in (cells.in_window, ~cells.in_window) for name in (x, y)]
    return [
        {
            "stratum": [part for value in name for part in value],
            "x": sums[0][i], "y": sums[1][i], "reference_x": sums[2][i], "reference_y": sums[3][i],
        }
        for i, name in enumerate(names)
    ]  # fmt: skip
