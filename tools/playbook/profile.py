"""The profile: one pass over the window and the baseline that gives the sums of every slice of every metric.

Three tables of cells: *steps* (observations), *runs* (traces) and *tools* (what tools were called with, and what they
answered). Each is one aggregation to the finest combination of the low-cardinality dimensions and the day; all slices
are sums of its cells.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial

from hansei.contracts import Periods
from hansei.errors import PermissionMissing, QueryFailed
from hansei.tools.at_once import together
from hansei.tools.langfuse.dataset import Dataset
from hansei.tools.langfuse.relations import Needs
from hansei.tools.playbook.attributes import STREAMED, Cohorts
from hansei.tools.playbook.cells import Cells
from hansei.tools.playbook.long_traces import LONG, with_bound
from hansei.tools.playbook.share_cohorts import CHOSEN, CHOSEN_APPS, read_shares
from hansei.tools.playbook.texts import (
    FINDS_NOTHING,
    LOOKS_EMPTY,
    LOOKS_FAILED,
    QUIET,
    REPEATS,
    SEARCHES,
    TOOLS,
    input_keys,
)
from hansei.tools.playbook.visits import Visits, read_visits

SLOW_MS = (1_000, 2_000, 5_000, 10_000, 20_000, 30_000, 60_000, 120_000)
"""Bounds at which slow rows are counted, so that a tail can grow unseen by the average."""

FIRST_TOKEN_MS = (250, 500, 1_000, 2_000, 5_000, 10_000, 20_000)
"""The same for the time to the first token."""

SETTLE = timedelta(hours=1)
"""Rows younger than this at the window's end may still be running or on their way."""

STEP_DIMENSIONS = (
    "trace_name", "environment", "release", "version", "type", "name", "model", "prompt_name", "prompt_version",
)  # fmt: skip
RUN_DIMENSIONS = ("trace_name", "environment", "release", "version")
TOOL_DIMENSIONS = ("trace_name", "environment", "release", "version", "type", "name")

_DAY = "toInt32(floor(dateDiff('millisecond', {window_start:DateTime64(6, 'UTC')}, %s) / 86400000)) AS day"
_OVER = ", ".join(f"countIf(latency_ms > {ms}) AS over_{ms}" for ms in SLOW_MS)
_TIMED = f"""count(latency_ms) AS timed, sum(ifNull(log(latency_ms + 1), 0)) AS log_ms,
  sum(ifNull(log(latency_ms + 1) * log(latency_ms + 1), 0)) AS log2_ms, {_OVER}"""
_STREAMED = f"{STREAMED}, {', '.join(f'countIf(first_token_ms > {ms}) AS first_over_{ms}' for ms in FIRST_TOKEN_MS)}"
_CACHED = """countIf(input_tokens > 0) AS fed, sum(if(input_tokens > 0, cached_tokens / input_tokens, 0)) AS cached,
  sum(if(input_tokens > 0, cached_tokens / input_tokens * (cached_tokens / input_tokens), 0)) AS cached2"""
_ENDED = "type = 'GENERATION' AND level != 'ERROR' AND end_time IS NOT NULL"
_LACKING = f"""countIf({_ENDED}) AS ended, countIf({_ENDED} AND model = '') AS no_model,
  countIf({_ENDED} AND total_tokens IS NULL) AS no_usage, countIf({_ENDED} AND total_cost IS NULL) AS no_cost,
  countIf({_ENDED} AND prompt_name = '') AS no_prompt"""
USED = "(user_id != '' OR session_id != '')"
"""Traces of somebody who could say what they think of the answer."""
_RATED = "id {how} (SELECT trace_id FROM {scores} WHERE source = 'API' AND NOT startsWith(id, 'hansei-'))"
GIVES_NO_FEEDBACK = _RATED.format(how="NOT IN", scores="scores")
"""Traces without a score from the application, which is how feedback of users comes; what Hansei wrote is none."""
GIVES_FEEDBACK_RAW = _RATED.format(how="IN", scores="raw_scores")
"""The other way round, over the relations without FINAL."""
_SPENT = """count(total_cost) AS costed, sum(ifNull(toFloat64(total_cost), 0)) AS cost,
  sum(ifNull(toFloat64(total_cost) * toFloat64(total_cost), 0)) AS cost2, count(total_tokens) AS counted,
  sum(ifNull(total_tokens, 0)) AS tokens, sum(ifNull(toFloat64(total_tokens) * total_tokens, 0)) AS tokens2"""


