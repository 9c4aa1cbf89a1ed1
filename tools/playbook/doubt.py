"""The critic's queries: the same figure by another road, and the rival explanations.

They share nothing with the analyst's queries but the definition of the metric: rows are deduplicated by the latest
moment of their key instead of FINAL, and the value is one flat aggregate instead of sums over traces and days.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from hansei.contracts import Evidence, Window, parse_instant
from hansei.tools.langfuse.dataset import Dataset
from hansei.tools.langfuse.narrowing import narrowed
from hansei.tools.langfuse.relations import SLACK_DAYS, Needs, in_spans
from hansei.tools.playbook.assess import DAY
from hansei.tools.playbook.echoes import WITHOUT
from hansei.tools.playbook.measure import Rows, measure_columns, rows_of
from hansei.tools.playbook.model import Candidate, Metric
from hansei.tools.playbook.segments import CLUSTER, TIME, raw_condition

SAMPLE_ABOVE = 2_000_000
"""With more observations than this, rows are deduplicated for one day of each period only, and when even these days
hold more, for a share of their traces: doing without FINAL takes memory for every row."""

# A trace's own figures from its raw observations.
_TRACE_ROWS = """SELECT t.id AS id, t.timestamp AS timestamp, t.name AS name, t.user_id AS user_id,
      t.session_id AS session_id, t.environment AS environment, t.release AS release, t.version AS version,
      t.tags AS tags, t.metadata AS metadata, t.input AS input, t.output AS output, o.steps AS steps,
      o.span_ms AS span_ms, o.total_cost AS total_cost
    FROM raw_traces AS t
    LEFT ANY JOIN (
      SELECT trace_id, count() AS steps, sum(total_cost) AS total_cost,
        toUnixTimestamp64Milli(toDateTime64(max(ifNull(end_time, start_time)), 3))
          - toUnixTimestamp64Milli(toDateTime64(min(start_time), 3)) AS span_ms
      FROM raw_observations GROUP BY trace_id
    ) AS o ON t.id = o.trace_id"""


_CRITICS = "'critic' AS source, period, again AS value, n"


def rederive(
    dataset: Dataset, metric: Metric, candidate: Candidate, id: str, observations: int, measured: Evidence | None
) -> Evidence:
    """The metric's value per period, from rows that were deduplicated without FINAL.

    On large data, for a part of the rows, beside the analyst's value for the same part.

    Columns: source ('critic', 'analyst'), period, value, n. How many superseded rows were left out is not among them:
    ClickHouse merges them away at times of its own choosing, and the answer must stay the same.

    Args:
        observations: how many the project has in both periods.
        measured: the candidate's measure, for the days on which it has most rows.
    """
    critic, values, raw = _critic(metric, candidate)
    part = _part(dataset, metric, raw, observations, measured)
    if part.is_whole:
        sql = f"SELECT {_CRITICS} FROM ({critic}) ORDER BY period DESC"
        return dataset.ask(id, "rederive", dataset.bind_raw(sql, raw), {**values, **part.parameters})
    rows = rows_of(
        metric,
        candidate,
        also=f"{in_spans(TIME[metric.relation])} AND cityHash64({CLUSTER[metric.relation]}) % {{sample:UInt64}} = 0",
    )
    sql = f"""
