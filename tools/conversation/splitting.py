"""The query of a breakdown: a metric by the values of a dimension."""

from __future__ import annotations

from collections.abc import Sequence

from hansei.contracts import Evidence, Segment
from hansei.tools.conversation.naming import Unclear
from hansei.tools.langfuse.dataset import Dataset
from hansei.tools.langfuse.relations import Needs
from hansei.tools.playbook.assess import evidence_for
from hansei.tools.playbook.measure import rows_of
from hansei.tools.playbook.model import Candidate, Metric
from hansei.tools.playbook.segments import CLUSTER, Split, column, split_of

PARTS = 10
"""Values of a dimension that a breakdown tells one by one; the others are added up, where parts do not overlap."""


def split(
    dataset: Dataset, metric: Metric, candidate: Candidate, dimension: str, asked: str | None, id: str
) -> Evidence:
    """Sums per period and value of the dimension, clustered by trace; what is beyond the first values is one row.

    Traces and scores are split by what steps have through the steps of their trace: a trace that used two models counts
    for both. Where parts overlap so, what is beyond the first values is left out.

    Columns: period, named (0: the others together), part, traces, x, y, xx, xy, yy, affected; for quantile metrics also
    level_seconds.

    Args:
        asked: a value that is told in any case.

    Raises:
        Unclear: it cannot be split so.
    """
    how = split_of(dimension, metric)
    if how is None:
        raise Unclear("no_column", dimension=dimension, metric=metric.name)
    scale = f"{metric.scale:.0f}"
    extra = f", toString({how.sql}) AS part" if how.own else ""
    rows = rows_of(metric, candidate, extra=extra, with_trace=how.with_trace)
    prompt = candidate.segment.get("prompt_name") if dimension == "prompt_version" and not how.own else None
    parts = (
        "SELECT * FROM rows"
        if how.own
        else f"SELECT r.*, t.part AS part FROM rows AS r\n"
        f"    LEFT JOIN ({_looked_up(how, prompt)}) AS t ON r.cluster = t.cluster"
    )
    by = "sum(y) DESC, sum(x) DESC" if metric.worse > 0 and metric.shape != "quantile" else "sum(x) DESC"
    amounts, quantile, shown = "", "", ""
    if metric.shape == "quantile":
        amounts, shown = ", groupArray(amount) AS amounts", ", level_seconds"
        quantile = f", round(quantileExactArray({metric.level})(amounts) / 1000, 3) AS level_seconds"
    sql = f"""
WITH {rows.cte},
  parts AS (
    {parts}
  ),
  top AS (SELECT part FROM parts GROUP BY part ORDER BY {by}, part LIMIT {PARTS})
SELECT period, named, part, traces, x, y, xx, xy, yy, affected{shown}
FROM (
  SELECT period, named, part_name AS part, count() AS traces, toUInt64(sum(xs)) AS x,
    toFloat64(sum(ys)) / {scale} AS y, toFloat64(sum(xs * xs)) AS xx, toFloat64(sum(xs * ys)) / {scale} AS xy,
    toFloat64(sum(ys * ys)) / {scale} / {scale} AS yy, countIf(ys > 0) AS affected{quantile}
  FROM (
    SELECT cluster, period, named, if(named, part, '') AS part_name, sum(x) AS xs, sum(y) AS ys{amounts}
    FROM (
      SELECT *, toUInt8(part IN (SELECT part FROM top) OR part = {{asked:String}}) AS named FROM parts
    ){" WHERE named" if how.overlapping else ""}
    GROUP BY cluster, period, named, part_name
  )
  GROUP BY period, named, part
)
ORDER BY period DESC, named DESC, x DESC, part"""
    relations = tuple(dict.fromkeys((*rows.relations, *([] if how.own else [f"nearby_{how.home}"]))))
    values: dict[str, object] = {**rows.parameters, "asked": asked or "", "of_prompt": prompt or ""}
    if metric.shape == "quantile":
        values["slow_ms"] = 0.0
    bound = dataset.bind(sql, relations, Needs(rows.needs.trace, rows.needs.totals))
    return dataset.ask(id, "breakdown", bound, values)


def _looked_up(how: Split, prompt: str | None) -> str:
    """Which values a trace has, once each: columns cluster, part. A prompt's versions are told by its own calls."""
    which = "part != ''" + (" AND prompt_name = {of_prompt:String}" if prompt else "")
    columns = f"{CLUSTER[how.home]} AS cluster, toString({how.sql}) AS part"
    return f"SELECT DISTINCT {columns} FROM nearby_{how.home} WHERE {which}"


def parts_as_segments(metric: Metric, segment: Segment, dimension: str) -> bool:
    """Whether a part is the segment with its value: not where both are told by steps, which need not be the same."""
    how = split_of(dimension, metric)
    of_steps = {name for name in segment if column(name, metric.relation) is None and column(name, "traces") is None}
    by_prompt = dimension == "prompt_version" and of_steps <= {"prompt_name"}
    return how is not None and (how.home != "observations" or how.own or not of_steps or by_prompt)


def part_to_doubt(asked: str | None, evidence: Sequence[Evidence]) -> str:
    """Of parts that overlap, the one that is derived again: what was asked about, else the largest; '' for none."""
    found = evidence_for(evidence, "breakdown")
    rows = [row for row in (found.records() if found else []) if int(row["named"]) and row["part"]]
    rows.sort(key=lambda row: (row["period"] != "window", -int(row["x"]), str(row["part"])))
    values = [str(row["part"]) for row in rows]
    return asked if asked is not None and asked in values else next(iter(values), "")
