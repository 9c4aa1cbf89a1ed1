"""The traces of a finding: those of its segment in which its metric was bad, and sound ones to hold beside them.

In which traces a metric was bad follows from how it is measured:

    share, quantile   it happened in the trace (it was slow: beyond the reference's quantile)
    mean              the trace's own mean is beyond the reference's, on the side that is worse
    count             traffic is of no single trace: all of the segment
"""

from __future__ import annotations

from hansei.contracts import parse_instant
from hansei.contracts.evaluation import OfFinding
from hansei.errors import UsageError
from hansei.tools.evaluation.choosing import Chosen
from hansei.tools.langfuse.dataset import Dataset
from hansei.tools.playbook.catalogue import detector_of
from hansei.tools.playbook.measure import rows_of
from hansei.tools.playbook.model import Candidate, Metric
from hansei.tools.playbook.segments import TIME

SOUND = "sound"
"""Stratum of the traces that are judged for comparison. They stand for none: a share is of the bad ones alone."""


def choose_of_finding(
    dataset: Dataset, finding: OfFinding, count: int, *, sound: float, seed: int = 1
) -> tuple[list[Chosen], int]:
    """Draws traces of a finding in the window.

    Args:
        dataset: the data.
        finding: what was measured, and where.
        count: how many traces at most, sound ones included.
        sound: which share of `count` are sound traces of the same segment, 0 to 1.
        seed: another one draws others.

    Returns:
        The traces in the order in which they are to be judged, sound ones among the others, and how many bad ones there
        are in all.

    Raises:
        UsageError: there is no such metric or dimension, or a parameter of the metric is missing.
    """
    try:
        detector, metric = detector_of(finding.metric)
        candidate = Candidate(
            detector=detector.name, metric=metric.name, direction="regression", segment=finding.segment,
            comparison=finding.comparison, parameters=finding.parameters,
        )  # fmt: skip
        start = dataset.periods.window.start
        in_window = f"{TIME[metric.relation]} >= {{window_start:DateTime64(6, 'UTC')}}"
        rows = rows_of(metric, candidate, also=in_window)
    except KeyError as unknown:
        raise UsageError(
            f"The finding cannot be looked up: {unknown.args[0]}.", "Take one of a newer report."
        ) from None
    drawn = "cityHash64(id, {seed:UInt32}), id"
    sql = f"""WITH {rows.cte}
SELECT *, count() OVER (PARTITION BY bad) AS of, row_number() OVER (PARTITION BY bad ORDER BY {drawn}) AS place
FROM (
  SELECT t.id AS id, t.timestamp AS at, t.environment AS environment, b.bad AS bad
  FROM (
    SELECT cluster, toUInt8({_bad(metric)}) AS bad FROM rows WHERE period = 'window'
    GROUP BY cluster HAVING sum(x) > 0
  ) AS b
  INNER JOIN traces AS t ON t.id = b.cluster
)
ORDER BY place, bad DESC LIMIT {count} BY bad"""
    values = {**rows.parameters, "seed": seed % 2**32, "usual": finding.usual or 0.0}
    bound = dataset.bind(sql, tuple(dict.fromkeys((*rows.relations, "traces"))), rows.needs)
    found = dataset.ask("chosen", "chosen", bound, values, since=start).records()
    bad, others = ([row for row in found if bool(row["bad"]) is wanted] for wanted in (True, False))
    population = int(bad[0]["of"]) if bad else 0
    others = others[: round(count * sound)]
    bad = bad[: count - len(others)]
    chosen = [
        (row["place"] / len(part), Chosen(
            str(row["id"]), parse_instant(str(row["at"])), str(row["environment"]), "" if part is bad else SOUND,
            population / len(bad) if part is bad else 0.0,
        ))
        for part in (bad, others) for row in part
    ]  # fmt: skip
    # Evenly among each other, so that both are there when judging ends early.
    return [one for _, one in sorted(chosen, key=lambda placed: placed[0])], population


def is_of_traces(metric: str) -> bool:
    """Whether a metric can be bad in a trace; traffic cannot."""
    return detector_of(metric)[1].shape != "count"


def _bad(metric: Metric) -> str:
    """SQL over the sums of a trace's ``rows``."""
    if metric.shape == "count":
        return "1"
    if metric.shape == "mean":
        sign = ">" if metric.worse > 0 else "<"
        return f"toFloat64(sum(y)) {sign} {{usual:Float64}} * {metric.scale:.0f} * toFloat64(sum(x))"
    return "sum(y) > 0" if metric.worse > 0 else f"sum(y) < {metric.scale:.0f} * sum(x)"
