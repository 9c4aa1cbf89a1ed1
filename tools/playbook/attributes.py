"""Cells by what traces carry: users, sessions, tags, languages, metadata, and by the hour of the day.

These would blow up the profile's cells, so they are read apart, and bounded three times: at most so many observations
are read, of each key only the values that are frequent or stand out are told apart, and the others count as one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from hansei.errors import HanseiError, PermissionMissing, QueryFailed
from hansei.tools.langfuse.dataset import Dataset
from hansei.tools.playbook.cells import Cells
from hansei.tools.playbook.languages import language_of

HOUR = "hour_of_day"
LANGUAGE = "language"

ENOUGH = 1_000_000
"""Observations that are enough to see by what they carry: of more, a day of each period, then a share of the traces."""

MOST_KEYS = 8
"""Keys of metadata that are looked at: those that most traces carry."""

MOST_VALUES = 60
"""A key of metadata with more values than this tells single things apart, such as requests, and no kinds of traffic."""

LEAST_TRACES = 20
"""Values that fewer traces carry are not told apart."""

FEWEST_EVENTS = 5
"""A step with fewer events than this can give no finding, so its slices do not count as looked at (Tarone, Biometrics
46 (1990) 515)."""

DIMENSIONS = ("trace_name", "environment", "type", "name")

WHAT = "Users, sessions, tags, languages, metadata and hours"
WHOLE = "*"
"""The key of rows that hold everything once, whatever it carries."""

DAY = "toInt32(floor(dateDiff('millisecond', {window_start:DateTime64(6, 'UTC')}, start_time) / 86400000))"

STREAMED = """count(first_token_ms) AS streamed, sum(ifNull(log(greatest(first_token_ms, 0) + 1), 0)) AS log_first,
  sum(ifNull(log(greatest(first_token_ms, 0) + 1) * log(greatest(first_token_ms, 0) + 1), 0)) AS log2_first"""

# A name as programs write it: what is free text is no kind of traffic, and would have to be quoted everywhere.
_NAMED = r"""arrayMap(t -> ('tag', t), tags),
      arrayFilter(a -> match(a.1, '^metadata[.][A-Za-z][A-Za-z0-9_.-]{0,39}$'), arrayMap(
        (k, v) -> (concat('metadata.', toString(k)), v), mapKeys(metadata), mapValues(metadata)))"""
_ASKED_IN = f"[('{LANGUAGE}', {language_of('input')})]"


def what_it_carries(*more: str, language: bool = True) -> str:
    """SQL of what a trace carries, as pairs of key and value: tags, metadata, the language of its input, and `more`."""
    pairs = f"arrayConcat({', '.join((*more, _NAMED, *([_ASKED_IN] if language else [])))})"
    return f"arrayDistinct(arrayFilter(a -> a.2 != '' AND lengthUTF8(a.2) <= 80, {pairs}))"


NOTED = what_it_carries()
"""The same as SQL, without users and sessions."""
_CARRIED = what_it_carries("[('user_id', user_id), ('session_id', session_id)]")

# Of each key the values that most traces carry, and those that fail most.
_VALUES = f"""
SELECT key, value, hash, traces, kinds FROM (
  SELECT key, value, cityHash64(key, value) AS hash, traces, count() OVER (PARTITION BY key) AS kinds,
    row_number() OVER (PARTITION BY key ORDER BY traces DESC, value) AS by_traces,
    row_number() OVER (PARTITION BY key ORDER BY failing DESC, value) AS by_failing
  FROM (
    SELECT carried.1 AS key, carried.2 AS value, count() AS traces, sum(failed) AS failing
    FROM (
      SELECT any(trace_id) AS id, countIf(level = 'ERROR') > 0 AS failed
      FROM observations WHERE cityHash64(trace_id) % {{sample:UInt64}} = 0 GROUP BY cityHash64(trace_id)
    ) AS o
    INNER JOIN (
      SELECT id, {_CARRIED} AS attributes FROM traces WHERE cityHash64(id) % {{sample:UInt64}} = 0
    ) AS t ON cityHash64(o.id) = cityHash64(t.id)
    ARRAY JOIN attributes AS carried
    GROUP BY key, value
    HAVING traces >= {{least:UInt64}} OR startsWith(key, 'metadata.')
  )
)
WHERE traces >= {{least:UInt64}} AND (by_traces <= if(key IN ('user_id', 'session_id'), 6, 12) OR by_failing <= 8)
  AND (kinds <= {MOST_VALUES} OR NOT startsWith(key, 'metadata.'))