WITH {rows.cte}
SELECT source, period, value, n FROM (
  SELECT {_CRITICS} FROM ({critic})
  UNION ALL
  SELECT 'analyst' AS source, period, toFloat64({_value(metric)}) AS value, count() AS n FROM rows GROUP BY period
)
ORDER BY source DESC, period DESC"""
    bound = dataset.bind(dataset.bind_raw(sql, raw), rows.relations, rows.needs)
    since = rows.since(dataset)
    return dataset.ask(id, "rederive", bound, {**rows.parameters, **values, **part.parameters}, since=since)


def _value(metric: Metric) -> str:
    if metric.shape == "count":
        return "count()"
    if metric.shape == "quantile":
        return f"quantileExact({metric.level})(amount) / 1000"
    return f"sum(y) / {metric.scale:.0f} / sum(x)"


@dataclass(frozen=True)
class _Part:
    """Which rows are deduplicated: two spans of time, and one in `sample` traces of them."""

    first: Window
    second: Window
    sample: int
    slack_days: int
    is_whole: bool

    @property
    def parameters(self) -> dict[str, object]:
        """Values for the relations without FINAL."""
        return {
            "first_start": self.first.start,
            "first_end": self.first.end,
            "second_start": self.second.start,
            "second_end": self.second.end,
            "sample": self.sample,
            "slack_days": self.slack_days,
        }


def _part(
    dataset: Dataset, metric: Metric, raw: tuple[str, ...], observations: int, measured: Evidence | None
) -> _Part:
    both = Window(start=dataset.periods.baseline.start, end=dataset.periods.window.end)
    # A trace, and what is looked up through it, may lie in another day than the row.
    slack = 0 if raw == ("observations",) and not metric.again_from else SLACK_DAYS
    if observations <= SAMPLE_ABOVE:
        return _Part(both, both, 1, slack, is_whole=True)
    first = second = both
    share = 1.0
    # A score may come long after its trace, so scores and traces of one day do not go together.
    if metric.relation != "scores" and measured is not None:
        days = _busiest_days(measured, both)
        first, second = days[0], days[-1]
        share = len(days) * (1 + 2 * slack) * DAY / both.length
    return _Part(first, second, max(1, math.ceil(observations * share / SAMPLE_ABOVE)), slack, is_whole=False)


def _busiest_days(measured: Evidence, within: Window) -> list[Window]:
    """The day of each period that has most rows."""
    best: dict[str, tuple[float, datetime]] = {}
    for row in measured.records():
        start = parse_instant(str(row["day"]))
        if start >= within.start:
            best[row["period"]] = max(best.get(row["period"], (0.0, start)), (float(row["x"]), start))
    return [Window(start=start, end=start + DAY) for _, start in best.values()] or [within]


def _critic(metric: Metric, candidate: Candidate) -> tuple[str, dict[str, object], tuple[str, ...]]:
    time = TIME[metric.relation]
    mine, mine_values, needed = raw_condition(candidate.segment, metric.relation, "mine")
    theirs, their_values, needed_too = raw_condition(candidate.comparison.segment, metric.relation, "theirs")
    now = f"{time} >= {{window_start:DateTime64(6, 'UTC')}}"
    if candidate.comparison.against == "baseline":
        period, chosen = f"if({now}, 'window', 'baseline')", f"(({now}) AND ({mine})) OR (NOT ({now}) AND ({theirs}))"
    else:
        period, chosen = f"if({mine}, 'window', 'rest')", f"({now}) AND ({theirs})"
    # No star: the relations have the columns that are named, and no more.
    asked = f"""SELECT {period} AS period, toFloat64({metric.again}) AS again, count() AS n"""
    where = f"""WHERE {in_spans(time)} AND ({chosen}) AND ({metric.again_where})"""
    source = f"raw_{metric.relation}"
    raw = {metric.relation, *needed, *needed_too, *metric.looks_up}
    if made := _TRACE_ROWS if metric.totals else metric.again_from:
        source = f"({narrowed(made, f'{asked} {where}')})"
    if metric.totals:
        raw |= {"traces", "observations"}
    sql = f"""
  {asked}
  FROM {source}
  {where}
  GROUP BY period
