"""Traces by day, back to four weeks before the window, and by what they carry: what traffic is looked for in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from hansei.contracts import Periods
from hansei.errors import PermissionMissing, QueryFailed
from hansei.tools.langfuse.dataset import Dataset
from hansei.tools.playbook.attributes import DAY, ENOUGH, HOUR, WHOLE, keys_of, not_read, what_it_carries
from hansei.tools.playbook.cells import Cells

HISTORY_DAYS = 28
"""Days before the window that tell how much traffic is usual on a weekday."""

LEAST_SHARE = 0.01
"""Values that a smaller share of the traces carries are not told apart."""

_WHAT = "Where traffic moved, users, tags, languages and metadata"

_DAY = DAY.replace("start_time", "timestamp")

_SQL = f"""
SELECT day, trace_name, place AS environment, key, value, n
FROM (
  SELECT day, trace_name, if(carried.1 = '{WHOLE}', environment, '') AS place, carried.1 AS key, carried.2 AS value,
    count() AS n, sum(n) OVER (PARTITION BY key, value) AS often, sum(if(key = '{WHOLE}', n, 0)) OVER () AS traces
  FROM (
    SELECT {_DAY} AS day,
      name AS trace_name, environment,
      arrayConcat([('{WHOLE}', ''), ('{HOUR}', leftPad(toString(toHour(timestamp, 'UTC')), 2, '0'))], @carried)
        AS attributes
    FROM traces
  )
  ARRAY JOIN attributes AS carried
  GROUP BY day, trace_name, place, key, value
)
WHERE key IN ('{WHOLE}', '{HOUR}') OR often >= {LEAST_SHARE} * traces"""


def _nothing() -> Cells:
    return Cells({}, {}, np.zeros(0, dtype=np.int64), {})


@dataclass(frozen=True)
class Visits:
    """Numbers of traces by day, as the sum n.

    Args:
        earlier: those before the baseline, by app and environment.
        carried: key (a segment's dimension) → the traces of all days by app and that key, of the values that many of
            them carry. The language is known of the window's and the baseline's only. Of very many traces: nothing.
        note: what was left out, '' when nothing was.
    """

    earlier: Cells = field(default_factory=_nothing)
    carried: Mapping[str, Cells] = field(default_factory=dict)
    note: str = ""


def history_start(periods: Periods) -> datetime:
    """Since when the number of traces is read: as long before the window as a weekly pattern takes, or longer."""
    return min(periods.baseline.start, periods.window.start - timedelta(days=HISTORY_DAYS))


def read_visits(dataset: Dataset, observations: int) -> Visits:
    """Reads the numbers of traces.

    Args:
        observations: how many the project has in both periods. Of very many, what traces carry is not read.
    """
    start, end = history_start(dataset.periods), dataset.periods.baseline.start
    if observations > ENOUGH:
        return Visits(_before(dataset, start, end))
    try:
        both = [dataset.columns(dataset.bind(_sql(language=True), ("traces",)))]
        if start < end:
            sql = dataset.bind(_sql(language=False), ("traces",))
            both.append(dataset.columns(sql, {"range_end": end}, since=start))
    except (QueryFailed, PermissionMissing) as error:
        if isinstance(error, QueryFailed) and error.retryable:
            raise
        return Visits(_before(dataset, start, end), note=not_read(error, _WHAT))
    before = (end - dataset.periods.window.start) // timedelta(days=1)
    columns = {name: [one for part in both for one in part[name]] for name in both[0]}
    return Visits(_earlier(columns, before), _by_key(columns))


_PLAIN = f"SELECT {_DAY} AS day, name AS trace_name, environment, count() AS n FROM traces GROUP BY ALL"


def _before(dataset: Dataset, start: datetime, end: datetime) -> Cells:
    """The traces before the baseline alone."""
    if start == end:
        return _nothing()
    columns = dataset.columns(dataset.bind(_PLAIN, ("traces",)), {"range_end": end}, since=start)
    return Cells.read(columns, ("trace_name", "environment"))


def _sql(*, language: bool) -> str:
    return _SQL.replace("@carried", what_it_carries("[('user_id', user_id)]", language=language))


def _earlier(columns: Mapping[str, Sequence[Any]], before: int) -> Cells:
    names = ("day", "trace_name", "environment", "n")
    mine = [i for i, key in enumerate(columns["key"]) if key == WHOLE and columns["day"][i] < before]
    return Cells.read({name: [columns[name][i] for i in mine] for name in names}, ("trace_name", "environment"))


def _by_key(columns: Mapping[str, Sequence[Any]]) -> dict[str, Cells]:
    rows: dict[str, list[int]] = {}
    carried: dict[str, int] = {}
    for i, key in enumerate(columns["key"]):
        rows.setdefault(str(key), []).append(i)
        carried[str(key)] = carried.get(str(key), 0) + int(columns["n"][i])
    found = {}
    for key in (HOUR, *keys_of(carried)) if rows else ():
        part = {name: [columns[name][i] for i in rows[key]] for name in ("day", "trace_name", "n")}
        part[key] = [columns["value"][i] for i in rows[key]]
        found[key] = Cells.read(part, ("trace_name", key))
    return found
