"""A finding's main chart as inline SVG: its metric day by day, or, where there is no such series, before and after.

Everything that is drawn stands in the report: daily values from the evidence, levels and intervals from the finding.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta

from hansei.contracts import Estimate, Finding, Window
from hansei.tools.report import formats
from hansei.tools.report.canvas import SMALL, STRONG, canvas, padded, tick_label, ticks
from hansei.tools.report.catalogue import catalogue
from hansei.tools.report.comparisons import interval_chart, levels_in_words
from hansei.tools.report.labels import label
from hansei.tools.report.marks import Mark
from hansei.tools.report.series import DAY, Day, daily_series
from hansei.tools.report.svg import COLOURS, Texts, to_svg

_HEIGHT = 220.0
_MARGINS = {"left": 58.0, "right": 66.0, "top": 24.0, "bottom": 24.0}
_LABEL_GAP = 14.0
_MOST_DATES = 6


def finding_chart(
    finding: Finding, window: Window, baseline: Window, language: str = "en", ident: str = "c",
    marks: Sequence[Mark] = (),
) -> str:  # fmt: skip
    """An ``svg`` element (no XML declaration, no scripts, styles or links), below 25 kB.

    Args:
        window: the report's window.
        baseline: the report's baseline.
        ident: prefix of the ids in it, unique in the page.
        marks: what was new at times that the chart shows.
    """
    days = daily_series(finding, window)
    if days:
        return _SeriesChart(finding, days, window, baseline, language, marks).draw(ident)
    return interval_chart(finding, chart_title(finding, window, language), language, ident)


def chart_title(finding: Finding, window: Window, language: str = "en") -> str:
    """What the finding's chart shows: ``error rate, day by day``."""
    key = "chart.daily" if daily_series(finding, window) else "chart.interval"
    return catalogue(language).text(key, metric=label("metric", finding.metric, language))


class _SeriesChart:
    """Daily dots over shaded periods, the periods' levels with their intervals, and the onset."""

    def __init__(
        self, finding: Finding, days: list[Day], window: Window, baseline: Window, language: str, marks: Sequence[Mark]
    ) -> None:
        self.finding, self.days, self.language, self.marks = finding, days, language, marks
        self.window, self.baseline = window, baseline
        self.against_rest = finding.comparison.against == "rest_of_window"
        self.words, self.texts = catalogue(language), Texts()
        self.start = window.start if self.against_rest else min(baseline.start, days[0].start)
        self.end = window.end
        self.figure, self.axes = canvas(_HEIGHT, _MARGINS)
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
        self._marks()
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
        return padded(
            [value for value in values if math.isfinite(value)], self.finding.unit, head=0.22 + 0.1 * len(self.marks)
        )

    def _text(self, x: float, y: float, text: str, role: str, *, size: int = SMALL, **more: object) -> None:
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
        for value in ticks(self.low, self.high, self.finding.unit):
            self.axes.axhline(value, color=COLOURS["grid"], linewidth=0.75, zorder=1)
            text = tick_label(value, self.finding.unit, self.language)
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
                1.012, place, shown[role], role, size=STRONG, weight="bold", va="center",
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
            x + (0.008 if left else -0.008) * self._x(self.end), 0.97, text, "onset", size=STRONG, weight="bold",
            ha="left" if left else "right", va="top", transform=self.axes.get_xaxis_transform(),
        )  # fmt: skip

    def _marks(self) -> None:
        """What was new: a dotted line at its first moment, its name beside it, below the onset's."""
        shown = [mark for mark in self.marks if self.start <= mark.moment < self.end]
        for row, mark in enumerate(shown):
            x, width = self._x(mark.moment), self._x(self.end)
            self.axes.axvline(x, color=COLOURS["muted"], linewidth=1, linestyle=(0, (1, 2)), zorder=2)
            left = x < 0.75 * width
            self._text(
                x + (0.008 if left else -0.008) * width, 0.86 - 0.09 * row, mark.label, "muted",
                ha="left" if left else "right", va="top", transform=self.axes.get_xaxis_transform(),
            )  # fmt: skip

    def _description(self) -> str:
        finding, unit, language = self.finding, self.finding.unit, self.language
        sentences = levels_in_words(finding, language)
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
            began = formats.format_onset(finding.onset, finding.onset_hour, language)
            sentences.append(self.words.text("chart.onset", date=began))
        sentences += [
            self.words.text("chart.mark", what=mark.label, date=formats.format_date(mark.moment, language))
            for mark in self.marks
        ]
        return " ".join(sentences)


def _runs(days: list[Day]) -> list[list[Day]]:
    """Consecutive days; a line must not bridge days that have no value."""
    runs: list[list[Day]] = []
    for day in days:
        if runs and day.start - runs[-1][-1].start <= DAY:
            runs[-1].append(day)
        else:
            runs.append([day])
    return runs
