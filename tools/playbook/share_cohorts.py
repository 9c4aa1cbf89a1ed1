"""What happens to steps, or to whole traces, by what the traces carry, where that is too dear to count for all of them.

Only steps (or apps) to which it happened often enough to give a finding are asked about, so where all is well nothing
is asked. One query tells of each key the values that most rows have, and those to which it happened most; the others
count as one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hansei.errors import PermissionMissing, QueryFailed
from hansei.tools.langfuse.dataset import Dataset
from hansei.tools.langfuse.relations import Needs
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

CHOSEN = "has({asked:Array(String)}, concat(type, ' ', name)) AND cityHash64(trace_id) % {sample:UInt64} = 0"
"""SQL condition on an observation: of the steps that are asked about, and of the traces that are read."""
CHOSEN_APPS = "has({asked:Array(String)}, trace_name) AND cityHash64(trace_id) % {sample:UInt64} = 0"
"""The same of the apps."""

ENOUGH = 250_000
"""Rows that are enough here: each is looked at by all that its trace carries, whatever its values are."""

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


def read_shares(
    dataset: Dataset, cells: Cells, shares: Mapping[str, str], source: str, parameters: Mapping[str, Any] | None = None
) -> Cohorts:
    """Reads what happened, by what the traces carry: to steps, or to whole traces where the cells have no steps.

    Args:
        cells: the same sums of all steps, which tell about which of them there is something to ask.
        shares: name of the sum that counts what happens → the sum of the rows that it could have happened to.
        source: SELECT over observations of trace_id, start_time, environment, type, name and the sums; `CHOSEN` is part
            of its condition. Of whole traces it is a row each, by `CHOSEN_APPS`, type and name ''.
        parameters: of the source.

    Returns:
        No cells where nothing happened often enough to tell anything.
    """
    unit, dimensions = ("step", DIMENSIONS) if "step" in cells.codes else ("trace_name", DIMENSIONS[:2])
    asked = {name: _able(cells, unit, name) for name in shares}
    chosen = sorted(set().union(*asked.values()))
    if not chosen:
        return Cohorts({})
    what = f"Where {'texts tell of failures' if unit == 'step' else 'traces run away'}, {WHAT[:1].lower()}{WHAT[1:]}"
    rows = max(_rows(cells, unit, asked[name], cells.sums[x]) for name, x in shares.items())
    spans, sample, note = part_of(dataset, rows, what, ENOUGH)
    given: dict[str, Any] = {
        "sample": sample, "least": max(5, LEAST_TRACES // sample), "asked": [" ".join(one) for one in chosen],
        **(parameters or {}),
    }  # fmt: skip
    sums = tuple(dict.fromkeys((*shares, *shares.values())))
    needs = Needs(trace=unit == "trace_name")
    sql = dataset.bind(_sql(sums, tuple(shares), source), ("traces", "observations"), needs)
    try:
        parts = [dataset.columns(sql, {**given, **span}) for span in spans]
    except (QueryFailed, PermissionMissing) as error:
        if isinstance(error, QueryFailed) and error.retryable:
            raise
        return Cohorts({}, not_read(error, what))
    columns = {name: [one for part in parts for one in part[name]] for name in parts[0]}
    found = _by_key(columns, dimensions, ("n", *sums))
    return Cohorts(found, note, whole=unit == "step" and len(chosen) > 1 and len(chosen) == _steps(cells, shares))


def _able(cells: Cells, unit: str, event: str) -> set[tuple[str, ...]]:
    """The steps, or apps, to which it happened often enough, in the window or before it, to give a finding."""
    group, names = cells.group((unit,))
    happened, before = (
        np.bincount(group, weights=cells.sums[event] * side, minlength=len(names))
        for side in (cells.in_window, ~cells.in_window)
    )
    happened = np.maximum(happened, before)
    return {names[i][0] for i in np.flatnonzero(happened >= FEWEST_EVENTS)}


def _steps(cells: Cells, shares: Mapping[str, str]) -> int:
    """How many steps there are to which it could have happened."""
    could = sum((cells.sums[x] for x in set(shares.values())), np.zeros(len(cells)))
    return len(np.unique(cells.codes["step"][could > 0]))


def _rows(cells: Cells, unit: str, asked: set[tuple[str, ...]], x: Floats) -> int:
    mine = np.asarray([value in asked for value in cells.values[unit]], dtype=bool)[cells.codes[unit]]
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


def _by_key(columns: Mapping[str, Sequence[Any]], dimensions: Sequence[str], sums: Sequence[str]) -> dict[str, Cells]:
    rows: dict[str, list[int]] = {}
    carried: dict[str, int] = {}
    for i, (key, value) in enumerate(zip(columns["key"], columns["told"], strict=True)):
        rows.setdefault(str(key), []).append(i)
        if value and not (key.startswith("metadata.") and columns["most_kinds"][i] > MOST_VALUES):
            carried[str(key)] = carried.get(str(key), 0) + int(columns["n"][i])
    found = {}
    for key in sorted((HOUR, *keys_of(carried)) if rows else ()):
        part: dict[str, list[Any]] = {
            name: [columns[name][i] for i in rows[key]] for name in ("day", *dimensions, *sums)
        }
        part[key] = [columns["told"][i] for i in rows[key]]
        if key.startswith("metadata."):
            with_the_rest(part, key, columns, rows[WHOLE], dimensions, sums)
        found[key] = Cells.read(part, (*dimensions, key))
    return found
