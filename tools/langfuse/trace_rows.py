"""Rows of single traces, found by their ids: the only queries that look at traces instead of at a project.

They take out what the logical relations take out (other projects, what lies outside the time range, superseded and
deleted rows, foreign environments, experiments), but without FINAL, which would merge all rows of the days that a trace
touches: here the traces' few rows are found first, by the index on their ids, and the newest version of each is taken.
Only the query that is kept as evidence asks the logical relation: within the moments of the trace that is cheap, too,
and so it can be verified like any other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from hansei.contracts import Evidence, parse_instant
from hansei.tools.langfuse.dataset import Dataset
from hansei.tools.langfuse.narrowing import bound
from hansei.tools.langfuse.relations import environments, in_range
from hansei.tools.langfuse.v3 import V3
from hansei.tools.langfuse.v4 import V4

MOST_STEPS = 5_000
"""Observations of one trace that are read: those that failed, then the earliest."""

MOST_ROWS = 50_000
"""Observations of several traces: of each as many as of any other."""

MOST_SCORES = 50

SIDE = 20_000
"""Characters that are read of each end of a long text."""


@dataclass(frozen=True)
class Span:
    """When the observations of a trace begin, from the first to the last of them, UTC."""

    first: datetime
    last: datetime


def read_spans(dataset: Dataset, trace_ids: Sequence[str]) -> dict[str, Span]:
    """Where in time traces lie, by their ids; without those of which the dataset holds no row."""
    adapter = _known(dataset)
    if isinstance(adapter, V4):
        sql = f"""SELECT trace_id, min(start_time), max(start_time), max(experiment_id) != ''
FROM {_table(adapter)} WHERE {_MINE} AND {in_range("start_time", slack=True)} GROUP BY trace_id"""
    else:
        sql = f"""SELECT trace_id, min(first), max(last), {_in_experiment(adapter)} FROM (
  SELECT id AS trace_id, min(timestamp) AS first, max(timestamp) AS last FROM {_table(adapter, "traces")}
  WHERE project_id = {{project_id:String}} AND id IN {{trace_ids:Array(String)}} AND {in_range("timestamp")}
  GROUP BY id
  UNION ALL
  SELECT ifNull(trace_id, '') AS trace_id, min(start_time), max(start_time) FROM {_table(adapter, "observations")}
  WHERE {_MINE} AND {in_range("start_time", slack=True)} GROUP BY trace_id
) GROUP BY trace_id"""
    found = dataset.ask("trace.span", "trace: when", sql, {"trace_ids": list(trace_ids)})
    return {
        str(id): Span(parse_instant(str(first)), parse_instant(str(last)))
        for id, first, last, experiment in found.rows
        if not experiment
    }


def read_trace_rows(dataset: Dataset, spans: Mapping[str, Span]) -> dict[str, dict[str, Any]]:
    """The traces themselves, by id; without those that have no row of their own, or are deleted or not to be seen.

    Keys: id, timestamp, name, user_id, session_id, environment, release, version, tags, input_head, input_tail,
    input_characters, output_head, output_tail, output_characters.
    """
    adapter = _known(dataset)
    if isinstance(adapter, V4):
        # A trace is its spans; its texts are those of the root that was made for it, if there is one.
        first = "s.start_time, s.parent_span_id = ''"
        sql = f"""SELECT s.trace_id AS id, min(s.start_time) AS timestamp,
  coalesce(nullIf(max(s.trace_name), ''), argMinIf(s.name, {first})) AS name, max(s.user_id) AS user_id,
  max(s.session_id) AS session_id, max(s.environment) AS environment, max(s.release) AS release,
  argMinIf(s.version, {first}) AS version, argMinIf(s.tags, {first}) AS tags,
  {_texts("anyIf(s.{column}, s.span_id = concat('t-', s.trace_id))")}
FROM ({_newest(_full(adapter), f"{_MINE} AND {_BETWEEN}", "trace_id, span_id")}) AS s
WHERE {environments("s.environment")} GROUP BY s.trace_id"""
    else:
        mine = f"project_id = {{project_id:String}} AND id IN {{trace_ids:Array(String)}} AND {_between('timestamp')}"
        sql = f"""SELECT id, timestamp, ifNull(name, '') AS name, ifNull(user_id, '') AS user_id,
  ifNull(session_id, '') AS session_id, environment, ifNull(release, '') AS release, ifNull(version, '') AS version,
  tags, {_texts()}
FROM (
  SELECT * FROM ({_newest(_table(adapter, "traces"), mine, "id, toDate(timestamp)")})
  ORDER BY event_ts DESC, timestamp DESC LIMIT 1 BY id
) WHERE {environments()}"""
    found = _ask(dataset, "trace.row", "trace: its row", sql, spans)
    return {str(row["id"]): row for row in found.records()}


def read_steps(dataset: Dataset, spans: Mapping[str, Span], id: str) -> Evidence:
    """The traces' observations without their texts, at most `MOST_STEPS` of each and `MOST_ROWS` in all.

    Of a single trace this is evidence, so it asks the logical relation, over no more time than the trace took. Several
    lie far apart, and are found by their ids.

    Columns: trace_id, id, parent_id, type, name, start_time, latency_ms, level, status_message (first 2,000
    characters), model, prompt_name, prompt_version, total_cost (US dollars), input_tokens, output_tokens, finished, of
    (how many observations the trace has).
    """
    where = "trace_id = {trace_id:String}" if len(spans) == 1 else "1"
    sql = f"""SELECT trace_id, id, if(parent_id = concat('t-', trace_id), '', parent_id) AS parent_id, type, name,
  start_time, latency_ms, level, leftUTF8(toValidUTF8(status_message), 2000) AS status_message, model, prompt_name,
  prompt_version, toFloat64(total_cost) AS total_cost, input_tokens, output_tokens, end_time IS NOT NULL AS finished,
  count() OVER (PARTITION BY trace_id) AS of