"""
    order = ("traces", "observations", "scores")
    return sql, {**mine_values, **their_values, **candidate.parameters}, tuple(name for name in order if name in raw)


MOST_KINDS, MOST_USERS = 100, 3
"""Kinds of traffic and users that are told, largest first."""


def parts(dataset: Dataset, metric: Metric, candidate: Candidate, id: str) -> Evidence:
    """The figure by its parts, in one reading of the rows: by kind of traffic (app, environment, step), so that a shift
    of the mix can be told from a change; and by user, so that the change can be looked at without those who weigh most.

    Columns: part ('stratum' or 'user'), names (array: of the kind of traffic, or the user's id), x, y (of the window),
    reference_x, reference_y, users, affected_users (of all users, in each row).
    """
    stratum = {
        "traces": "[name, environment]",
        "observations": "[trace_name, environment, name]",
        "scores": "[trace_name, environment, name]",
    }[metric.relation]
    rows = rows_of(metric, candidate, extra=f", {stratum} AS stratum, user_id", with_trace=True)
    scale = f"{metric.scale:.0f}"
    weight = "y" if metric.worse > 0 else "x"
    sql = f"""
WITH {rows.cte}
SELECT part, names, x, y, reference_x, reference_y, users, affected_users
FROM (
  SELECT *, part = 'user' AND names != [''] AND x > 0 AS is_user,
    toUInt64(sum(is_user) OVER ()) AS users,
    toUInt64(sum(is_user AND {"y > 0" if metric.worse > 0 else "y < x"}) OVER ()) AS affected_users,
    row_number() OVER (
      PARTITION BY part, is_user ORDER BY if(part = 'user', toFloat64({weight}), toFloat64(x + reference_x)) DESC, names
    ) AS place
  FROM (
    SELECT part, names, toUInt64(sum(window_x)) AS x, toFloat64(sum(window_y)) / {scale} AS y,
      toUInt64(sum(other_x)) AS reference_x, toFloat64(sum(other_y)) / {scale} AS reference_y
    FROM (
      SELECT stratum, user_id, sumIf(r.x, period = 'window') AS window_x, sumIf(r.y, period = 'window') AS window_y,
        sumIf(r.x, period != 'window') AS other_x, sumIf(r.y, period != 'window') AS other_y
      FROM rows AS r GROUP BY stratum, user_id
    )
    ARRAY JOIN ['stratum', 'user'] AS part, [stratum, [user_id]] AS names
    GROUP BY part, names
  )
)
WHERE if(part = 'user', is_user AND place <= {MOST_USERS}, place <= {MOST_KINDS})
ORDER BY part, place"""
    return dataset.ask(id, "parts", dataset.bind(sql, rows.relations, rows.needs), rows.parameters)


Cause = tuple[str, Metric, Candidate]
"""Another finding's id, its metric and what it is about."""


def without(dataset: Dataset, metric: Metric, candidate: Candidate, causes: Sequence[Cause], id: str) -> Evidence:
    """The measure once more without what other findings affected: the traces in which they happened, or, of an average
    over the same kind of rows, its rows.

    Purpose: `WITHOUT` and the ids of the other findings; columns as in `measure`.
    """
    parts = [_left_out(metric, other_metric, other, n) for n, (_, other_metric, other) in enumerate(causes)]
    rows = rows_of(metric, candidate, also=" AND ".join(condition for _, condition in parts))
    theirs = [part for part, _ in parts]
    sql = f"WITH {', '.join(part.cte for part in theirs)},\n{rows.cte}\n{measure_columns(metric)}"
    together = (*theirs, rows)
    relations = tuple(dict.fromkeys(relation for part in together for relation in part.relations))
    needs = Needs(any(part.needs.trace for part in together), any(part.needs.totals for part in together))
    parameters = {name: value for part in together for name, value in part.parameters.items()}
    purpose = WITHOUT + "+".join(id for id, _, _ in causes)
    return dataset.ask(id, purpose, dataset.bind(sql, relations, needs), parameters, since=rows.since(dataset))


def _left_out(metric: Metric, other_metric: Metric, other: Candidate, number: int) -> tuple[Rows, str]:
    """The rows of another finding, and the condition that leaves out what it affected."""
    left_out, of_them = CLUSTER[metric.relation], "cluster"
    better = other.direction == "improvement"
    if other_metric.shape == "mean" or other_metric.worse < 0 or (better and other_metric.shape == "quantile"):
        # An average has touched all rows of its segment, and so has a score (leaving out only the bad ones would
        # prove anything) or a median that fell: without them, in both periods, the rest is compared with the rest.
        # Where a new version took the place of others, the others' rows go too.
        hit = "1"
        if other.comparison.against == "baseline":
            other = other.model_copy(update={"segment": other.comparison.segment})
        else:
            hit = "period = 'window'"
        if metric.relation == other_metric.relation:
            # The other calls of the same traces have not been touched.
            left_out = of_them = "id"
    elif better:
        # What ended is left out where it was.
        hit = "period != 'window' AND y > 0"
    else:
        hit = "period = 'window' AND y > 0"
    name = f"cause{number or ''}"
    extra = ", id" if of_them == "id" else ""
    theirs = rows_of(other_metric, other, extra=extra, name=f"{name}_rows", prefix=f"{name}_")
    return theirs, f"{left_out} NOT IN (SELECT {of_them} FROM {name}_rows WHERE {hit})"
