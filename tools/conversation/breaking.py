"""The answer to a breakdown: a metric by the values of a dimension, and whether it is only one of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial, reduce
from typing import Any

from hansei.contracts import Check, Evidence, Report
from hansei.contracts.answers import Table
from hansei.contracts.asks import Breakdown, Named
from hansei.tools import statistics
from hansei.tools.conversation import figures
from hansei.tools.conversation.figures import Part, parts_again
from hansei.tools.conversation.naming import same_value
from hansei.tools.conversation.splitting import parts_as_segments
from hansei.tools.conversation.wording import capital, dimension_word, measured_word, sides
from hansei.tools.playbook import telling
from hansei.tools.playbook.assess import evidence_for
from hansei.tools.playbook.model import Metric
from hansei.tools.playbook.segments import split_of
from hansei.tools.report.catalogue import catalogue, say
from hansei.tools.report.formats import format_count, format_estimate, format_p, format_value
from hansei.tools.statistics import Sums

RestOf = Callable[[Sequence[Part]], Part]


def broken_down(ask: Breakdown, report: Report, evidence: Sequence[Evidence]) -> dict[str, Any]:
    """The table, and the verdict that it allows."""
    whole = figures.slice_of("all", ask.metric, ask.segment, report, evidence)
    metric, parts = whole.metric, figures.parts_of(evidence)
    how = split_of(ask.dimension, metric)
    overlap = how is not None and how.overlapping
    dimension = dimension_word(ask.dimension)
    values = {
        "metric": measured_word(ask.metric, {**ask.segment, **({ask.dimension: ""} if how and how.own else {})}),
        "place": telling.where(ask.segment), "dimension": dimension,
    }  # fmt: skip
    rest_of = partial(_rest, parts=parts, whole=whole if overlap else None)
    columns = [dimension, *sides(metric, {**ask.segment, ask.dimension: ""})]
    days = (report.window.days, report.baseline.days)
    rows = [[_label(part), _shown(metric, part, 1, days), _shown(metric, part, 0, days), format_count(part.baseline.x),
             format_count(part.window.x)] for part in parts]  # fmt: skip
    if not parts:
        text = say("ask.no_rows", **values)
    elif len(parts) == 1 and ask.value is None and not (overlap and parts[0].window.x < whole.days.current.x):
        text = say("ask.one_value" if parts[0].value else "ask.not_recorded", value=_label(parts[0]), **values)
    elif overlap and ask.value is None and all(part.window.x == whole.days.current.x for part in parts):
        text = say("ask.all_have", values=say("list.join").join(map(_label, parts)), **values)
    elif metric.shape in ("quantile", "count"):
        text = telling.sentences(say("ask.by", **values), _highest(metric, parts, days))
    elif ask.value is not None:
        text = _only(ask, metric, parts, whole, rest_of)
    else:
        text = telling.sentences(
            say("ask.by", **values), _highest(metric, parts, days), _where_it_shows(metric, parts, whole, rest_of)
        )
    if overlap and rows:
        text = telling.sentences(text, say("ask.overlap", dimension=dimension))
        rows.append([say("ask.whole"), format_estimate(whole.baseline, metric.unit),
                     format_estimate(whole.window, metric.unit), format_count(whole.days.before.x),
                     format_count(whole.days.current.x)])  # fmt: skip
    checks = []
    if parts:
        checks = parts_again(ask, metric, parts, evidence) if overlap else [_adds_up(metric, parts, evidence)]
    told_alone = parts_as_segments(metric, ask.segment, ask.dimension)
    named = [part.value for part in parts if part.value and told_alone]
    return {
        "text": capital(text), "table": Table(columns=columns, rows=rows) if rows else None,
        "checks": checks,
        "finding_ids": [ask.finding] if ask.finding else [],
        "named": Named(
            finding=ask.finding, metric=ask.metric, segment=ask.segment,
            listed=[{**ask.segment, ask.dimension: value} for value in named], listed_metric=ask.metric,
        ),
        "follow_ups": [say("ask.next.first"), say("ask.next.examples")] if ask.finding else [say("ask.next.findings")],
    }  # fmt: skip


def _label(part: Part) -> str:
    if part.value is None:
        return say("ask.others")
    return " ".join(part.value.split())[:60] or catalogue().text("segment.blank")


def _highest(metric: Metric, parts: Sequence[Part], days: tuple[float, float]) -> str:
    """Which part has the highest figure in the window, of those that are named and have rows enough to tell."""
    known = [(value, part) for part in parts if part.value and part.window.x >= metric.min_n
             and (value := _figure(metric, part, days)) is not None]  # fmt: skip
    if len(known) < 2:
        return ""
    part = max(known, key=lambda one: one[0])[1]
    return say("ask.highest", name=telling.name(_label(part)), value=_shown(metric, part, 0, days))


def _figure(metric: Metric, part: Part, days: tuple[float, float]) -> float | None:
    if metric.shape == "quantile":
        return part.levels[0]
    if metric.shape == "count":
        return part.window.y / days[0]
    found = figures.estimate(metric, part.window)
    return found.value if found is not None else None


def _shown(metric: Metric, part: Part, side: int, days: tuple[float, float]) -> str:
    if metric.shape == "quantile":
        return format_value(part.levels[side], metric.unit)
    sums = (part.window, part.baseline)[side]
    if metric.shape == "count":
        return format_value(sums.y / days[side], metric.unit)
    return format_estimate(figures.estimate(metric, sums), metric.unit)


def _total(parts: Sequence[Part]) -> Part:
    both = reduce(
        lambda a, b: (a[0] + b[0], a[1] + b[1]), [(p.window, p.baseline) for p in parts], (Sums(), Sums())
    )  # fmt: skip
    return Part(None, *both)


def _rest(mine: Sequence[Part], parts: Sequence[Part], whole: figures.Slice | None) -> Part:
    """All but some parts; of parts that overlap, what is in none of them.

    Args:
        whole: given where parts overlap.
    """
    if whole is None:
        return _total([part for part in parts if part not in mine])
    total = _total(mine)
    return Part(None, _less(whole.days.current, total.window), _less(whole.days.before, total.baseline))


def _less(whole: Sums, part: Sums) -> Sums:
    """What is left without some of the clusters."""
    return Sums(
        whole.clusters - part.clusters, whole.x - part.x, whole.y - part.y, whole.xx - part.xx, whole.xy - part.xy,
        whole.yy - part.yy, whole.affected - part.affected,
    )  # fmt: skip


def _change(metric: Metric, part: Part, rest: Part, by_time: bool) -> float | None:
    """Whether a part moved against its own baseline; without one, whether it differs from the others."""
    return figures.differs(metric, part.window, part.baseline if by_time else rest.window)


def _has_past(metric: Metric, part: Part) -> bool:
    return part.baseline.x >= metric.min_n


def _told(metric: Metric, part: Part, by_time: bool) -> str:
    now = format_estimate(figures.estimate(metric, part.window), metric.unit)
    if not by_time:
        return now
    before = format_estimate(figures.estimate(metric, part.baseline), metric.unit)
    return say("ask.from_to", before=before, now=now)


def _only(ask: Breakdown, metric: Metric, parts: Sequence[Part], whole: figures.Slice, rest_of: RestOf) -> str:
    mine = [part for part in parts if part.value is not None and same_value(part.value, ask.value or "")]
    rest = rest_of(mine)
    name = telling.name(ask.value or "")
    if not mine:
        return say("ask.only_none", value=name)
    part, by_time = _total(mine), whole.days.before.x > 0
    p_mine, p_rest = _change(metric, part, rest, by_time), _change(metric, rest, part, by_time)
    told = {"value": name, "mine": _told(metric, part, by_time), "rest": _told(metric, rest, by_time)}
    if rest.window.x <= 0:
        return say("ask.only_all", **told)
    if p_mine is None or p_rest is None:
        return say("ask.only_few", **told)
    if not by_time:
        return say("ask.only_differs" if p_mine < figures.SURE else "ask.only_alike", **told)
    moved = (p_mine < figures.SURE, p_rest < figures.SURE)
    key = {(True, False): "yes", (True, True): "both", (False, True): "others", (False, False): "neither"}[moved]
    verdict = say(f"ask.only_{key}", **told)
    p = figures.differs(metric, part.window, rest.window) if key == "both" else None
    more = say("ask.only_more", value=name, p=format_p(p)) if p is not None and p < figures.SURE else ""
    return telling.sentences(verdict, more)


def _where_it_shows(metric: Metric, parts: Sequence[Part], whole: figures.Slice, rest_of: RestOf) -> str:
    """Which values moved, or differ from the others, with the bound on false alarms over all of them."""
    by_time = whole.days.before.x > 0
    tested: list[tuple[Part, float]] = []
    for part in parts:
        rest = rest_of([part])
        # What is new has no past of its own, and is held against the others.
        p = _change(metric, part, rest, by_time and _has_past(metric, part)) if part.value is not None else None
        if p is not None:
            tested.append((part, p))
    if not tested:
        return say("ask.too_few", p="")
    adjusted = statistics.benjamini_hochberg([p for _, p in tested], len(tested))
    moved = [_label(part) for (part, _), q in zip(tested, adjusted, strict=True) if q < figures.SURE]
    still = [_label(part) for (part, _), q in zip(tested, adjusted, strict=True) if q >= figures.SURE]
    key = "ask.moved" if by_time else "ask.differ"
    if not moved:
        return say(f"{key}_none", count=len(tested))
    return say(key, names=", ".join(moved), moved=len(moved), count=len(tested)) + (
        say("ask.still", names=", ".join(still)) if still else ""
    )


def _adds_up(metric: Metric, parts: Sequence[Part], evidence: Sequence[Evidence]) -> Check:
    """The parts must add up to the whole, which was asked by another query."""
    measure = evidence_for(evidence, "measure")
    rows = measure.records() if measure else []
    whole = {
        period: (sum(float(r["x"]) for r in rows if r["period"] == period),
                 sum(float(r["y"]) for r in rows if r["period"] == period))
        for period in ("window", "baseline")
    }  # fmt: skip
    total = _total(parts)
    same = True
    for period, sums in (("window", total.window), ("baseline", total.baseline)):
        x, y = whole[period]
        same &= sums.x == x and (metric.shape == "quantile" or abs(sums.y - y) <= 1e-6 * max(abs(y), 1.0))
    return Check(name="parts_add_up", passed=same, detail=say("ask.adds_up" if same else "ask.does_not_add_up"))
