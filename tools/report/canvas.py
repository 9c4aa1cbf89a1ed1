"""What the charts share: a bare figure, axes that begin where they should, and ticks that people would choose."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hansei.contracts import Unit
from hansei.tools.report import formats

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 600.0
SMALL, STRONG = 11, 12
_SECONDS_STEPS = (30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 28_800, 86_400)


def canvas(height: float, margins: dict[str, float], width: float = WIDTH) -> tuple[Figure, Axes]:
    """A figure of width × height pixels and its axes, without frame or ticks. (Not pyplot: that keeps global state.)"""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width / 72, height / 72), dpi=72, frameon=False)
    axes = figure.add_axes(
        (
            margins["left"] / width,
            margins["bottom"] / height,
            (width - margins["left"] - margins["right"]) / width,
            (height - margins["top"] - margins["bottom"]) / height,
        ),
        frameon=False,
        xticks=[],
        yticks=[],
    )
    return figure, axes


def padded(values: Sequence[float], unit: Unit, head: float) -> tuple[float, float]:
    """The axis: from zero, except for scores far from it, with some room above."""
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    if unit == "score" and (low < 0 or low > 0.5 * high):
        pad = (high - low) * 0.25 or abs(high) * 0.1 or 1.0
        return low - pad, high + pad
    low = min(low, 0.0)
    return low, high + (high - low) * head if high > low else low + 1.0


def ticks(low: float, high: float, unit: Unit) -> list[float]:
    from matplotlib.ticker import MaxNLocator

    if unit == "s" and high - low > 120:
        step = next((step for step in _SECONDS_STEPS if (high - low) / step <= 5), None)
        if step is not None:
            return [float(value) for value in range(math.ceil(low / step) * step, math.floor(high) + 1, step)]
    values = MaxNLocator(nbins=4, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    return [0.0 if abs(value) < 1e-12 else float(f"{value:.10g}") for value in values if low <= value <= high]


def tick_label(value: float, unit: Unit, language: str) -> str:
    if unit in formats.COUNTED:
        return formats.format_count(value, language)
    if unit == "s" and value == 0:
        return "0"
    return formats.format_value(value, unit, language)
