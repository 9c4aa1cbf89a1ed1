"""sample_traces: traces of a segment drawn at random but always the same, good and bad ones apart."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

from hansei.contracts import DIMENSIONS, Comparison, Evidence, Segment, parse_instant
from hansei.tools.inquiry.answer import Answer, Refusal
from hansei.tools.inquiry.bounds import Bounds
from hansei.tools.inquiry.notebook import Notebook
from hansei.tools.inquiry.wording import UNTRUSTED, plural, section
from hansei.tools.langfuse.dataset import Dataset
from hansei.tools.langfuse.masking import unmasked
from hansei.tools.langfuse.untrusted import one_line
from hansei.tools.playbook.catalogue import DETECTORS, detector_of
from hansei.tools.playbook.measure import rows_of
from hansei.tools.playbook.model import Candidate, Detector, Metric
from hansei.tools.playbook.proposals import DEFAULTS

Which = Literal["bad", "good", "both", "any"]
Period = Literal["window", "baseline"]

METRICS = tuple(metric.name for detector in DETECTORS for metric in detector.metrics if "{category:" not in metric.y)
"""Shares of one category of a score are left out: they count nothing until a category is named."""

_METADATA_KEY = re.compile(r"metadata\.[\w .:/@-]{1,100}")
_LONGEST_VALUE = 1_000
_SHOWN_ID = 200


def sample_traces(
    dataset: Dataset,
    bounds: Bounds,
    notebook: Notebook,
    segment: Segment | None = None,
    metric: str = "error_rate",
    which: Which = "both",
    count: int = 10,
    period: Period = "window",
    seed: int = 1,
    parameters: Mapping[str, float] | None = None,
) -> Answer:
    """Draws traces by the hash of their id and the seed.

    Bad are, of a share (errors, loops), traces in which it happened; of an amount (seconds, dollars, tokens, scores),
    the fifth of traces with the worst; good are those without it, or the better half.

    Raises:
        Refusal: the segment or the metric cannot be asked for.
    """
    detector, measured = _measured(metric)
    segment = checked_segment(segment or {})
    settled = _settled(detector, measured, parameters or {})
    if measured.shape == "count":
        which = "any"
    count = max(1, min(count, bounds.sampled))
    id = notebook.id_for(dataset, "sample_traces", segment, metric, which, count, period, seed, settled)
    has_bound = "slow_ms" in (parameters or {})
    evidence = notebook.get(id) or notebook.keep(
        _draw(dataset, id, measured, segment, which, count, period, seed, settled, has_bound)
    )
    return Answer(_told(evidence, measured, bounds, which, period), [id])


def _measured(metric: str) -> tuple[Detector, Metric]:
    if metric not in METRICS:
        raise Refusal(f"There is no such metric. Metrics are: {', '.join(METRICS)}.")
    return detector_of(metric)


def checked_segment(segment: Mapping[str, str]) -> Segment:
    for dimension, value in segment.items():
        if dimension not in DIMENSIONS and not _METADATA_KEY.fullmatch(dimension):
            raise Refusal(
                f"There is no such dimension as {one_line(dimension, 60, unmasked)!r}. Dimensions are: "
                f"{', '.join(DIMENSIONS)}, and metadata.<key>."
            )
        if len(value) > _LONGEST_VALUE:
            raise Refusal(f"A segment's value may have {_LONGEST_VALUE:,} characters.")
    return dict(segment)


def _settled(detector: Detector, metric: Metric, given: Mapping[str, float]) -> dict[str, float]:
    """The parameters that the metric's SQL uses."""
    if unknown := sorted(set(given) - set(detector.parameters)):
        known = "; ".join(f"{name}: {meaning}" for name, meaning in detector.parameters.items()) or "none"
        raise Refusal(f"{metric.name} has no parameter {one_line(unknown[0], 40, unmasked)}. Its parameters: {known}.")
    wanted = {name: DEFAULTS.get(name, 0.0) for name in detector.parameters if f"{{{name}:" in metric.y}
    return {name: float(given.get(name, value)) for name, value in wanted.items()}