ORDER BY key, traces DESC, value"""

_CELLS = f"""
SELECT day, trace_name, environment, type, name, carried.1 AS key, carried.2 AS value,
  sum(o.n) AS n, sum(o.errors) AS errors, sum(o.due) AS due, sum(o.unfinished) AS unfinished,
  sum(o.timed) AS timed, sum(o.log_ms) AS log_ms, sum(o.log2_ms) AS log2_ms, sum(o.streamed) AS streamed,
  sum(o.log_first) AS log_first, sum(o.log2_first) AS log2_first, sum(o.costed) AS costed,
  sum(o.cost) AS cost, sum(o.cost2) AS cost2, sum(o.counted) AS counted, sum(o.tokens) AS tokens,
  sum(o.tokens2) AS tokens2
FROM (
  SELECT cityHash64(trace_id) AS trace, {DAY} AS day, toHour(start_time, 'UTC') AS hour, environment, type, name,
    count() AS n, countIf(level = 'ERROR') AS errors,
    countIf(type != 'EVENT' AND start_time < {{settled:DateTime64(6, 'UTC')}}) AS due,
    countIf(type != 'EVENT' AND start_time < {{settled:DateTime64(6, 'UTC')}} AND end_time IS NULL) AS unfinished,
    count(latency_ms) AS timed, sum(ifNull(log(latency_ms + 1), 0)) AS log_ms,
    sum(ifNull(log(latency_ms + 1) * log(latency_ms + 1), 0)) AS log2_ms, {STREAMED},
    count(total_cost) AS costed, sum(ifNull(toFloat64(total_cost), 0)) AS cost,
    sum(ifNull(toFloat64(total_cost) * toFloat64(total_cost), 0)) AS cost2, count(total_tokens) AS counted,
    sum(ifNull(total_tokens, 0)) AS tokens, sum(ifNull(toFloat64(total_tokens) * total_tokens, 0)) AS tokens2
  FROM observations
  WHERE cityHash64(trace_id) % {{sample:UInt64}} = 0
  GROUP BY trace, day, hour, environment, type, name
) AS o
LEFT ANY JOIN (
  SELECT cityHash64(id) AS trace, name AS trace_name,
    arrayFilter(a -> has({{chosen:Array(UInt64)}}, cityHash64(a.1, a.2)), {_CARRIED}) AS attributes
  FROM traces
  WHERE cityHash64(id) % {{sample:UInt64}} = 0
) AS t ON o.trace = t.trace
ARRAY JOIN arrayConcat([('{HOUR}', leftPad(toString(hour), 2, '0'))], attributes,
  arrayMap(k -> (k, ''), arrayFilter(k -> NOT has(attributes.1, k), {{keys:Array(String)}}))) AS carried
