"""What happens to steps by what their traces carry, where that is too dear to count for all of them.

Only steps to which it happened often enough to give a finding are asked about, so where all is well nothing is asked.
One query tells of each key the values that most rows have, and those to which it happened most; the others count as
one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hansei.errors import PermissionMissing, QueryFailed
from hansei.tools.langfuse.dataset import Dataset
from hansei.tools.playbook.attributes import (
    DAY,
    DIMENSIONS,
    FEWEST_EVENTS,
    HOUR,
    LANGUAGE,
    LEAST_TRACES,
    MOST_VALUES,
    NOTED,
    WHAT,
    WHOLE,
    Cohorts,
    keys_of,
    not_read,
    part_of,
    with_the_rest,
)
from hansei.tools.playbook.cells import Cells, Floats

CHOSEN = "has({steps:Array(String)}, concat(type, ' ', name)) AND cityHash64(trace_id) % {sample:UInt64} = 0"
"""SQL condition on an observation: of the steps that are asked about, and of the traces that are read."""

ENOUGH = 250_000
"""Rows that are enough here: each is looked at by all that its trace carries, whatever its values are."""

_WHAT = f"Where texts tell of failures, {WHAT[:1].lower()}{WHAT[1:]}"
_NAMES = ("day", "hour", "environment", "type", "name")

# A trace's language is worked out once, and only of traces with such steps: so traces come first in the join.
_SQL = f"""
SELECT day, trace_name, environment, type, name, key, if(is_told, value, '') AS told, max(kinds) AS most_kinds, @summed
FROM (
  SELECT day, trace_name, environment, type, name, key, value, kinds, @kept,
    key = '{HOUR}' OR often >= {{least:UInt64}} AND (
    dense_rank() OVER (PARTITION BY key ORDER BY often DESC, value) <= if(key IN ('user_id', 'session_id'), 6, 12)
    OR @worst) AS is_told
  FROM (
    SELECT call.1 AS day, trace_name, call.3 AS environment, call.4 AS type, call.5 AS name,
      carried.1 AS key, carried.2 AS value, @added, count() AS sum_n,
      uniqExact(value) OVER (PARTITION BY key) AS kinds, sum(sum_n) OVER (PARTITION BY key, value) AS often, @often
    FROM (
      SELECT trace_name, arrayJoin(calls) AS call, {NOTED} AS noted,
        arrayConcat([('{WHOLE}', ''), ('user_id', user_id), ('session_id', session_id)], noted,
          arrayMap(k -> (k, ''), arrayFilter(k -> NOT has(noted.1, k), ['tag', '{LANGUAGE}']))) AS attributes
      FROM (
        SELECT cityHash64(id) AS trace, name AS trace_name, user_id, session_id, tags, metadata, input
        FROM traces WHERE cityHash64(id) % {{sample:UInt64}} = 0
      ) AS t
      INNER ANY JOIN (
        SELECT cityHash64(trace_id) AS trace,
          groupArray(({DAY}, toHour(start_time, 'UTC'), environment, type, name, @counts)) AS calls
        FROM (@source) GROUP BY trace
      ) AS o USING trace
    )
    ARRAY JOIN arrayConcat([('{HOUR}', leftPad(toString(call.2), 2, '0'))], attributes) AS carried
    GROUP BY day, trace_name, environment, type, name, key, value
  )
)
GROUP BY ALL"""


def read_shares(dataset: Dataset, cells: Cells, shares: Mapping[str, str], source: str) -> Cohorts:
    """Reads what happened, by what the traces carry.

    Args:
        cells: the same sums of all steps, which tell about which of them there is something to ask.
        shares: name of the sum that counts what happens → the sum of the rows that it could have happened to.
        source: SELECT over observations of trace_id, start_time, environment, type, name and the sums; `CHOSEN` is part
            of its condition.

    Returns:
        No cells where nothing happened often enough to tell anything.
    """
    steps = {name: _able(cells, name) for name in shares}
    chosen = sorted(set().union(*steps.values()))
    if not chosen:
        return Cohorts({})
    rows = max(_rows(cells, steps[name], cells.sums[x]) for name, x in shares.items())
    spans, sample, note = part_of(dataset, rows, _WHAT, ENOUGH)
    given: dict[str, Any] = {
        "sample": sample, "least": max(5, LEAST_TRACES // sample), "steps": [" ".join(step) for step in chosen],
    }  # fmt: skip
    sums = tuple(dict.fromkeys((*shares, *shares.values())))
    sql = dataset.bind(_sql(sums, tuple(shares), source), ("traces", "observations"))
    try:
        parts = [dataset.columns(sql, {**given, **span}) for span in spans]
    except (QueryFailed, PermissionMissing) as error:
        if isinstance(error, QueryFailed) and error.retryable:
            raise
        return Cohorts({}, not_read(error, _WHAT))
    columns = {name: [one for part in parts for one in part[name]] for name in parts[0]}
    return Cohorts(_by_key(columns, ("n", *sums)), note, whole=len(chosen) > 1 and len(chosen) == _steps(cells, shares))


def _able(cells: Cells, event: str) -> set[tuple[str, ...]]:
    """The steps to which it happened often enough in the window to give a finding."""
    group, names = cells.group(("step",))
    happened = np.bincount(group, weights=cells.sums[event] * cells.in_window, minlength=len(names))
    return {names[i][0] for i in np.flatnonzero(happened >= FEWEST_EVENTS)}


def _steps(cells: Cells, shares: Mapping[str, str]) -> int:
    """How many steps there are to which it could have happened."""
    could = sum((cells.sums[x] for x in set(shares.values())), np.zeros(len(cells)))
    return len(np.unique(cells.codes["step"][could > 0]))


def _rows(cells: Cells, steps: set[tuple[str, ...]], x: Floats) -> int:
    mine = np.asarray([step in steps for step in cells.values["step"]], dtype=bool)[cells.codes["step"]]
    return round(float(x[mine].sum()))


def _sql(sums: Sequence[str], events: Sequence[str], source: str) -> str:
    place = {name: f"call.{len(_NAMES) + 1 + i}" for i, name in enumerate(sums)}
    often = (f"sum(sum({place[name]})) OVER (PARTITION BY key, value) AS often_{name}" for name in events)
    worst = (
        f"often_{name} >= {FEWEST_EVENTS}"
        f" AND dense_rank() OVER (PARTITION BY key ORDER BY often_{name} DESC, value) <= 8"
        for name in events
    )
    parts = {
        "@summed": ", ".join(f"sum(sum_{name}) AS {name}" for name in ("n", *sums)),
        "@kept": ", ".join(f"sum_{name}" for name in ("n", *sums)),
        "@added": ", ".join(f"sum({place[name]}) AS sum_{name}" for name in sums),
        "@often": ", ".join(often), "@worst": "\n    OR ".join(worst), "@counts": ", ".join(sums), "@source": source,
    }  # fmt: skip
    sql = _SQL
    for mark, part in parts.items():
        sql = sql.replace(mark, part)
    return sql


def _by_key(columns: Mapping[str, Sequence[Any]], sums: Sequence[str]) -> dict[str, Cells]:
    rows: dict[str, list[int]] = {}
    carried: dict[str, int] = {}
    for i, (key, value) in enumerate(zip(columns["key"], columns["told"], strict=True)):
        rows.setdefault(str(key), []).append(i)
        if value and not (key.startswith("metadata.") and columns["most_kinds"][i] > MOST_VALUES):
            carried[str(key)] = carried.get(str(key), 0) + int(columns["n"][i])
    found = {}
    for key in sorted((HOUR, *keys_of(carried)) if rows else ()):
        part: dict[str, list[Any]] = {
            name: [columns[name][i] for i in rows[key]] for name in ("day", *DIMENSIONS, *sums)
        }
        part[key] = [columns["told"][i] for i in rows[key]]
        if key.startswith("metadata."):
            with_the_rest(part, key, columns, rows[WHOLE], DIMENSIONS, sums)
        found[key] = Cells.read(part, (*DIMENSIONS, key))
    return found
