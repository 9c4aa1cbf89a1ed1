"""The health of the project, ready to be shown: its vital signs, and the totals of both periods."""

from __future__ import annotations

from dataclasses import dataclass

from hansei.contracts import Report, Sign
from hansei.tools.report import formats
from hansei.tools.report.catalogue import Catalogue, catalogue
from hansei.tools.report.text import excerpt, one_line


@dataclass(frozen=True)
class SignRow:
    """A vital sign.

    `state` is worse, better, changed or same (whether the intervals lie apart, and what it means), or unknown.
    """

    sign: Sign
    label: str
    window: str
    interval: str
    baseline: str
    baseline_interval: str
    change: str
    state: str
    state_label: str
    judged: str
    """Of a score that evaluators gave: that they did, and how far they can be believed; else empty."""

    @property
    def name(self) -> str:
        """The label, and by whom it was given where that must not be missed."""
        return f"{self.label} ({self.judged})" if self.judged else self.label


@dataclass(frozen=True)
class HealthRow:
    label: str
    window: str
    baseline: str
    change: str


def sign_rows(report: Report) -> list[SignRow]:
    """The vital signs; empty when they were not measured."""
    return [_sign_row(sign, catalogue(report.language)) for sign in (report.health.signs if report.health else [])]


def _sign_row(sign: Sign, words: Catalogue) -> SignRow:
    language = words.language
    none = words.text("number.none")
    unit: formats.Shown = "count" if sign.unit in formats.COUNTED else sign.unit
    values = formats.format_pair(
        sign.window.value if sign.window else None, sign.baseline.value if sign.baseline else None, unit, language
    )
    intervals = [
        formats.format_interval(side.low, side.high, unit, language) if side else ""
        for side in (sign.window, sign.baseline)
    ]
    state = _state(sign)
    return SignRow(
        sign=sign,
        label=words.text(f"sign.{sign.name}", subject=excerpt(one_line(sign.subject), 60)),
        window=values[0] if sign.window else none,
        interval=intervals[0],
        baseline=values[1] if sign.baseline else none,
        baseline_interval=intervals[1],
        change=_change(sign, language) or none,
        state=state,
        state_label=words.text(f"sign.{state}"),
        judged=judged(sign, words),
    )


def judged(sign: Sign, words: Catalogue) -> str:
    """Of a score that evaluators gave: that they did, and how far they can be believed; else empty."""
    if not sign.of_evaluators:
        return ""
    language, held = words.language, sign.believed
    told = words.text("evaluation.uncalibrated")
    if held is not None and held.tpr is not None and held.tnr is not None:
        told = words.text(
            "evaluation.calibrated", tpr=formats.format_estimate(held.tpr, "ratio", language),
            tnr=formats.format_estimate(held.tnr, "ratio", language),
            labels=formats.format_count(held.labels, language),
        )  # fmt: skip
    elif held is not None and held.correlation is not None:
        told = words.text(
            "sign.correlation", correlation=formats.format_estimate(held.correlation, "score", language),
            labels=formats.format_count(held.labels, language),
        )  # fmt: skip
    share = formats.format_value(sign.of_evaluators, "ratio", language)
    return words.text("sign.of_evaluators", share=share, believed=told)


def _state(sign: Sign) -> str:
    if sign.window is None or sign.baseline is None:
        return "unknown"
    if sign.window.low <= sign.baseline.high and sign.baseline.low <= sign.window.high:
        return "same"
    if not sign.worse:
        return "changed"
    return "worse" if (sign.window.value - sign.baseline.value) * sign.worse > 0 else "better"


def _change(sign: Sign, language: str) -> str:
    if sign.window is None or sign.baseline is None:
        return ""
    if sign.unit == "ratio":
        return formats.format_change(sign.window.value - sign.baseline.value, "ratio", language)
    return formats.format_relative(sign.baseline.value, sign.window.value, language) if sign.baseline.value else ""


def totals(report: Report) -> list[HealthRow]:
    """What the periods hold in all."""
    words = catalogue(report.language)
    language, coverage = report.language, report.coverage
    days = report.window.days, report.baseline.days

    def row(key: str, window: float, baseline: float, *, money: bool = False) -> HealthRow:
        shown = [
            formats.format_value(value, "usd" if money else "count", language) if has else words.text("number.none")
            for value, has in ((window, True), (baseline, coverage.traces.baseline > 0))
        ]
        change = formats.format_relative(baseline / days[1], window / days[0], language) if baseline else ""
        return HealthRow(words.text(key), shown[0], shown[1], change or words.text("number.none"))

    def share(key: str, parts: tuple[float, float], wholes: tuple[float, float], *, money: bool = False) -> HealthRow:
        values = [part / whole if whole else None for part, whole in zip(parts, wholes, strict=True)]
        shown = formats.format_pair(values[0], values[1], "usd" if money else "ratio", language)
        change = formats.format_relative(values[1], values[0], language) if values[0] is not None and values[1] else ""
        none = words.text("number.none")
        texts = [text if value is not None else none for text, value in zip(shown, values, strict=True)]
        return HealthRow(words.text(key), texts[0], texts[1], change or none)

    traces, observations = coverage.traces, coverage.observations
    cost, errors = coverage.total_cost, coverage.errors
    return [
        row("health.traces", traces.window, traces.baseline),
        row("health.observations", observations.window, observations.baseline),
        row("health.errors", errors.window, errors.baseline),
        share("health.error_share", (errors.window, errors.baseline), (observations.window, observations.baseline)),
        row("health.cost", cost.window, cost.baseline, money=True),
        share(
            "health.cost_per_trace", (cost.window, cost.baseline), (traces.window, traces.baseline), money=True
        ),
        row("health.scores", coverage.scores.window, coverage.scores.baseline),
    ]  # fmt: skip


def totals_note(report: Report) -> str | None:
    """What to bear in mind when totals are compared."""
    words = catalogue(report.language)
    if not report.coverage.traces.baseline:
        return words.text("health.no_baseline")
    if report.window.length != report.baseline.length:
        return words.text("health.per_day")
    return None
