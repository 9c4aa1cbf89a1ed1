"""The analyst's queries: what a candidate measures, day by day, clustered by trace.

Each returns a complete query with its answer (`Evidence`). All sums are of integers, so an answer is the same on every
run, however ClickHouse spreads the work.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from hansei.contracts import Evidence
from hansei.tools.langfuse.dataset import Dataset
from hansei.tools.langfuse.relations import Needs
from hansei.tools.playbook.model import Candidate, Metric
from hansei.tools.playbook.segments import CLUSTER, TIME, Condition, condition

LEVELS = (
    0.01,
    0.05,
    *(round(0.1 + 0.05 * i, 2) for i in range(16)),
    *(round(0.86 + 0.01 * i, 2) for i in range(14)),
    0.995,
)
"""Levels at which the quantile function is asked for: fine where intervals of p50 and p95 are read off."""

EXAMPLES = 3


@dataclass(frozen=True)
class Rows:
    """The rows of a candidate: a common table expression ``rows`` and what it needs.

    ``rows`` has the columns cluster, period ('window' and the reference's name), day, x, y, and for quantile metrics
    amount.
    """

    cte: str
    parameters: dict[str, object]
    relations: tuple[str, ...]
    needs: Needs


def rows_of(metric: Metric, candidate: Candidate, *, also: str = "1", extra: str = "") -> Rows:
    """Builds ``rows``.

    Args:
        also: one more condition on the rows.
        extra: further columns, each preceded by a comma.
    """
    time = TIME[metric.relation]
    mine = condition(candidate.segment, metric.relation, "seg")
    theirs = condition(candidate.comparison.segment, metric.relation, "ref")
    now = f"{time} >= {{window_start:DateTime64(6, 'UTC')}}"
    if candidate.comparison.against == "baseline":
        period = f"if({now}, 'window', 'baseline')"
        chosen = f"if({now}, {mine.sql}, {theirs.sql})"
    else:
        period = f"if({mine.sql}, 'window', 'rest')"
        chosen = f"{now} AND ({theirs.sql})"
    parameters: dict[str, object] = {**mine.parameters, **theirs.parameters, **candidate.parameters}
    cte = f"""rows AS (
    SELECT {CLUSTER[metric.relation]} AS cluster, {period} AS period,
      toInt32(floor(dateDiff('millisecond', {{window_start:DateTime64(6, 'UTC')}}, {time}) / 86400000)) AS day,
      toInt64({metric.x}) AS x, toInt256({metric.y}) AS y{_amount(metric)}{extra}
    FROM {metric.relation}
    WHERE ({metric.where}) AND ({chosen}) AND ({also})
  )"""
    through = mine.through_observations or theirs.through_observations
    relations = tuple(dict.fromkeys((metric.relation, *(("observations",) if through else ()))))
    return Rows(cte, parameters, relations, _needs(metric, mine, theirs))


def _amount(metric: Metric) -> str:
    return f", {metric.amount} AS amount" if metric.shape == "quantile" else ""


def _needs(metric: Metric, *conditions: Condition) -> Needs:
    return Needs(trace=any(c.needs.trace for c in conditions), totals=metric.totals)


_DAY = "formatDateTime(toDateTime({window_start:DateTime64(6, 'UTC')}, 'UTC') + toIntervalDay(day), '%FT%TZ')"


def measure(dataset: Dataset, metric: Metric, candidate: Candidate, id: str) -> Evidence:
    """Sums per period and day of 24 hours (counted from the window's start).

    Columns: period, day (ISO start), traces, x, y, xx, xy, yy, affected; for quantile metrics also p50 and p95 in
    seconds. See `hansei.tools.statistics.Sums`.
    """
    rows = rows_of(metric, candidate)
    scale = f"{metric.scale:.0f}"
    inner, outer = "", ""
    if metric.shape == "quantile":
        inner = ", groupArray(amount) AS amounts"
        outer = """,
    round(arrayElement(quantilesExactArray(0.5, 0.95)(amounts) AS q, 1) / 1000, 3) AS p50, round(arrayElement(q, 2) / 1000, 3) AS p95"""
    sql = f"""
WITH {rows.cte}
SELECT period, {_DAY} AS day, traces, x, y, xx, xy, yy, affected{", p50, p95" if outer else ""}
FROM (
  SELECT period, day, count() AS traces, toUInt64(sum(xs)) AS x, toFloat64(sum(ys)) / {scale} AS y,
    toFloat64(sum(xs * xs)) AS xx, toFloat64(sum(xs * ys)) / {scale} AS xy,
    toFloat64(sum(ys * ys)) / {scale} / {scale} AS yy, countIf(ys > 0) AS affected{outer}
  FROM (
    SELECT cluster, period, day, sum(x) AS xs, sum(y) AS ys{inner} FROM rows GROUP BY cluster, period, day
  )
  GROUP BY period, day
)
ORDER BY period DESC, day"""
    since = None
    if history := candidate.parameters.get("history_days"):
        since = dataset.periods.window.start - timedelta(days=history)
    return dataset.ask(id, "measure", dataset.bind(sql, rows.relations, rows.needs), rows.parameters, since=since)


def quantiles(dataset: Dataset, metric: Metric, candidate: Candidate, id: str) -> Evidence:
    """The quantile function per period.

    Columns: period, n, levels, seconds (both arrays, ascending).
    """
    rows = rows_of(metric, candidate)
    levels = ", ".join(str(level) for level in LEVELS)
    sql = f"""
WITH {rows.cte}
SELECT period, count() AS n, [{levels}] AS levels,
  arrayMap(ms -> round(ms / 1000, 3), quantilesExact({levels})(amount)) AS seconds
FROM rows
GROUP BY period
ORDER BY period DESC"""
    return dataset.ask(id, "quantiles", dataset.bind(sql, rows.relations, rows.needs), rows.parameters)


def examples(dataset: Dataset, metric: Metric, candidate: Candidate, id: str) -> Evidence:
    """Traces of the window in which it happened, to look at.

    Columns: trace_id, y. Shares: any affected traces, in an order that is arbitrary but always the same; amounts: the
    traces with the largest.
    """
    rows = rows_of(metric, candidate)
    if metric.shape in ("share", "count") or metric.worse < 0:
        order = "cityHash64(cluster), cluster"
    else:
        order = "total DESC, cluster"
    keep = "total < x" if metric.worse < 0 else "total > 0"
    if candidate.direction == "improvement" or metric.shape == "count":
        keep = "1"
    sql = f"""
WITH {rows.cte}
SELECT cluster AS trace_id, toFloat64(total) / {metric.scale:.0f} AS y
FROM (SELECT cluster, sum(x) * {metric.scale:.0f} AS x, sum(y) AS total FROM rows WHERE period = 'window' GROUP BY cluster)
WHERE {keep}
ORDER BY {order}
LIMIT {EXAMPLES}"""
    return dataset.ask(id, "examples", dataset.bind(sql, rows.relations, rows.needs), rows.parameters)
