"""Charts that set the window beside its reference: before and after, the spread of a latency, kinds of traffic."""

from __future__ import annotations

import math

from hansei.contracts import Finding
from hansei.tools.report import formats
from hansei.tools.report.canvas import SMALL, STRONG, canvas, padded, tick_label, ticks
from hansei.tools.report.catalogue import catalogue
from hansei.tools.report.labels import label, reference_label
from hansei.tools.report.spread import Spread, Stratum, spreads, strata
from hansei.tools.report.svg import COLOURS, Texts, to_svg

_HALF = 480.0
"""Width of charts that stand side by side."""


def interval_chart(finding: Finding, title: str, language: str, ident: str) -> str:
    """Before and after, each as a dot with its 95 % interval, as an ``svg`` element."""
    words, texts = catalogue(language), Texts()
    rows = [("window", label("period", "window", language), finding.current)]
    if finding.baseline is not None:
        rows.insert(0, ("baseline", words.text(f"reference.{finding.comparison.against}"), finding.baseline))
    margins = {"left": 120.0, "right": 60.0, "top": 8.0, "bottom": 24.0}
    figure, axes = canvas(margins["top"] + margins["bottom"] + 44 * len(rows), margins)
    bounds = [bound for _, _, one in rows for bound in (one.low, one.value, one.high) if math.isfinite(bound)]
    low, high = padded(bounds, finding.unit, head=0.08)
    axes.set_xlim(low, high)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    for value in ticks(low, high, finding.unit):
        axes.axvline(value, color=COLOURS["grid"], linewidth=0.75, zorder=1)
        axes.text(
            value, -0.06, texts(tick_label(value, finding.unit, language)), color=COLOURS["muted"], fontsize=SMALL,
            ha="center", va="top", transform=axes.get_xaxis_transform(),
        )  # fmt: skip
    for place, (role, name, estimate) in enumerate(rows):
        colour = COLOURS[role]
        axes.plot([estimate.low, estimate.high], [place] * 2, color=colour, linewidth=6, alpha=0.35, zorder=2)
        axes.plot([estimate.value], [place], color=colour, marker="o", markersize=9, markeredgewidth=0, zorder=3)
        axes.text(
            -0.02, place, texts(name), color=COLOURS["ink"], fontsize=STRONG, ha="right", va="center",
            transform=axes.get_yaxis_transform(),
        )  # fmt: skip
        axes.text(
            estimate.value, place - 0.2, texts(formats.format_estimate(estimate, finding.unit, language)), color=colour,
            fontsize=STRONG, weight="bold", ha="left" if estimate.value < (low + high) / 2 else "right", va="bottom",
        )  # fmt: skip
    return to_svg(
        figure,
        texts,
        ident=ident,
        title=title,
        description=" ".join(levels_in_words(finding, language)),
    )


def levels_in_words(finding: Finding, language: str) -> list[str]:
    words = catalogue(language)
    current = formats.format_estimate(finding.current, finding.unit, language)
    sentences = [words.text("chart.level", name=label("period", "window", language), value=current)]
    if finding.baseline is not None:
        reference = formats.format_estimate(finding.baseline, finding.unit, language)
        name = reference_label(finding, language)
        sentences.append(words.text("chart.level", name=name, value=reference))
    return sentences


def second_charts(finding: Finding, language: str, ident: str) -> list[tuple[str, str]]:
    """Further charts that the evidence allows, each with its title: the spread, and the kinds of traffic."""
    charts = []
    words = catalogue(language)
    if found := spreads(finding):
        title = words.text("chart.spread", metric=_quantity(finding, language))
        charts.append((title, _spread_chart(finding, found, title, language, f"{ident}-spread")))
    if kinds := strata(finding, words.text("segment.blank")):
        title = words.text("chart.strata", metric=label("metric", finding.metric, language))
        if finding.unit == "s":
            slow = formats.format_value(finding.parameters.get("slow_ms", math.nan) / 1000, "s", language)
            title = words.text("chart.strata_slow", slow=slow)
        charts.append((title, _strata_chart(finding, kinds, title, language, f"{ident}-strata")))
    return charts


def _quantity(finding: Finding, language: str) -> str:
    return label("kind", finding.kind, language)


