"""The queries of an `Ask`: the analyst's, and then the critic's, which share nothing but the metric's definition.

A slice is measured by the same queries as a finding's candidate, in both periods, so the same functions make numbers
and intervals of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from hansei.contracts import Comparison, Evidence, Finding, Report, Segment
from hansei.contracts.asks import Ask, Breakdown, Compare, Examples, Measure, OnDay, Trace
from hansei.tools.conversation.naming import Unclear
from hansei.tools.langfuse.dataset import Dataset
from hansei.tools.langfuse.relations import Needs
from hansei.tools.langfuse.trace_tree import read_tree
from hansei.tools.playbook.assess import evidence_for
from hansei.tools.playbook.catalogue import detector_of
from hansei.tools.playbook.doubt import rederive
from hansei.tools.playbook.drafting import measure_candidate
from hansei.tools.playbook.measure import examples, rows_of
from hansei.tools.playbook.model import Candidate, Metric
from hansei.tools.playbook.segments import column, condition

DAILY = ("traces_per_day", "error_rate", "cost_per_trace", "trace_latency_p95")
"""What is looked at on a day."""

PARTS = 10
"""Values of a dimension that a breakdown tells one by one; the others are added up."""


OF_DATASET = frozenset({"project_id", "range_start", "range_end", "window_start", "environments"})
"""Parameters that every query may use, see `Dataset.parameters`."""


def slices_of(ask: Ask) -> list[tuple[str, str, Segment]]:
    """The slices that an `Ask` measures: (name of its evidence, metric, segment)."""
    match ask:
        case Compare():
            return [
                ("first", ask.metric, {**ask.segment, ask.dimension: ask.first}),
                ("second", ask.metric, {**ask.segment, ask.dimension: ask.second}),
            ]
        case Measure() | Breakdown():
            return [("all", ask.metric, ask.segment)]
        case OnDay():
            return [(name, name, ask.segment) for name in DAILY]
        case _:
            return []


def fits(ask: Ask, report: Report) -> bool:
    """Whether what an `Ask` names is there: for one that a model filled in."""
    finding = getattr(ask, "finding", None)
    if finding is not None and finding not in {f.id for f in (*report.findings, *report.refuted)}:
        return False
    if isinstance(ask, OnDay):
        return report.baseline.start.date() <= ask.day <= report.window.end.date()
    metric = getattr(ask, "metric", None)
    if metric is None:
        return True
    try:
        relation = detector_of(metric)[1].relation
        for segment in (part for _, _, part in slices_of(ask)):
            condition(segment, relation, "s")
        return (
            not isinstance(ask, Breakdown)
            or column(ask.dimension, relation) is not None
            or (ask.dimension.startswith("metadata."))
        )
    except KeyError:
        return False


def candidate_for(metric: str, segment: Segment, report: Report) -> Candidate:
    """A slice as a candidate: the window against the same rows of the baseline.

    A slice that a finding holds against something else (a new version of a prompt against the ones before it) is held
    against that.

    Raises:
        Unclear: the metric has thresholds, and no finding of the report says which.
    """
    detector, definition = detector_of(metric)
    wanted = set(re.findall(r"\{(\w+):", f"{definition.x} {definition.y} {definition.where} {definition.source}"))
    known = next((f.parameters for f in (*report.findings, *report.refuted) if f.metric == metric), {})
    wanted -= {"slow_ms", *OF_DATASET}
    if not wanted <= known.keys():
        raise Unclear("thresholds", metric=metric)
    return Candidate(
        detector=detector.name,
        metric=metric,
        direction="regression",
        segment=segment,
        comparison=Comparison(against="baseline", segment=_reference(metric, segment, report)),
        parameters={name: known[name] for name in sorted(wanted)},
    )


def _reference(metric: str, segment: Segment, report: Report) -> Segment:
    for finding in (*report.findings, *report.refuted):
        if (finding.metric, finding.segment, finding.comparison.against) == (metric, segment, "baseline"):
            return finding.comparison.segment
    return segment


def look(ask: Ask, report: Report, dataset: Dataset, number: int) -> list[Evidence]:
    """The analyst's part. The ids of the evidence begin with the number of the question.

    Raises:
        Unclear: it cannot be measured.
        NoData: there is no such trace.
        HanseiError: a query failed.
    """
    evidence: list[Evidence] = []
    for name, metric, segment in slices_of(ask):
        candidate = candidate_for(metric, segment, report)
        for item in measure_candidate(dataset, candidate).evidence:
            evidence.append(item.model_copy(update={"id": f"q{number}.{name}.{item.purpose}"}))
    if isinstance(ask, Breakdown):
        candidate = candidate_for(ask.metric, ask.segment, report)
        evidence.append(_parts(dataset, detector_of(ask.metric)[1], candidate, ask, f"q{number}.parts"))
    if isinstance(ask, Examples):
        evidence.append(_examples(dataset, _finding(ask.finding, report), ask.count, f"q{number}.examples"))
    if isinstance(ask, Trace):
        evidence.append(read_tree(dataset, ask.trace, id=f"q{number}.trace").evidence)
    return evidence


def doubts(
    ask: Ask, report: Report, dataset: Dataset, number: int, evidence: Sequence[Evidence]
) -> list[Callable[[], Evidence]]:
    """The critic's part: each slice once more from rows deduplicated without FINAL, by a flat aggregate."""
    counted = report.coverage.observations
    observations = counted.window + counted.baseline
    jobs: list[Callable[[], Evidence]] = []
    for name, metric, segment in slices_of(ask):
        definition = detector_of(metric)[1]
        candidate = candidate_for(metric, segment, report)
        found = next(item for item in evidence if item.id == f"q{number}.{name}.measure")

        def again(
            definition: Metric = definition, candidate: Candidate = candidate, name: str = name, found: Evidence = found
        ) -> Evidence:
            id = f"q{number}.{name}.rederive"
            return rederive(dataset, definition, candidate, id, observations, found)

        jobs.append(again)
    return jobs


