"""The answer to a comparison: two values of a dimension side by side, and whether they differ beyond chance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hansei.contracts import Evidence, Report
from hansei.contracts.answers import Table
from hansei.contracts.asks import Compare, Named
from hansei.tools.conversation import figures
from hansei.tools.conversation.looking import slices_of
from hansei.tools.conversation.wording import capital, dimension_word, measured_word, sides
from hansei.tools.playbook import telling
from hansei.tools.report.catalogue import catalogue, say
from hansei.tools.report.formats import format_count, format_estimate, format_p


def compared(ask: Compare, report: Report, evidence: Sequence[Evidence]) -> dict[str, Any]:
    both = [figures.slice_of(name, m, segment, report, evidence) for name, m, segment in slices_of(ask)]
    unit, metric = both[0].metric.unit, both[0].metric
    both_now = all(side.days.current.x > 0 for side in both)
    sums = [side.days.current if both_now else side.days.current + side.days.before for side in both]
    rows = [
        [
            value,
            format_estimate(side.baseline, unit) if side.baseline else _past(side),
            format_estimate(side.window, unit) if side.window else catalogue().text("number.not_measured"),
            format_count(side.days.before.x),
            format_count(side.days.current.x),
        ]
        for value, side in zip((ask.first, ask.second), both, strict=True)
    ]
    segment = slices_of(ask)[1][2]
    columns = [dimension_word(ask.dimension), *sides(metric, segment)]
    place = telling.where(ask.segment)
    names = {"first": telling.where({ask.dimension: ask.first}), "second": telling.where({ask.dimension: ask.second})}
    word = measured_word(ask.metric, segment)
    if any(total.x <= 0 for total in sums):
        missing = [name for name, total in zip(names.values(), sums, strict=True) if total.x <= 0]
        text = say("ask.compare_missing", names=say("check.and").join(missing), place=place)
    elif metric.shape in ("quantile", "count"):
        text = say("ask.compare_table", metric=word, place=place, **names)
    else:
        values = [figures.estimate(metric, total) for total in sums]
        shown = [format_estimate(value, unit) for value in values]
        p = figures.differs(metric, sums[1], sums[0], both[0].days.window + both[0].days.reference)
        verdict = "ask.too_few" if p is None else "ask.beyond_chance" if p < figures.SURE else "ask.by_chance"
        span = say("ask.in_window" if both_now else "ask.in_both")
        text = say("ask.compared", metric=word, place=place, a=shown[0], b=shown[1], span=span, **names)
        text = telling.sentences(text, say(verdict, p=format_p(p)))
    return {
        "text": capital(text), "table": Table(columns=columns, rows=rows),
        "named": Named(
            metric=ask.metric, segment=segment, listed=[dict(part) for _, _, part in slices_of(ask)],
            listed_metric=ask.metric,
        ),
        "follow_ups": [say("ask.next.second"), say("ask.next.by_user")],
    }  # fmt: skip


def _past(side: figures.Slice) -> str:
    """A slice that the window does not hold has no finding; its baseline is told from its sums."""
    if side.metric.shape in ("quantile", "count") or side.days.before.x <= 0:
        return catalogue().text("number.not_measured")
    return format_estimate(figures.estimate(side.metric, side.days.before), side.metric.unit)