@dataclass(frozen=True)
class Profile:
    """Cells, and what had to be left out to keep them few.

    `steps` are observations and `runs` traces, with their counts, errors, times, costs and tokens. `tools` are uses of
    a tool in a trace: uses, looping (uses with an input that repeats), calls (that say that all is well), failed (calls
    whose output is an error or empty), errors (whose output is an error), searches and empty (those that found
    nothing); or why there are none: texts take longest to read, and the other tables stand without them.
    `visits` are the traces by day, back to before the baseline, see `visits`. `cohorts` are the steps by what their
    traces carry, see `attributes`; `uses` are the uses of tools, and `long` the long traces, of which there is
    something to ask, see `share_cohorts`.
    """

    periods: Periods
    steps: Cells
    runs: Cells
    visits: Visits
    tools: Cells | str
    notes: tuple[str, ...] = ()
    cohorts: Cohorts = field(default_factory=lambda: Cohorts({}))
    uses: Cohorts = field(default_factory=lambda: Cohorts({}))
    long: Cohorts = field(default_factory=lambda: Cohorts({}))


def read_profile(dataset: Dataset, observations: int = 0) -> Profile:
    """Reads the tables of cells.

    When a dimension has so many values that the cells outgrow the bound on results, the release, then the version are
    left out, and the notes say so.

    Args:
        observations: how many the project has in both periods; of very many, see `read_visits`.
    """
    (steps, left_out), (runs, of_runs, long), (tools, of_tools, uses), visits = together(
        partial(_read, dataset, _steps, STEP_DIMENSIONS),
        partial(_read_runs, dataset),
        partial(_read_uses, dataset),
        partial(read_visits, dataset, observations),
    )
    dropped = sorted({*left_out, *of_runs, *of_tools})
    notes = [
        f"{name} has too many values to be compared one by one; it was left out of the profile." for name in dropped
    ]
    notes += dict.fromkeys(note for note in (uses.note, long.note, visits.note) if note)
    return Profile(dataset.periods, steps, runs, visits, tools, tuple(notes), uses=uses, long=long)


def _read_tools(dataset: Dataset) -> tuple[Cells | str, list[str]]:
    try:
        return _read(dataset, _tools, TOOL_DIMENSIONS)
    except (QueryFailed, PermissionMissing) as error:
        if isinstance(error, QueryFailed) and error.retryable:
            raise
        return error.message, []


def read_some_steps(dataset: Dataset, counts: Mapping[str, str], where: str) -> Cells:
    """Cells of the observations that meet a condition, for what would be too dear to read of all of them.

    The sum ``calls`` counts them.

    Args:
        counts: name of a sum → SQL condition on the observations that it counts.
        where: SQL condition on an observation.
    """
    sums = "".join(f", countIf({condition}) AS {name}" for name, condition in counts.items())

    def build(dropped: frozenset[str]) -> tuple[str, Needs, tuple[str, ...]]:
        dimensions = _dimensions(STEP_DIMENSIONS, dropped, {})
        sql = f"""SELECT {_DAY % "start_time"}, {dimensions}, count() AS calls{sums}
FROM observations WHERE {where} GROUP BY ALL"""
        return sql, Needs(trace=True), ("observations",)

    return _read(dataset, build, STEP_DIMENSIONS)[0]


def look_closer(dataset: Dataset, cells: Cells, counts: Mapping[str, str], where: str) -> Cohorts:
    """The cells of `read_some_steps` once more, by what traces carry: of the steps of which there is something to ask.

    Args:
        cells: what `read_some_steps` gave for the same counts and condition.
    """
    sums = "".join(f", {condition} AS {name}" for name, condition in counts.items())
    source = f"""SELECT trace_id, start_time, environment, type, name, 1 AS calls{sums}
      FROM observations WHERE {where} AND {CHOSEN}"""
    return read_shares(dataset, cells, dict.fromkeys(counts, "calls"), source)


_TOO_MANY_ROWS = 396

_Build = Callable[[frozenset[str]], tuple[str, Needs, tuple[str, ...]]]
"""What is left out → the query, what it needs, and the relations that it names."""


def _read(dataset: Dataset, build: _Build, dimensions: tuple[str, ...]) -> tuple[Cells, list[str]]:
    dropped: list[str] = []
    for drop in ("", "release", "version", "trace_name"):
        if drop:
            dropped.append(drop)
        sql, needs, relations = build(frozenset(dropped))
        try:
            columns = dataset.columns(
                dataset.bind(sql, relations, needs), {"settled": dataset.periods.window.end - SETTLE}
            )
        except QueryFailed as error:
            if error.code != _TOO_MANY_ROWS or drop == "trace_name":
                raise
            continue
        return Cells.read(columns, dimensions), dropped
    raise AssertionError("unreachable: the last try returns or raises")


def _dimensions(names: tuple[str, ...], dropped: frozenset[str], renamed: dict[str, str]) -> str:
    return ", ".join(
        f"'' AS {name}" if name in dropped else f"{renamed[name]} AS {name}" if name in renamed else name
        for name in names
    )


def _steps(dropped: frozenset[str]) -> tuple[str, Needs, tuple[str, ...]]:
    return (
        f"""
SELECT {_DAY % "start_time"}, {_dimensions(STEP_DIMENSIONS, dropped, {})},
  count() AS n, countIf(level = 'ERROR') AS errors,
  countIf(type != 'EVENT' AND start_time < {{settled:DateTime64(6, 'UTC')}}) AS due,
  countIf(type != 'EVENT' AND start_time < {{settled:DateTime64(6, 'UTC')}} AND end_time IS NULL) AS unfinished,
  {_TIMED},
  {_STREAMED},
  {_LACKING},
  {_CACHED},
  {_SPENT}
FROM observations
GROUP BY ALL""",
        Needs(trace=True),
        ("observations",),
    )


