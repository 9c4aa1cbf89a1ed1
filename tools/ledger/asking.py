"""The queries by which findings of the ledger are measured again, and the effects of fixes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from hansei.contracts import Comparison, Evidence, Periods, Segment, Window, parse_instant
from hansei.contracts.since import Acted, Known
from hansei.tools.langfuse.dataset import Dataset
from hansei.tools.ledger.identity import place_of
from hansei.tools.playbook.catalogue import detector_of
from hansei.tools.playbook.measure import rows_of
from hansei.tools.playbook.model import Candidate, Metric
from hansei.tools.playbook.segments import column_of

DAY = timedelta(days=1)

DIMENSIONS = ("tool_name", "observation_name", "prompt_name", "model", "trace_name")
"""Whose other values may be siblings, the finest first. Scores are not: each has a scale of its own."""

MOST_SIBLINGS = 40


def candidates_of(known: Known) -> list[Candidate]:
    """What is measured again of a finding: its own rows, then, where these may be gone, what they took the place of."""
    detector, metric = detector_of(known.metric)
    segments = [known.segment]
    if metric.shape != "count" and (place := place_of(known)) != known.segment:
        segments.append(place)
    return [
        Candidate(
            detector=detector.name, metric=known.metric, direction=known.direction, segment=segment,
            comparison=Comparison(against="baseline", segment=segment), parameters=known.parameters,
        )
        for segment in segments
    ]  # fmt: skip


def sibling_dimension(metric: Metric, segment: Segment) -> str | None:
    """The dimension whose other values are held against a segment; None: there is none."""
    for dimension in DIMENSIONS:
        if dimension in segment and column_of(dimension, metric.relation) is not None:
            return dimension
    return None


def began(dataset: Dataset, acted: Acted, id: str, since: datetime) -> Evidence:
    """The first trace of the release, or call of the prompt's version, that came with a fix, and the first of all.

    Columns: began, first (both UTC, NULL: none).

    Args:
        since: start of what is read.
    """
    if acted.release is not None:
        relation, time, test, values = "traces", "timestamp", "release = {value:String}", {"value": acted.release}
    else:
        relation, time = "observations", "start_time"
        test = "prompt_name = {prompt:String} AND prompt_version = {value:String}"
        values = {"prompt": acted.segment.get("prompt_name", ""), "value": acted.prompt_version or ""}
    sql = f"""SELECT toString(toDateTime(minOrNullIf({time}, {test}), 'UTC')) AS began,
  toString(toDateTime(minOrNull({time}), 'UTC')) AS first FROM {relation}"""
    return dataset.ask(id, "began", dataset.bind(sql, (relation,)), values, since=since)


def moment_of(evidence: Evidence | None, acted: Acted) -> datetime | None:
    """When a fix was made; None: not yet, or so long ago that nothing is left to compare with."""
    if acted.at is not None:
        return acted.at
    if evidence is None or not evidence.rows or evidence.records()[0]["began"] in (None, ""):
        return None
    row = evidence.records()[0]
    began_at, first = (parse_instant(str(row[name])) for name in ("began", "first"))
    return began_at if began_at - first >= DAY else None


def spans(acted: Acted, moment: datetime, end: datetime) -> Periods | None:
    """The days before and after a fix that are compared; None when there is no whole day of either.

    Both are whole days of 24 hours that touch at the moment of the fix.

    Args:
        moment: of the fix.
        end: of the window: nothing later is read.
    """
    moment = moment.replace(microsecond=0)
    before = min(acted.days, (moment - acted.onset) // DAY) if acted.onset is not None else acted.days
    after = min(acted.days * _LONGEST, (end - moment) // DAY)
    if before < 1 or after < 1:
        return None
    # Where the agreed days were too few, all that have come since count.
    return Periods(
        window=Window(start=moment, end=moment + after * DAY), baseline=Window(start=moment - before * DAY, end=moment)
    )


_LONGEST = 4
"""So many times the days that were agreed on are read at most."""


def effects(dataset: Dataset, acted: Acted, periods: Periods, id: str) -> Evidence:
    """Daily sums before and after a fix, of the treated rows and of each sibling.

    Columns: sibling ('' for all together), period, day (ISO start), traces, x, y, xx, xy, yy, affected, as in
    `hansei.tools.playbook.measure.measure`.
    """
    detector, metric = detector_of(acted.metric)
    if metric.shape == "count":
        raise ValueError("traffic has no siblings")
    segment = {key: value for key, value in acted.segment.items() if key != acted.siblings}
    column = "''"
    also = "1"
    if acted.siblings is not None:
        column = column_of(acted.siblings, metric.relation) or "''"
        also = f"({column}) != ''" + (" AND type = 'TOOL'" if acted.siblings == "tool_name" else "")
        if acted.siblings == "observation_name" and metric.relation == "observations":
            also += " AND type != 'TOOL'"
    candidate = Candidate(
        detector=detector.name, metric=metric.name, direction="regression", segment=segment,
        comparison=Comparison(against="baseline", segment=segment), parameters=acted.parameters,
    )  # fmt: skip
    trace = acted.siblings == "trace_name" and metric.relation != "traces"
    rows = rows_of(metric, candidate, extra=f", {column} AS sibling", with_trace=trace, also=also)
    scale = f"{metric.scale:.0f}"
    sql = f"""WITH {rows.cte}
SELECT sibling, period, {_DAY} AS day, count() AS traces, toUInt64(sum(xs)) AS x, toFloat64(sum(ys)) / {scale} AS y,
  toFloat64(sum(xs * xs)) AS xx, toFloat64(sum(xs * ys)) / {scale} AS xy,
  toFloat64(sum(ys * ys)) / {scale} / {scale} AS yy, countIf(ys > 0) AS affected
FROM (
  SELECT cluster, sibling, period, day, sum(x) AS xs, sum(y) AS ys FROM rows
  WHERE sibling IN (
    SELECT sibling FROM rows GROUP BY sibling
    ORDER BY sibling = {{mine:String}} DESC, count() DESC, sibling LIMIT {MOST_SIBLINGS + 1}
  )
  GROUP BY cluster, sibling, period, day
)
GROUP BY sibling, period, day
ORDER BY sibling, period DESC, day"""
    mine = acted.segment.get(acted.siblings, "") if acted.siblings else ""
    bound = replace(dataset, periods=periods)
    values: Mapping[str, Any] = {**rows.parameters, "mine": mine}
    return bound.ask(id, "effect", bound.bind(sql, rows.relations, rows.needs), values)


_DAY = "formatDateTime(toDateTime({window_start:DateTime64(6, 'UTC')}, 'UTC') + toIntervalDay(day), '%FT%TZ')"
