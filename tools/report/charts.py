"""Charts of a finding as inline SVG: its metric day by day, or, where there is no such series, before and after.

Everything that is drawn stands in the report: daily values from the evidence, levels and intervals from the finding.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from hansei.contracts import Estimate, Finding, Unit, Window
from hansei.tools.report import formats
from hansei.tools.report.catalogue import catalogue
from hansei.tools.report.labels import label, reference_label
from hansei.tools.report.series import DAY, Day, daily_series
from hansei.tools.report.svg import COLOURS, Texts, to_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 600.0
_HEIGHT = 210.0
_MARGINS = {"left": 58.0, "right": 66.0, "top": 24.0, "bottom": 24.0}
_SMALL, _STRONG = 11, 12
_LABEL_GAP = 14.0
_MOST_DATES = 6
_SECONDS_STEPS = (30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 28_800, 86_400)


def finding_chart(finding: Finding, window: Window, baseline: Window, language: str = "en", ident: str = "c") -> str:
    """An ``svg`` element (no XML declaration, no scripts, styles or links), below 25 kB.

    Args:
        window: the report's window.
        baseline: the report's baseline.
        ident: prefix of the ids in it, unique in the page.
    """
    days = daily_series(finding, window)
    if days:
        return _SeriesChart(finding, days, window, baseline, language).draw(ident)
    return _interval_chart(finding, window, language, ident)


def chart_title(finding: Finding, window: Window, language: str = "en") -> str:
    """What the finding's chart shows: ``error rate, day by day``."""
    key = "chart.daily" if daily_series(finding, window) else "chart.interval"
    return catalogue(language).text(key, metric=label("metric", finding.metric, language))


def _canvas(height: float, margins: dict[str, float]) -> tuple[Figure, Axes]:
    """A figure of WIDTH × height pixels and its axes, without frame or ticks. (Not pyplot: that keeps global state.)"""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH / 72, height / 72), dpi=72, frameon=False)
    axes = figure.add_axes(
        (
            margins["left"] / WIDTH,
            margins["bottom"] / height,
            (WIDTH - margins["left"] - margins["right"]) / WIDTH,
            (height - margins["top"] - margins["bottom"]) / height,
        ),
        frameon=False,
        xticks=[],
        yticks=[],
    )
    return figure, axes