def _runs(dropped: frozenset[str]) -> tuple[str, Needs, tuple[str, ...]]:
    return (
        f"""
SELECT {_DAY % "timestamp"}, {_dimensions(RUN_DIMENSIONS, dropped, {"trace_name": "name"})},
  count() AS n, countIf(user_id = '') AS no_user, countIf(session_id = '') AS no_session,
  countIf(release = '' AND version = '') AS no_release, countIf({USED}) AS used,
  countIf({USED} AND {GIVES_NO_FEEDBACK}) AS no_feedback,
  {LONG},
  {_TIMED},
  {_SPENT}
FROM traces
GROUP BY ALL""",
        Needs(totals=True),
        ("traces", "scores"),
    )


def _tools(dropped: frozenset[str]) -> tuple[str, Needs, tuple[str, ...]]:
    dimensions = ("trace_name", "environment", "release", "version")
    of_trace = "".join(f"'' AS {name}, " if name in dropped else f"max(o.{name}) AS {name}, " for name in dimensions)
    return (
        f"""
SELECT {_DAY % "start_time"}, {", ".join(TOOL_DIMENSIONS)},
  count() AS uses, countIf(repeats >= {REPEATS}) AS looping, sum(calls) AS calls, sum(failed) AS failed,
  sum(errors) AS errors, sum(searches) AS searches, sum(empty) AS empty
FROM ({_uses(of_trace)})
GROUP BY ALL""",
        Needs(trace=True),
        ("observations",),
    )


def _uses(of_trace: str, also: str = "1") -> str:
    """SQL of the uses of a tool in a trace, a row each: how often an input repeats, and what was answered."""
    return f"""
  SELECT {of_trace}any(o.type) AS type, any(o.name) AS name, min(o.start_time) AS start_time,
    arrayMax(arrayEnumerateUniq(groupArrayArray(o.keys))) AS repeats,
    countIf(o.is_quiet) AS calls, countIf(o.is_error) AS errors, countIf(o.is_error OR o.is_empty) AS failed,
    countIf(o.is_search) AS searches, countIf(o.finds_nothing) AS empty
  FROM (
    SELECT *, {QUIET} AS is_quiet, is_quiet AND {LOOKS_FAILED} AS is_error, is_quiet AND {LOOKS_EMPTY} AS is_empty,
      {SEARCHES} AS is_search, is_search AND {FINDS_NOTHING} AS finds_nothing,
      {input_keys("level = 'ERROR' OR is_error OR finds_nothing")} AS keys
    FROM observations
    WHERE {TOOLS} AND {also}
  ) AS o
  GROUP BY cityHash64(o.trace_id, o.type, o.name)
"""


_USES_OF_STEPS = f"""SELECT trace_id, start_time, environment, type, name, 1 AS uses, repeats >= {REPEATS} AS looping,
  searches, empty, calls, failed
FROM ({_uses("any(o.trace_id) AS trace_id, max(o.environment) AS environment, ", CHOSEN)})"""


_SHARES = {"looping": "uses", "empty": "searches", "failed": "calls"}


def _read_uses(dataset: Dataset) -> tuple[Cells | str, list[str], Cohorts]:
    """The tools, and those of which there is something to ask by what their traces carry as well."""
    tools, dropped = _read_tools(dataset)
    if isinstance(tools, str) or not len(tools):
        return tools, dropped, Cohorts({})
    return tools, dropped, read_shares(dataset, tools, _SHARES, _USES_OF_STEPS)


_STEPS_OF_TRACES = f"""SELECT any(o.trace_id) AS trace_id, min(o.start_time) AS start_time,
  max(o.environment) AS environment, '' AS type, '' AS name, 1 AS traces,
  count() > transform(max(o.trace_name), {{apps:Array(String)}}, {{bounds:Array(UInt64)}}, 4294967295) AS long
FROM (SELECT trace_id, start_time, environment, trace_name FROM observations WHERE {CHOSEN_APPS}) AS o
GROUP BY cityHash64(o.trace_id)"""


def _read_runs(dataset: Dataset) -> tuple[Cells, list[str], Cohorts]:
    """The traces, and those of apps in which some are long by what they carry as well."""
    runs, dropped = _read(dataset, _runs, RUN_DIMENSIONS)
    if "trace_name" in dropped:
        return runs, dropped, Cohorts({})
    cells, bounds = with_bound(runs)
    counted = replace(cells, sums={"traces": cells.sums["n"], "long": cells.sums["long"]})
    given = {"apps": list(bounds), "bounds": list(bounds.values())}
    return runs, dropped, read_shares(dataset, counted, {"long": "traces"}, _STEPS_OF_TRACES, given)