def _draw(
    dataset: Dataset,
    id: str,
    metric: Metric,
    segment: Segment,
    which: Which,
    count: int,
    period: Period,
    seed: int,
    parameters: dict[str, float],
    has_bound: bool,
) -> Evidence:
    """Columns: trace_id, at (when, in it, the metric's first row begins), x, y (sums over the trace), value, stratum
    (bad, good, between), of (traces in the stratum)."""
    candidate = Candidate(
        detector=detector_of(metric.name)[0].name,
        metric=metric.name,
        direction="regression",
        segment=segment,
        comparison=Comparison(against="baseline", segment=segment),
        parameters=parameters,
    )
    time = "timestamp" if metric.relation != "observations" else "start_time"
    try:
        # A score may judge a session: then it belongs to no trace.
        also = "trace_id != ''" if metric.relation == "scores" else "1"
        rows = rows_of(metric, candidate, also=also, extra=f", {time} AS at")
    except KeyError:
        name = next(iter(set(segment) - {"score_name"}), "score_name")
        raise Refusal(f"{metric.name} cannot be narrowed by {name}. Leave it out, or take another metric.") from None
    share = metric.shape in ("share", "count") or has_bound
    value = "y / x" if share or not metric.amount else "most / 1000"
    kept = {"both": "stratum IN ('bad', 'good')", "any": "1"}.get(which, f"stratum = '{which}'")
    sql = f"""
WITH {rows.cte}
SELECT * EXCEPT place FROM (
  SELECT *, count() OVER (PARTITION BY stratum) AS of,
    row_number() OVER (PARTITION BY stratum ORDER BY cityHash64(trace_id, {{seed:UInt32}}), trace_id) AS place
  FROM (
    SELECT trace_id, at, x, y, round({value}, 6) AS value, {_stratum(metric, share)} AS stratum FROM (
      SELECT r.cluster AS trace_id, min(r.at) AS at, sum(r.x) AS x, toFloat64(sum(r.y)) / {metric.scale:.0f} AS y,
        {"max(r.amount)" if metric.amount else "0"} AS most
      FROM rows AS r WHERE r.period = {{period:String}} GROUP BY r.cluster HAVING x > 0
    )
  )
)
WHERE {kept}
ORDER BY {"place, stratum" if which != "any" else "cityHash64(trace_id, {seed:UInt32}), trace_id"} LIMIT {count}"""
    bound = dataset.bind(sql, rows.relations, rows.needs)
    values = {**rows.parameters, "seed": seed % 2**32, "period": period}
    since = None if period == "baseline" else dataset.periods.window.start
    return dataset.ask(id, "sample", bound, values, since=since)


def _stratum(metric: Metric, share: bool) -> str:
    if metric.shape == "count":
        return "'any'"
    if share:
        return f"if({'y > 0' if metric.worse > 0 else 'y < x'}, 'bad', 'good')"
    if metric.worse > 0:
        worst, better = "value > quantileExact(0.8)(value) OVER ()", "value <= quantileExact(0.5)(value) OVER ()"
    else:
        worst, better = "value < quantileExact(0.2)(value) OVER ()", "value >= quantileExact(0.5)(value) OVER ()"
    return f"multiIf({worst}, 'bad', {better}, 'good', 'between')"


def _told(evidence: Evidence, metric: Metric, bounds: Bounds, which: Which, period: Period) -> str:
    records = evidence.records()
    sizes = {str(row["stratum"]): int(row["of"]) for row in records}
    records.sort(key=lambda row: str(row["stratum"]))
    if not records:
        said = {"bad": "bad ", "good": "good "}.get(which, "")
        return f"Evidence {evidence.id}: there are no {said}traces of this segment in the {period}."
    strata = ", ".join(
        f"{sum(row['stratum'] == name for row in records)} of {plural(size, f'{name} trace'.removeprefix('any '))}"
        for name, size in sizes.items()
    )
    head = f"Evidence {evidence.id}: {strata} of the {period}, drawn at random. {_rule(metric, evidence)} {UNTRUSTED}\n"
    lines = [_line(row, metric, _by_amount(evidence)) for row in records]
    shown, _ = section(lines, bounds.sample_characters - len(head), "… {count} traces not shown")
    return head + shown


def _rule(metric: Metric, evidence: Evidence) -> str:
    """What tells bad from good."""
    if metric.shape == "count":
        return f"{metric.name} tells no bad traces from good ones."
    if _by_amount(evidence):
        return f"Bad: the fifth with the worst {metric.name}; good: the better half."
    happened = "it happened in the trace" if metric.worse > 0 else "it was missing in the trace"
    return f"Bad by {metric.name}: {happened}, so many times of so many."


def _by_amount(evidence: Evidence) -> bool:
    """Whether the strata are the worst and the better of an amount, or tell whether something happened."""
    return "'between'" in evidence.sql


def _line(row: Mapping[str, Any], metric: Metric, by_amount: bool) -> str:
    at = parse_instant(str(row["at"]))
    told = f"{row['value']:g} {metric.unit}" if by_amount else f"{row['y']:g} of {row['x']:,}"
    if metric.shape == "count":
        told = ""
    parts = (one_line(str(row["trace_id"]), _SHOWN_ID, unmasked), f"{at:%Y-%m-%d %H:%M:%S}",
             str(row["stratum"]), told)  # fmt: skip
    return " · ".join(part for part in parts if part)