def _finding(id: str, report: Report) -> Finding:
    found = next((f for f in (*report.findings, *report.refuted) if f.id == id), None)
    if found is None:
        raise Unclear("no_finding")
    return found


def _examples(dataset: Dataset, finding: Finding, count: int, id: str) -> Evidence:
    from hansei.tools.playbook.assess import candidate_of

    detector, metric = detector_of(finding.metric)
    known = evidence_for(finding.evidence, "measure")
    if known is None:
        raise Unclear("no_examples")
    return examples(dataset, metric, candidate_of(finding, detector.name), id, known, count)


def _parts(dataset: Dataset, metric: Metric, candidate: Candidate, ask: Breakdown, id: str) -> Evidence:
    """Sums per period and value of the dimension, clustered by trace; what is beyond the first values is one row.

    Columns: period, named (0: the others together), part, traces, x, y, xx, xy, yy, affected; for quantile metrics also
    level_seconds.
    """
    scale = f"{metric.scale:.0f}"
    looked_up = ask.dimension.startswith("metadata.") and metric.relation != "traces"
    if looked_up:
        key = ask.dimension.removeprefix("metadata.").replace("\\", "\\\\").replace("'", "\\'")
        rows = rows_of(metric, candidate)
        parts = (
            f"parts AS (\n    SELECT r.*, t.part AS part FROM rows AS r\n    LEFT ANY JOIN (SELECT id,"
            f" metadata['{key}'] AS part FROM traces) AS t ON r.cluster = t.id\n  )"
        )
    else:
        found = column(ask.dimension, metric.relation)
        if found is None:
            raise Unclear("no_column", dimension=ask.dimension, metric=ask.metric)
        rows = rows_of(metric, candidate, extra=f", toString({found[0]}) AS part", with_trace=found[1])
        parts = "parts AS (SELECT * FROM rows)"
    by = "sum(y) DESC, sum(x) DESC" if metric.worse > 0 and metric.shape != "quantile" else "sum(x) DESC"
    amounts, quantile, shown = "", "", ""
    if metric.shape == "quantile":
        amounts, shown = ", groupArray(amount) AS amounts", ", level_seconds"
        quantile = f", round(quantileExactArray({metric.level})(amounts) / 1000, 3) AS level_seconds"
    sql = f"""
WITH {rows.cte},
  {parts},
  top AS (SELECT part FROM parts GROUP BY part ORDER BY {by}, part LIMIT {PARTS})
SELECT period, named, part, traces, x, y, xx, xy, yy, affected{shown}
FROM (
  SELECT period, named, if(named, part_name, '') AS part, uniqExact(cluster) AS traces, toUInt64(sum(xs)) AS x,
    toFloat64(sum(ys)) / {scale} AS y, toFloat64(sum(xs * xs)) AS xx, toFloat64(sum(xs * ys)) / {scale} AS xy,
    toFloat64(sum(ys * ys)) / {scale} / {scale} AS yy, uniqExactIf(cluster, ys > 0) AS affected{quantile}
  FROM (
    SELECT cluster, period, part AS part_name, toUInt8(part IN (SELECT part FROM top) OR part = {{asked:String}})
      AS named, sum(x) AS xs, sum(y) AS ys{amounts}
    FROM parts GROUP BY cluster, period, part
  )
  GROUP BY period, named, part
)
ORDER BY period DESC, named DESC, x DESC, part"""
    relations = tuple(dict.fromkeys((*rows.relations, *(("traces",) if looked_up else ()))))
    parameters = {**rows.parameters, "asked": ask.value or ""}
    if metric.shape == "quantile":
        parameters["slow_ms"] = 0.0
    bound = dataset.bind(sql, relations, Needs(rows.needs.trace, rows.needs.totals))
    return dataset.ask(id, "breakdown", bound, parameters)