class _SeriesChart:
    """Daily dots over shaded periods, the periods' levels with their intervals, and the onset."""

    def __init__(self, finding: Finding, days: list[Day], window: Window, baseline: Window, language: str) -> None:
        self.finding, self.days, self.language = finding, days, language
        self.window, self.baseline = window, baseline
        self.against_rest = finding.comparison.against == "rest_of_window"
        self.words, self.texts = catalogue(language), Texts()
        self.start = window.start if self.against_rest else min(baseline.start, days[0].start)
        self.end = window.end
        self.figure, self.axes = _canvas(_HEIGHT, _MARGINS)
        self.low, self.high = self._range()

    def draw(self, ident: str) -> str:
        self.axes.set_xlim(0, self._x(self.end))
        self.axes.set_ylim(self.low, self.high)
        self._periods()
        self._value_axis()
        self._dates()
        self._levels()
        self._lines()
        self._onset()
        return to_svg(
            self.figure,
            self.texts,
            ident=ident,
            title=chart_title(self.finding, self.window, self.language),
            description=self._description(),
        )

    def _x(self, moment: datetime) -> float:
        """Days since the chart's start."""
        return (moment - self.start) / DAY

    def _range(self) -> tuple[float, float]:
        estimates = [one for one in (self.finding.current, self.finding.baseline) if one is not None]
        values = [day.value for day in self.days] + [bound for one in estimates for bound in (one.low, one.high)]
        return _padded([value for value in values if math.isfinite(value)], self.finding.unit, head=0.2)

    def _text(self, x: float, y: float, text: str, role: str, *, size: int = _SMALL, **more: object) -> None:
        self.axes.text(x, y, self.texts(text), color=COLOURS[role], fontsize=size, clip_on=False, **more)  # type: ignore[arg-type]

    def _periods(self) -> None:
        spans = {"baseline": self.baseline, "window": self.window}
        for role, span in spans.items():
            if self.against_rest and role == "baseline":
                continue
            left = 0.0 if role == "baseline" else max(0.0, self._x(span.start))
            right = self._x(span.end)
            self.axes.axvspan(left, right, facecolor=COLOURS[role], alpha=0.08, linewidth=0)
            name = label("period", role, self.language)
            self._text(left, 1.04, name, role, transform=self.axes.get_xaxis_transform(), va="baseline")
        if self.against_rest:
            name = self.words.text("reference.rest_of_window")
            self._text(
                self._x(self.end), 1.04, name, "baseline", transform=self.axes.get_xaxis_transform(), ha="right",
                va="baseline",
            )  # fmt: skip

    def _value_axis(self) -> None:
        for value in _ticks(self.low, self.high, self.finding.unit):
            self.axes.axhline(value, color=COLOURS["grid"], linewidth=0.75, zorder=1)
            text = _tick_label(value, self.finding.unit, self.language)
            self._text(-0.01, value, text, "muted", transform=self.axes.get_yaxis_transform(), ha="right", va="center")

    def _dates(self) -> None:
        first = min(day.start for day in self.days)
        while first - DAY >= self.start:
            first -= DAY
        bins = max(1, math.ceil((self.end - first) / DAY))
        step = math.ceil(bins / _MOST_DATES)
        for index in range(0, bins, step):
            start = first + timedelta(days=index)
            self._text(
                self._x(start + DAY / 2), -0.04, formats.format_day(start, self.language), "muted",
                transform=self.axes.get_xaxis_transform(), ha="center", va="top",
            )  # fmt: skip

    def _levels(self) -> None:
        """The value of each period as a line with its interval, written at the right edge."""
        left, middle, right = 0.0, self._x(self.window.start), self._x(self.end)
        current_from = max(middle, 0.0)
        levels = [("window", self.finding.current, current_from)]
        if self.finding.baseline is not None:
            levels.append(("baseline", self.finding.baseline, left))
            until = right if self.against_rest else middle
            self._level("baseline", self.finding.baseline, left, until)
            if not self.against_rest:
                value, dotted = self.finding.baseline.value, (0, (2, 3))
                self.axes.plot([middle, right], [value] * 2, color=COLOURS["baseline"], linewidth=1, linestyle=dotted)
        self._level("window", self.finding.current, current_from, right)
        self._level_labels(levels)

    def _level(self, role: str, estimate: Estimate, left: float, right: float) -> None:
        self.axes.fill_between(
            [left, right], estimate.low, estimate.high, facecolor=COLOURS[role], alpha=0.2, linewidth=0, zorder=2
        )
        self.axes.plot([left, right], [estimate.value] * 2, color=COLOURS[role], linewidth=1.5, zorder=3)

    def _level_labels(self, levels: Sequence[tuple[str, Estimate, float]]) -> None:
        pixels = (_HEIGHT - _MARGINS["top"] - _MARGINS["bottom"]) / (self.high - self.low)
        gap = _LABEL_GAP / pixels
        places = {role: estimate.value for role, estimate, _ in levels}
        if len(places) == 2 and abs(places["window"] - places["baseline"]) < gap:
            middle = sum(places.values()) / 2
            up = 1 if places["window"] >= places["baseline"] else -1
            places = {"window": middle + up * gap / 2, "baseline": middle - up * gap / 2}
        shown = self._level_texts()
        for role, place in places.items():
            self._text(
                1.012, place, shown[role], role, size=_STRONG, weight="bold", va="center",
                transform=self.axes.get_yaxis_transform(),
            )  # fmt: skip

    def _level_texts(self) -> dict[str, str]:
        reference = self.finding.baseline
        unit: formats.Shown = "count" if self.finding.unit in formats.COUNTED else self.finding.unit
        window, baseline = formats.format_pair(
            self.finding.current.value, reference.value if reference else None, unit, self.language
        )
        return {"window": window, "baseline": baseline}

    def _lines(self) -> None:
        for period in ("baseline", "rest", "window"):
            points = [day for day in self.days if day.period == period]
            role = "window" if period == "window" else "baseline"
            for run in _runs(points):
                self.axes.plot(
                    [self._x(day.start + DAY / 2) for day in run], [day.value for day in run],
                    color=COLOURS[role], linewidth=1.25, marker="o", markersize=4.5, markeredgewidth=0,
                    zorder=4,
                )  # fmt: skip

    def _onset(self) -> None:
        onset = self.finding.onset
        if onset is None or not self.start <= onset < self.end:
            return
        x = self._x(onset)
        self.axes.axvline(x, color=COLOURS["onset"], linewidth=1.5, linestyle=(0, (4, 3)), zorder=3)
        left = x < 0.72 * self._x(self.end)
        text = self.words.text("chart.since", day=formats.format_day(onset, self.language))
        self._text(
            x + (0.008 if left else -0.008) * self._x(self.end), 0.97, text, "onset", size=_STRONG, weight="bold",
            ha="left" if left else "right", va="top", transform=self.axes.get_xaxis_transform(),
        )  # fmt: skip

    def _description(self) -> str:
        finding, unit, language = self.finding, self.finding.unit, self.language
        sentences = _levels_in_words(finding, language)
        inside = [day for day in self.days if day.period == "window"]
        lowest, highest = (pick(inside, key=lambda day: day.value) for pick in (min, max))
        sentences.append(
            self.words.text(
                "chart.extremes",
                low=formats.format_value(lowest.value, unit, language),
                low_day=formats.format_day(lowest.start, language),
                high=formats.format_value(highest.value, unit, language),
                high_day=formats.format_day(highest.start, language),
            )
        )
        if finding.onset is not None:
            sentences.append(self.words.text("chart.onset", date=formats.format_date(finding.onset, language)))
        return " ".join(sentences)