def _spread_chart(finding: Finding, found: list[Spread], title: str, language: str, ident: str) -> str:
    """Per period a bar over the middle half of the calls, a line to the 5th and 95th, and the median."""
    words, texts = catalogue(language), Texts()
    margins = {"left": 92.0, "right": 24.0, "top": 8.0, "bottom": 24.0}
    figure, axes = canvas(margins["top"] + margins["bottom"] + 42 * len(found), margins, _HALF)
    high = max(one.p95 for one in found) * 1.04 or 1.0
    axes.set_xlim(0, high)
    axes.set_ylim(len(found) - 0.5, -0.5)
    for value in ticks(0, high, "s"):
        axes.axvline(value, color=COLOURS["grid"], linewidth=0.75, zorder=1)
        axes.text(
            value, -0.05, texts(tick_label(value, "s", language)), color=COLOURS["muted"], fontsize=SMALL, ha="center",
            va="top", transform=axes.get_xaxis_transform(),
        )  # fmt: skip
    sentences = []
    for place, one in enumerate(found):
        role = "window" if one.period == "window" else "baseline"
        name = words.text("reference.rest_of_window") if one.period == "rest" else words.text(f"period.{one.period}")
        colour = COLOURS[role]
        axes.plot([one.p5, one.p95], [place] * 2, color=colour, linewidth=2, zorder=2)
        axes.plot([one.p25, one.p75], [place] * 2, color=colour, linewidth=13, alpha=0.35, zorder=2)
        axes.plot([one.p50], [place], color=colour, marker="o", markersize=8, markeredgewidth=0, zorder=3)
        axes.text(
            -0.02, place, texts(name), color=COLOURS["ink"], fontsize=STRONG, ha="right", va="center",
            transform=axes.get_yaxis_transform(),
        )  # fmt: skip
        shown = formats.format_value(one.p50, "s", language)
        axes.text(
            one.p50, place - 0.22, texts(shown), color=colour, fontsize=STRONG, weight="bold", ha="center", va="bottom"
        )
        axes.text(
            one.p95, place - 0.14, texts(f"p95 {formats.format_value(one.p95, 's', language)}"), color=colour,
            fontsize=SMALL, ha="right" if one.p95 > 0.8 * high else "center", va="bottom",
        )  # fmt: skip
        sentences.append(
            words.text(
                "chart.spread_of", name=name, p25=formats.format_value(one.p25, "s", language),
                p50=shown, p75=formats.format_value(one.p75, "s", language),
                p95=formats.format_value(one.p95, "s", language),
            )
        )  # fmt: skip
    return to_svg(figure, texts, ident=ident, title=title, description=" ".join(sentences))


def _strata_chart(finding: Finding, kinds: list[Stratum], title: str, language: str, ident: str) -> str:
    """Per kind of traffic the window's value over the reference's, each with its interval where that is known."""
    words, texts = catalogue(language), Texts()
    unit = "ratio" if finding.unit == "s" else finding.unit
    margins = {"left": 150.0, "right": 54.0, "top": 8.0, "bottom": 24.0}
    figure, axes = canvas(margins["top"] + margins["bottom"] + 40 * len(kinds), margins, _HALF)
    sides = [side for kind in kinds for side in (kind.window, kind.reference) if side is not None]
    low, high = padded([bound for side in sides for bound in (side.low, side.high)], unit, head=0.12)
    axes.set_xlim(low, high)
    axes.set_ylim(len(kinds) - 0.5, -0.5)
    for value in ticks(low, high, unit):
        axes.axvline(value, color=COLOURS["grid"], linewidth=0.75, zorder=1)
        axes.text(
            value, -0.05, texts(tick_label(value, unit, language)), color=COLOURS["muted"], fontsize=SMALL, ha="center",
            va="top", transform=axes.get_xaxis_transform(),
        )  # fmt: skip
    sentences = []
    for place, kind in enumerate(kinds):
        axes.text(
            -0.02, place, texts(kind.short), color=COLOURS["ink"], fontsize=STRONG, ha="right", va="center",
            transform=axes.get_yaxis_transform(),
        )  # fmt: skip
        shown = {}
        for role, side, up in (("baseline", kind.reference, 0.16), ("window", kind.window, -0.16)):
            if side is None:
                shown[role] = words.text("number.none")
                continue
            colour = COLOURS[role]
            axes.plot([side.low, side.high], [place + up] * 2, color=colour, linewidth=5, alpha=0.35, zorder=2)
            axes.plot([side.value], [place + up], color=colour, marker="o", markersize=7, markeredgewidth=0, zorder=3)
            shown[role] = formats.format_value(side.value, unit, language)
        if kind.window is not None:
            axes.text(
                1.012, place, texts(shown["window"]), color=COLOURS["window"], fontsize=STRONG, weight="bold",
                va="center", transform=axes.get_yaxis_transform(),
            )  # fmt: skip
        sentences.append(
            words.text("chart.stratum", name=kind.name, window=shown["window"], baseline=shown["baseline"])
        )
    return to_svg(figure, texts, ident=ident, title=title, description=" ".join(sentences))
