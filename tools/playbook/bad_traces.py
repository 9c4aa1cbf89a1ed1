"""The traces of the window in which a finding's metric was bad, and those of the same rows in which it was not.

In which traces a metric was bad follows from how it is measured: see `is_bad`.
"""

from __future__ import annotations

from typing import Any

from hansei.tools.langfuse.dataset import Dataset
from hansei.tools.playbook.catalogue import detector_of
from hansei.tools.playbook.measure import is_bad, rows_of
from hansei.tools.playbook.model import Candidate
from hansei.tools.playbook.segments import TIME


def bad_and_sound(
    dataset: Dataset, candidate: Candidate, usual: float, count: int, seed: int = 1
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Draws traces of either kind by the hash of their ids, so that the same request draws the same ones.

    Args:
        dataset: the data.
        candidate: what was measured, and where.
        usual: the reference's value, in the metric's unit.
        count: how many of each kind at most.
        seed: another one draws others.

    Returns:
        Bad and sound traces, as records of id, at, environment, and `of`: how many there are of the kind.

    Raises:
        KeyError: there is no such metric or dimension.
        HanseiError: ClickHouse cannot be asked.
    """
    metric = detector_of(candidate.metric)[1]
    in_window = f"{TIME[metric.relation]} >= {{window_start:DateTime64(6, 'UTC')}}"
    rows = rows_of(metric, candidate, also=in_window)
    drawn = "cityHash64(id, {seed:UInt32}), id"
    sql = f"""WITH {rows.cte}
SELECT *, count() OVER (PARTITION BY bad) AS of, row_number() OVER (PARTITION BY bad ORDER BY {drawn}) AS place
FROM (
  SELECT t.id AS id, t.timestamp AS at, t.environment AS environment, b.bad AS bad
  FROM (
    SELECT cluster, toUInt8({is_bad(metric)}) AS bad FROM rows WHERE period = 'window'
    GROUP BY cluster HAVING sum(x) > 0
  ) AS b
  INNER JOIN traces AS t ON t.id = b.cluster
)
ORDER BY place, bad DESC LIMIT {count} BY bad"""
    values = {**rows.parameters, "seed": seed % 2**32, "usual": usual}
    bound = dataset.bind(sql, tuple(dict.fromkeys((*rows.relations, "traces"))), rows.needs)
    found = dataset.ask("chosen", "chosen", bound, values, since=dataset.periods.window.start).records()
    bad, sound = ([dict(row) for row in found if bool(row["bad"]) is wanted] for wanted in (True, False))
    return bad, sound