def _interval_chart(finding: Finding, window: Window, language: str, ident: str) -> str:
    """Before and after, each as a dot with its 95 % interval."""
    words, texts = catalogue(language), Texts()
    rows = [("window", label("period", "window", language), finding.current)]
    if finding.baseline is not None:
        rows.insert(0, ("baseline", words.text(f"reference.{finding.comparison.against}"), finding.baseline))
    margins = {"left": 120.0, "right": 60.0, "top": 8.0, "bottom": 24.0}
    figure, axes = _canvas(margins["top"] + margins["bottom"] + 44 * len(rows), margins)
    bounds = [bound for _, _, one in rows for bound in (one.low, one.value, one.high) if math.isfinite(bound)]
    low, high = _padded(bounds, finding.unit, head=0.08)
    axes.set_xlim(low, high)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    for value in _ticks(low, high, finding.unit):
        axes.axvline(value, color=COLOURS["grid"], linewidth=0.75, zorder=1)
        axes.text(
            value, -0.06, texts(_tick_label(value, finding.unit, language)), color=COLOURS["muted"], fontsize=_SMALL,
            ha="center", va="top", transform=axes.get_xaxis_transform(),
        )  # fmt: skip
    for place, (role, name, estimate) in enumerate(rows):
        colour = COLOURS[role]
        axes.plot([estimate.low, estimate.high], [place] * 2, color=colour, linewidth=6, alpha=0.35, zorder=2)
        axes.plot([estimate.value], [place], color=colour, marker="o", markersize=9, markeredgewidth=0, zorder=3)
        axes.text(
            -0.02, place, texts(name), color=COLOURS["ink"], fontsize=_STRONG, ha="right", va="center",
            transform=axes.get_yaxis_transform(),
        )  # fmt: skip
        axes.text(
            estimate.value, place - 0.2, texts(formats.format_estimate(estimate, finding.unit, language)), color=colour,
            fontsize=_STRONG, weight="bold", ha="left" if estimate.value < (low + high) / 2 else "right", va="bottom",
        )  # fmt: skip
    return to_svg(
        figure,
        texts,
        ident=ident,
        title=chart_title(finding, window, language),
        description=" ".join(_levels_in_words(finding, language)),
    )


def _levels_in_words(finding: Finding, language: str) -> list[str]:
    words = catalogue(language)
    current = formats.format_estimate(finding.current, finding.unit, language)
    sentences = [words.text("chart.level", name=label("period", "window", language), value=current)]
    if finding.baseline is not None:
        reference = formats.format_estimate(finding.baseline, finding.unit, language)
        name = reference_label(finding, language)
        sentences.append(words.text("chart.level", name=name, value=reference))
    return sentences


def _runs(days: list[Day]) -> list[list[Day]]:
    """Consecutive days; a line must not bridge days that have no value."""
    runs: list[list[Day]] = []
    for day in days:
        if runs and day.start - runs[-1][-1].start <= DAY:
            runs[-1].append(day)
        else:
            runs.append([day])
    return runs


def _padded(values: Sequence[float], unit: Unit, head: float) -> tuple[float, float]:
    """The axis: from zero, except for scores far from it, with some room above."""
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    if unit == "score" and (low < 0 or low > 0.5 * high):
        pad = (high - low) * 0.25 or abs(high) * 0.1 or 1.0
        return low - pad, high + pad
    low = min(low, 0.0)
    return low, high + (high - low) * head if high > low else low + 1.0


def _ticks(low: float, high: float, unit: Unit) -> list[float]:
    from matplotlib.ticker import MaxNLocator

    if unit == "s" and high - low > 120:
        step = next((step for step in _SECONDS_STEPS if (high - low) / step <= 5), None)
        if step is not None:
            return [float(value) for value in range(math.ceil(low / step) * step, math.floor(high) + 1, step)]
    values = MaxNLocator(nbins=4, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    return [0.0 if abs(value) < 1e-12 else float(f"{value:.10g}") for value in values if low <= value <= high]


def _tick_label(value: float, unit: Unit, language: str) -> str:
    if unit in formats.COUNTED:
        return formats.format_count(value, language)
    if unit == "s" and value == 0:
        return "0"
    return formats.format_value(value, unit, language)
