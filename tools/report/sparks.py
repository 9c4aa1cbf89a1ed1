"""Small trends for the health of the project: the days of the baseline and of the window as one line each."""

from __future__ import annotations

from hansei.contracts import DayValue, Sign, Window
from hansei.tools.report import formats
from hansei.tools.report.canvas import canvas
from hansei.tools.report.catalogue import catalogue
from hansei.tools.report.svg import COLOURS, Texts, to_svg

WIDTH, HEIGHT = 132.0, 30.0
_LEAST_SPAN = 0.3
"""Least height of a trend, relative to its largest value."""


def spark(sign: Sign, window: Window, name: str, language: str, ident: str) -> str:
    """An ``svg`` element; empty when there are fewer than two days to show.

    Args:
        sign: with its days.
        window: the report's window.
        name: of the sign, in the language.
        language: code of a catalogue.
        ident: prefix of the ids in it, unique in the page.
    """
    known = [(i, day) for i, day in enumerate(sign.days) if day.value is not None]
    if len(known) < 2:
        return ""
    figure, axes = canvas(HEIGHT, {"left": 3, "right": 3, "top": 3, "bottom": 3}, WIDTH)
    values = [day.value or 0.0 for _, day in known]
    low, high = min(values), max(values)
    if sign.unit != "score" and low < high * 0.6:
        low = 0.0
    # What hardly moves must not look as if it did.
    pad = max(0.08 * (high - low), (_LEAST_SPAN * abs(high) - (high - low)) / 2) or 1.0
    axes.set_ylim(low - pad, high + pad)
    axes.set_xlim(-0.5, len(sign.days) - 0.5)
    split = sum(day.start < window.start for day in sign.days) - 0.5
    axes.axvspan(split, len(sign.days) - 0.5, facecolor=COLOURS["window"], alpha=0.1, linewidth=0)
    for role, part in (
        ("baseline", [item for item in known if item[0] < split]),
        ("window", [item for item in known if item[0] > split]),
    ):
        for run in _runs(part):
            axes.plot(
                [i for i, _ in run], [day.value or 0.0 for _, day in run], color=COLOURS[role], linewidth=1.6,
                marker="o" if len(run) == 1 else "", markersize=3, solid_capstyle="round",
            )  # fmt: skip
    last, day = known[-1]
    axes.plot([last], [day.value or 0.0], color=COLOURS["window"], marker="o", markersize=4, markeredgewidth=0)
    shown = [formats.format_value(value, _unit(sign), language) for value in (min(values), max(values))]
    text = catalogue(language).text("spark.description", low=shown[0], high=shown[1])
    title = catalogue(language).text("chart.daily", metric=name)
    return to_svg(figure, Texts(), ident=ident, title=title, description=text)


def _unit(sign: Sign) -> formats.Shown:
    return "count" if sign.unit in formats.COUNTED else sign.unit


def _runs(days: list[tuple[int, DayValue]]) -> list[list[tuple[int, DayValue]]]:
    """Consecutive days; a line must not bridge days that have no value."""
    runs: list[list[tuple[int, DayValue]]] = []
    for item in days:
        if runs and item[0] - runs[-1][-1][0] == 1:
            runs[-1].append(item)
        else:
            runs.append([item])
    return runs
