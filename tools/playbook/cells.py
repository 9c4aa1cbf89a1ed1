"""Cells: sums over the finest combinations of the low-cardinality dimensions, by day of 24 hours.

All screening happens on cells, in memory: any slice of any dimensions is a sum of cells, so looking at thousands of
slices costs no further query.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hansei.contracts import Segment

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

JOINED: dict[str, tuple[str, ...]] = {"step": ("type", "name"), "prompt": ("prompt_name", "prompt_version")}
"""Units of slicing that are made of two columns: neither makes sense without the other."""

CHANGING = frozenset({"prompt", "model", "release", "version"})
"""Units whose values come and go with deployments: a new value is compared with what was there before it."""

PRIORITY = ("score", "prompt", "step", "model", "trace_name", "release", "version", "environment")
"""When two slices are the same rows, the one named first here is the better name for them."""


@dataclass(frozen=True)
class Cells:
    """Columns of equal length: codes per unit of slicing, the day (negative: baseline), and sums.

    Args:
        codes: unit → index into `values[unit]`, per cell.
        values: unit → its values; a joined unit's value is a tuple.
        day: day relative to the window's start, per cell.
        sums: name → sum, per cell.
    """

    codes: Mapping[str, Ints]
    values: Mapping[str, list[tuple[str, ...]]]
    day: Ints
    sums: Mapping[str, Floats]

    @classmethod
    def read(cls, columns: Mapping[str, Sequence[Any]], dimensions: Sequence[str]) -> Cells:
        """Makes cells from a query's columns: the named dimensions, `day`, and any number of sums."""
        units: dict[str, tuple[str, ...]] = {
            unit: parts for unit, parts in JOINED.items() if set(parts) <= set(dimensions)
        }
        joined = {part for parts in units.values() for part in parts}
        units |= {dimension: (dimension,) for dimension in dimensions if dimension not in joined}
        codes: dict[str, Ints] = {}
        values: dict[str, list[tuple[str, ...]]] = {}
        for unit, parts in units.items():
            rows = list(zip(*(columns[part] for part in parts), strict=True))
            index = {row: at for at, row in enumerate(dict.fromkeys(rows))}
            codes[unit] = np.fromiter(map(index.__getitem__, rows), np.int64, len(rows))
            values[unit] = list(index)
        sums = {
            name: np.asarray(column, dtype=np.float64)
            for name, column in columns.items()
            if name not in dimensions and name != "day"
        }
        return cls(codes, values, np.asarray(columns["day"], dtype=np.int64), sums)

    def __len__(self) -> int:
        return len(self.day)

    @cached_property
    def in_window(self) -> NDArray[np.bool_]:
        return self.day >= 0

    @property
    def has_baseline(self) -> bool:
        return bool((~self.in_window).any())

    def where(self, keep: NDArray[np.bool_]) -> Cells:
        """The cells for which `keep` is true."""
        return Cells(
            {unit: codes[keep] for unit, codes in self.codes.items()},
            self.values,
            self.day[keep],
            {name: column[keep] for name, column in self.sums.items()},
        )

    def inside(self, units: Sequence[str], values: Sequence[tuple[str, ...]]) -> NDArray[np.bool_]:
        """The cells of a slice."""
        mask = np.ones(len(self), dtype=bool)
        for unit, value in zip(units, values, strict=True):
            mask &= self.codes[unit] == self.values[unit].index(value)
        return mask

    def group(self, units: Sequence[str]) -> tuple[Ints, list[tuple[tuple[str, ...], ...]]]:
        """Index of each cell's group under `units`, and the groups' values.

        Returns:
            (codes of shape (cells,), one tuple of unit values per group).
        """
        found = self._grouped.get(tuple(units))
        if found is None:
            found = self._grouped[tuple(units)] = self._group(units)
        return found

    @cached_property
    def _grouped(self) -> dict[tuple[str, ...], tuple[Ints, list[tuple[tuple[str, ...], ...]]]]:
        """Answers of `group`: the same slices are looked at again for every cause."""
        return {}

    def _group(self, units: Sequence[str]) -> tuple[Ints, list[tuple[tuple[str, ...], ...]]]:
        index = np.zeros(len(self), dtype=np.int64)
        names: list[tuple[tuple[str, ...], ...]] = [()]
        for unit in units:
            values = self.values[unit]
            index, pairs = dense(index * len(values) + self.codes[unit], len(names) * len(values))
            names = [(*names[pair // len(values)], values[pair % len(values)]) for pair in pairs.tolist()]
        return index, names

    def row_sets(self, x: Floats, least: float, groupings: Sequence[Sequence[str]]) -> int:
        """How many different sets of rows the slices of some groupings are.

        A step that one app alone has, with and without the app's name, is one set of rows, so it is tested once.

        Args:
            x: rows of each cell.
            least: fewest rows of a slice.
        """
        marks = np.random.default_rng(1).integers(1, 2**63, len(self), dtype=np.uint64) * (x > 0)
        found: set[int] = set()
        for units in groupings:
            group, names = self.group(units)
            rows = np.bincount(group, weights=x, minlength=len(names))
            mark = np.zeros(len(names), dtype=np.uint64)
            np.add.at(mark, group, marks)
            told = rows >= least
            for unit in units:
                told[group[self._blank[unit][self.codes[unit]]]] = False
            found.update(mark[told].tolist())
        return len(found)

    @cached_property
    def _blank(self) -> dict[str, NDArray[np.bool_]]:
        """Which of a unit's values say nothing."""
        return {
            unit: np.asarray([is_blank((unit,), (value,)) for value in values], dtype=np.bool_)
            for unit, values in self.values.items()
        }

    def text(self, unit: str, part: int = 0) -> NDArray[np.str_]:
        """One part of a unit's value as text, per cell."""
        return np.asarray([value[part] for value in self.values[unit]], dtype=np.str_)[self.codes[unit]]


def dense(keys: Ints, size: int) -> tuple[Ints, Ints]:
    """Numbers below `size` as indices without gaps, in their order, and the numbers that there are, ascending."""
    if size > 8 * len(keys) + 1024:
        groups, index = np.unique(keys, return_inverse=True)
        return index.reshape(-1).astype(np.int64), groups
    there = np.zeros(size, dtype=bool)
    there[keys] = True
    return (np.cumsum(there) - 1)[keys], np.flatnonzero(there)


def segment_of(units: Sequence[str], values: Sequence[tuple[str, ...]]) -> Segment:
    """The published names of a slice: a step is a tool when its type says so, otherwise an observation."""
    segment: Segment = {}
    for unit, value in zip(units, values, strict=True):
        if unit == "step":
            segment["tool_name" if value[0] == "TOOL" else "observation_name"] = value[1]
        elif unit == "prompt":
            segment["prompt_name"], segment["prompt_version"] = value
        elif unit == "score":
            segment["score_name"] = value[0]
        else:
            segment[unit] = value[0]
    return segment


def is_blank(units: Sequence[str], values: Sequence[tuple[str, ...]]) -> bool:
    """Whether a slice is only “has no model” or the like: nothing that a person could act on."""
    return any(
        all(part == "" for part in (value[1:] if unit == "step" else value))
        for unit, value in zip(units, values, strict=True)
    )