GROUP BY ALL"""


@dataclass(frozen=True)
class Cohorts:
    """Cells by key: each holds all observations that were read, by the values of that key ('' stands for the rest).

    Args:
        cells: key (a segment's dimension) → its cells, with the key as a unit.
        note: what was left out, '' when nothing was.
        whole: whether there are several steps, and all of them were read.
    """

    cells: Mapping[str, Cells]
    note: str = ""
    whole: bool = True


def read_cohorts(dataset: Dataset, observations: int, settle: timedelta) -> Cohorts:
    """Reads what traces carry, and the sums of the steps by it.

    Args:
        observations: how many the project has in both periods.
        settle: rows younger than this at the window's end may still be running.
    """
    spans, sample, note = part_of(dataset, observations, WHAT, ENOUGH)
    given: dict[str, Any] = {"sample": sample, "settled": dataset.periods.window.end - settle}
    try:
        values, least = dataset.bind(_VALUES, ("observations", "traces")), max(5, LEAST_TRACES // sample)
        chosen = _joined([dataset.columns(values, {**given, **span, "least": least}) for span in spans])
        keys = _keys(chosen)
        hashes = sorted({hash for key, hash in zip(chosen["key"], chosen["hash"], strict=True) if key in keys})
        sql = dataset.bind(_CELLS, ("observations", "traces"))
        parts = [dataset.columns(sql, {**given, **span, "chosen": hashes, "keys": keys}) for span in spans]
    except (QueryFailed, PermissionMissing) as error:
        if isinstance(error, QueryFailed) and error.retryable:
            raise
        return Cohorts({}, not_read(error))
    return Cohorts(_by_key(_joined(parts)), note)


def _joined(parts: Sequence[Mapping[str, Sequence[Any]]]) -> dict[str, list[Any]]:
    """The answers of two spans, one after the other."""
    return {name: [value for part in parts for value in part[name]] for name in parts[0]}


def part_of(dataset: Dataset, rows: int, what: str, enough: int = ENOUGH) -> tuple[list[dict[str, datetime]], int, str]:
    """The spans to read so that about `enough` rows are; one in how many traces; and what to say of it.

    Args:
        rows: how many both periods have.
        what: is looked for, in the plural.

    Returns:
        Parameters for each span, the window's first; the sample; '' when all is read.
    """
    if rows <= enough:
        return [{}], 1, ""
    window, baseline = dataset.periods.window, dataset.periods.baseline
    day = timedelta(days=1)
    starts = [window.end - day, window.end - day - 7 * math.ceil(window.days / 7) * day]
    share, on_days = 1.0, ""
    spans: list[dict[str, datetime]] = [{}]
    if starts[0] >= window.start and starts[1] >= baseline.start:
        spans = [{"range_start": start, "range_end": start + day} for start in starts]
        share = 2 * day / (window.length + baseline.length)
        on_days = f" on {starts[0]:%Y-%m-%d} and {starts[1]:%Y-%m-%d} only"
    sample = max(1, math.ceil(rows * share / enough))
    of_traces = f" in one of {sample} traces" if sample > 1 else ""
    return spans, sample, f"{what} were looked for{','.join(filter(None, (on_days, of_traces)))}."


def not_read(error: HanseiError, what: str = WHAT) -> str:
    """The note that a query for them failed."""
    return f"{what} were not looked at: {error.message}"


def _keys(chosen: Mapping[str, Sequence[Any]]) -> list[str]:
    """Users, sessions, tags, languages, and the metadata that most traces carry."""
    carried: dict[str, int] = {}
    for key, traces in zip(chosen["key"], chosen["traces"], strict=True):
        carried[str(key)] = carried.get(str(key), 0) + int(traces)
    return keys_of(carried)


def keys_of(carried: Mapping[str, int]) -> list[str]:
    """The keys to look at, of those that so many rows carry."""
    metadata = sorted((key for key in carried if key.startswith("metadata.")), key=lambda key: (-carried[key], key))
    return [key for key in ("user_id", "session_id", "tag", LANGUAGE) if key in carried] + metadata[:MOST_KEYS]


def _by_key(columns: Mapping[str, Sequence[Any]]) -> dict[str, Cells]:
    rows: dict[str, list[int]] = {}
    for i, key in enumerate(columns["key"]):
        rows.setdefault(str(key), []).append(i)
    found = {}
    for key, mine in sorted(rows.items()):
        part = {name: [column[i] for i in mine] for name, column in columns.items() if name not in ("key", "value")}
        part[key] = [columns["value"][i] for i in mine]
        found[key] = Cells.read(part, (*DIMENSIONS, key))
    return found


def with_the_rest(
    part: dict[str, list[Any]], key: str, columns: Mapping[str, Sequence[Any]], whole: Sequence[int],
    dimensions: Sequence[str], sums: Sequence[str],
) -> None:  # fmt: skip
    """Adds to a key's rows those that lack the key, as value ''.

    Args:
        part: columns of the rows that have the key: day, the dimensions, the sums, and the key with its values.
        columns: of all rows.
        whole: places of the rows that hold everything once (`WHOLE`).
        sums: the first counts rows.
    """
    place = (*dimensions, "day")
    left: dict[tuple[Any, ...], list[float]] = {}
    for i in whole:
        held = left.setdefault(tuple(columns[name][i] for name in place), [0.0] * len(sums))
        for at, name in enumerate(sums):
            held[at] += float(columns[name][i])
    for i in range(len(part[key])):
        held = left[tuple(part[name][i] for name in place)]
        for at, name in enumerate(sums):
            held[at] -= float(part[name][i])
    for where, held in left.items():
        if held[0] > 0:
            for name, value in (*zip(place, where, strict=True), *zip(sums, held, strict=True), (key, "")):
                part[name].append(value)