FROM observations WHERE {where}
ORDER BY level = 'ERROR' DESC, start_time, id LIMIT {min(MOST_STEPS, MOST_ROWS // len(spans))} BY trace_id"""
    if len(spans) == 1:
        ((trace_id, span),) = spans.items()
        bounds = {"range_start": span.first, "range_end": span.last + timedelta(microseconds=1), "trace_id": trace_id}
        return dataset.ask(id, "trace", dataset.bind(sql, ("observations",)), bounds)
    adapter = _known(dataset)
    table = _table(adapter, "events_core" if isinstance(adapter, V4) else "observations")
    key = "trace_id, span_id" if isinstance(adapter, V4) else "id"
    rows = _newest(table, f"{_MINE} AND {_BETWEEN}", key)
    return _ask(dataset, id, "traces", bound({"observations": adapter.observations_of(rows)}, sql), spans)


def read_texts(
    dataset: Dataset, spans: Mapping[str, Span], ids: Sequence[str]
) -> dict[tuple[str, str], dict[str, Any]]:
    """Inputs and outputs of some observations of these traces, by trace and id, each cut to its two ends.

    Keys: trace_id, id, input_head, input_tail, input_characters, output_head, output_tail, output_characters. A tail is
    empty where the text is whole.
    """
    if not ids:
        return {}
    adapter = _known(dataset)
    table, key = (_full(adapter), "span_id") if isinstance(adapter, V4) else (_table(adapter, "observations"), "id")
    chosen = f"{_MINE} AND {_BETWEEN} AND {key} IN {{ids:Array(String)}}"
    sql = f"""SELECT ifNull(trace_id, '') AS trace_id, {key} AS id, {_texts()}
FROM ({_newest(table, chosen, f"trace_id, {key}")}) WHERE {environments()}"""
    found = _ask(dataset, "trace.texts", "trace: its texts", sql, spans, {"ids": list(ids)})
    return {(str(row["trace_id"]), str(row["id"])): row for row in found.records()}


def read_scores(dataset: Dataset, trace_ids: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """Scores, at most `MOST_SCORES` of each trace, by its id.

    Keys: trace_id, observation_id, name, value, string_value, data_type, source, comment (first 500 characters).
    """
    mine = f"{_MINE} AND {in_range('timestamp', slack=True)}"
    sql = f"""SELECT ifNull(trace_id, '') AS trace_id, ifNull(observation_id, '') AS observation_id, name, value,
  ifNull(string_value, '') AS string_value, data_type, source,
  leftUTF8(toValidUTF8(ifNull(comment, '')), 500) AS comment
FROM ({_newest(_table(_known(dataset), "scores"), mine, "id, name")})
WHERE ifNull(dataset_run_id, '') = '' AND {environments()}
ORDER BY trace_id, name, id LIMIT {MOST_SCORES} BY trace_id"""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in dataset.ask("trace.scores", "trace: its scores", sql, {"trace_ids": list(trace_ids)}).records():
        found.setdefault(str(row["trace_id"]), []).append(row)
    return found


def _newest(table: str, where: str, key: str) -> str:
    """A SELECT of the newest version of each row of few, without those that are deleted."""
    return f"""SELECT * FROM (
  SELECT * FROM {table} WHERE {where}
  ORDER BY event_ts DESC, is_deleted DESC LIMIT 1 BY {key}
) WHERE is_deleted = 0"""


_MINE = "project_id = {project_id:String} AND trace_id IN {trace_ids:Array(String)}"


def _between(column: str) -> str:
    return f"{column} >= {{first:DateTime64(6, 'UTC')}} AND {column} <= {{last:DateTime64(6, 'UTC')}}"


_BETWEEN = _between("start_time")


def _texts(source: str = "{column}") -> str:
    """Columns with both ends and the length of input and output."""
    parts = []
    for name in ("input", "output"):
        text = f"ifNull({source.format(column=name)}, '')"
        short = f"lengthUTF8({text}) <= {2 * SIDE}"
        parts += [
            f"toValidUTF8(if({short}, {text}, leftUTF8({text}, {SIDE}))) AS {name}_head",
            f"toValidUTF8(if({short}, '', rightUTF8({text}, {SIDE}))) AS {name}_tail",
            f"lengthUTF8({text}) AS {name}_characters",
        ]
    return ",\n  ".join(parts)


def _known(dataset: Dataset) -> V3 | V4:
    if not isinstance(dataset.adapter, V3 | V4):
        raise TypeError(f"no queries for single traces over {type(dataset.adapter).__name__}")
    return dataset.adapter


def _table(adapter: V3 | V4, name: str = "events_core") -> str:
    return f"`{adapter.database}`.`{name}`"


def _full(adapter: V4) -> str:
    return _table(adapter, "events_full")


def _in_experiment(adapter: V3 | V4) -> str:
    if not isinstance(adapter, V3) or not adapter.has_experiments:
        return "0"
    runs = _table(adapter, "dataset_run_items_rmt")
    return f"trace_id IN (SELECT trace_id FROM {runs} WHERE {_MINE})"


def _ask(
    dataset: Dataset, id: str, purpose: str, sql: str, spans: Mapping[str, Span], more: dict[str, Any] | None = None
) -> Evidence:
    """Asks about traces, between the first and the last moment of any."""
    bounds = {
        "trace_ids": list(spans),
        "first": min(span.first for span in spans.values()),
        "last": max(span.last for span in spans.values()),
    }
    return dataset.ask(id, purpose, sql, {**bounds, **(more or {})})
