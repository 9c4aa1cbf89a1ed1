"""The SQL of an import: what arrives as text, by the names of Langfuse's exports, becomes rows of Langfuse's tables.

Everything arrives in one table of nullable texts, whether it was JSON, CSV, Parquet or a page of the API: objects and
arrays as JSON, times in any form with a date first. So each kind of record is turned into rows in one way.
"""

from __future__ import annotations

from typing import Literal

Kind = Literal["observations_v2", "observations", "traces", "scores"]
KINDS: tuple[Kind, ...] = ("observations_v2", "observations", "traces", "scores")

TABLE_OF: dict[Kind, str] = {
    "observations_v2": "observations", "observations": "observations", "traces": "traces", "scores": "scores",
}  # fmt: skip

_OBSERVATION = (
    "id", "trace_id", "project_id", "environment", "type", "parent_observation_id", "start_time", "end_time", "name",
    "metadata", "level", "status_message", "version", "input", "output", "provided_model_name", "model_parameters",
    "usage_details", "cost_details", "completion_start_time", "prompt_id", "prompt_name", "prompt_version",
    "total_cost", "model_id", "created_at", "updated_at", "tool_calls", "tool_call_names", "tool_definitions",
    "usage_pricing_tier_id", "usage_pricing_tier_name",
)  # fmt: skip
_OF_THE_TRACE = ("user_id", "session_id", "trace_name", "tags", "release", "bookmarked", "public")

COLUMNS: dict[Kind, tuple[str, ...]] = {
    "observations_v2": (*_OBSERVATION, *_OF_THE_TRACE),
    "observations": _OBSERVATION,
    "traces": (
        "id", "timestamp", "name", "environment", "project_id", "metadata", "user_id", "session_id", "release",
        "version", "public", "bookmarked", "tags", "input", "output", "created_at", "updated_at",
    ),
    "scores": (
        "id", "timestamp", "project_id", "environment", "trace_id", "observation_id", "session_id", "dataset_run_id",
        "name", "value", "source", "comment", "data_type", "string_value", "created_at", "updated_at", "metadata",
        "author_user_id", "config_id", "queue_id", "execution_trace_id",
    ),
}  # fmt: skip
"""The columns of each kind that are read; an export that lacks some leaves them empty."""

ALL_COLUMNS = tuple(dict.fromkeys(name for kind in KINDS for name in COLUMNS[kind]))

CREATE = (
    f"CREATE TABLE IF NOT EXISTS {{staging}}.incoming ({', '.join(f'{name} Nullable(String)' for name in ALL_COLUMNS)})"
    " ENGINE = MergeTree ORDER BY tuple()",
    # What belongs to a trace is only told by its observations, which come in any order and over several imports.
    """CREATE TABLE IF NOT EXISTS {staging}.spans
(
    project_id String, trace_id String, id String, is_root UInt8, start_time DateTime64(3), name String,
    trace_name String, user_id String, session_id String, release String, version String, tags Array(String),
    environment String, public Bool, bookmarked Bool, metadata Map(String, String), input String, output String,
    created_at DateTime64(3), updated_at DateTime64(3)
) ENGINE = ReplacingMergeTree(updated_at) ORDER BY (project_id, trace_id, id)""",
    # What this import brought, to be counted and read back. `relation` is the table.
    """CREATE TABLE IF NOT EXISTS {staging}.seen (relation String, project_id String, id String, trace_id String)
ENGINE = ReplacingMergeTree ORDER BY (relation, project_id, id)""",
    """CREATE TABLE IF NOT EXISTS {staging}.progress (source String, state String, number UInt64)
ENGINE = ReplacingMergeTree(number) ORDER BY source""",
)


def _time(column: str, otherwise: str = "") -> str:
    parsed = f"parseDateTime64BestEffortOrNull(nullIf({column}, ''), 3, 'UTC')"
    return f"coalesce({parsed}, {otherwise})" if otherwise else parsed


def _text(column: str) -> str:
    return f"nullIf({column}, '')"


def _map(column: str) -> str:
    """A JSON object as a map of texts: texts as they are, everything else as JSON."""
    pairs = f"JSONExtractKeysAndValuesRaw(ifNull({column}, '{{{{}}}}'))"
    plain = "if(startsWith(pair.2, '\"'), JSONExtractString(pair.2), pair.2)"
    return f"mapFromArrays(arrayMap(pair -> pair.1, {pairs}), arrayMap(pair -> {plain}, {pairs}))"


def _numbers(column: str, to: str) -> str:
    """A JSON object of numbers as a map; what is no number is left out."""
    pairs = f"JSONExtractKeysAndValuesRaw(ifNull({column}, '{{{{}}}}'))"
    read = f"arrayFilter(pair -> isNotNull(pair.2), arrayMap(pair -> (pair.1, {to}), {pairs}))"
    return f"mapFromArrays(arrayMap(pair -> pair.1, {read}), arrayMap(pair -> assumeNotNull(pair.2), {read}))"


def _list(column: str) -> str:
    return f"JSONExtract(ifNull({column}, '[]'), 'Array(String)')"


_UINT = "toUInt64OrNull(toString(toInt64OrZero(splitByChar('.', pair.2)[1])))"
_MONEY = "toDecimal64OrNull(trim(BOTH '\"' FROM pair.2), 12)"
_SYNTHETIC = "(id = concat('t-', trace_id) AND ifNull(parent_observation_id, '') = '')"
"""The root that Langfuse 4 makes of a trace of Langfuse 3: it carries what belongs to the trace, and is no step."""

_OBSERVATIONS = f"""INSERT INTO {{tables}}.observations
  (id, trace_id, project_id, environment, type, parent_observation_id, start_time, end_time, name, metadata, level,
   status_message, version, input, output, provided_model_name, internal_model_id, model_parameters,
   provided_usage_details, usage_details, provided_cost_details, cost_details, total_cost, usage_pricing_tier_id,
   usage_pricing_tier_name, tool_definitions, tool_calls, tool_call_names, completion_start_time, prompt_id,
   prompt_name, prompt_version, created_at, updated_at, event_ts, is_deleted)
SELECT assumeNotNull(r.id), ifNull(r.trace_id, ''), assumeNotNull(r.project_id),
  coalesce({_text("r.environment")}, 'default'), coalesce({_text("r.type")}, 'SPAN'),
  if(r.parent_observation_id = concat('t-', r.trace_id), NULL, {_text("r.parent_observation_id")}),
  {_time("r.start_time", "toDateTime64(0, 3, 'UTC')")} AS start, {_time("r.end_time")}, ifNull(r.name, ''),
  {_map("r.metadata")}, coalesce({_text("r.level")}, 'DEFAULT'), {_text("r.status_message")}, {_text("r.version")},
  {_text("r.input")}, {_text("r.output")}, {_text("r.provided_model_name")}, {_text("r.model_id")},
  {_text("r.model_parameters")}, map(), {_numbers("r.usage_details", _UINT)}, map(),
  {_numbers("r.cost_details", _MONEY)} AS costs,
  if(empty(costs), nullIf(toDecimal64OrNull(r.total_cost, 12), 0), toDecimal64OrNull(r.total_cost, 12)),
  {_text("r.usage_pricing_tier_id")}, {_text("r.usage_pricing_tier_name")}, {_map("r.tool_definitions")},
  {_list("r.tool_calls")}, {_list("r.tool_call_names")}, {_time("r.completion_start_time")}, {_text("r.prompt_id")},
  {_text("r.prompt_name")}, toUInt16OrNull(r.prompt_version), {_time("r.created_at", "start")} AS created,
  {_time("r.updated_at", "created")} AS updated, updated, 0
FROM {{staging}}.incoming AS r
WHERE NOT (r.id = concat('t-', ifNull(r.trace_id, '')) AND ifNull(r.parent_observation_id, '') = '')"""

_SPANS = f"""INSERT INTO {{staging}}.spans
SELECT assumeNotNull(r.project_id), ifNull(r.trace_id, ''), assumeNotNull(r.id),
  ifNull(r.parent_observation_id, '') = '' AS root, {_time("r.start_time", "toDateTime64(0, 3, 'UTC')")} AS start,
  ifNull(r.name, ''), ifNull(r.trace_name, ''), ifNull(r.user_id, ''), ifNull(r.session_id, ''), ifNull(r.release, ''),
  ifNull(r.version, ''), {_list("r.tags")}, coalesce({_text("r.environment")}, 'default'), r.public IN ('true', '1'),
  r.bookmarked IN ('true', '1'), if(root, {_map("r.metadata")}, map()), if(root, ifNull(r.input, ''), ''),
  if(root, ifNull(r.output, ''), ''), {_time("r.created_at", "start")} AS created, {_time("r.updated_at", "created")}
FROM {{staging}}.incoming AS r WHERE ifNull(r.trace_id, '') != ''"""

_TRACES = f"""INSERT INTO {{tables}}.traces
  (id, timestamp, name, user_id, metadata, release, version, project_id, environment, public, bookmarked, tags, input,
   output, session_id, created_at, updated_at, event_ts, is_deleted)
SELECT assumeNotNull(r.id), {_time("r.timestamp", "toDateTime64(0, 3, 'UTC')")} AS start, ifNull(r.name, ''),
  {_text("r.user_id")}, {_map("r.metadata")}, {_text("r.release")}, {_text("r.version")}, assumeNotNull(r.project_id),
  coalesce({_text("r.environment")}, 'default'), r.public IN ('true', '1'), r.bookmarked IN ('true', '1'),
  {_list("r.tags")}, {_text("r.input")}, {_text("r.output")}, {_text("r.session_id")},
  {_time("r.created_at", "start")} AS created, {_time("r.updated_at", "created")} AS updated, updated, 0
FROM {{staging}}.incoming AS r"""

_SCORES = f"""INSERT INTO {{tables}}.scores
  (id, timestamp, project_id, environment, trace_id, session_id, dataset_run_id, observation_id, execution_trace_id,
   name, value, source, comment, metadata, author_user_id, config_id, data_type, string_value, queue_id, created_at,
   updated_at, event_ts, is_deleted)
SELECT assumeNotNull(r.id), {_time("r.timestamp", "toDateTime64(0, 3, 'UTC')")} AS start, assumeNotNull(r.project_id),
  coalesce({_text("r.environment")}, 'default'), {_text("r.trace_id")}, {_text("r.session_id")},
  {_text("r.dataset_run_id")}, {_text("r.observation_id")}, {_text("r.execution_trace_id")}, ifNull(r.name, ''),
  multiIf(r.value = 'true', 1, r.value = 'false', 0, toFloat64OrZero(r.value)), ifNull(r.source, 'API'),
  {_text("r.comment")}, {_map("r.metadata")}, {_text("r.author_user_id")}, {_text("r.config_id")},
  coalesce({_text("r.data_type")}, 'NUMERIC') AS kind,
  if(kind = 'BOOLEAN', if(r.value IN ('true', '1', '1.0'), 'True', 'False'), {_text("r.string_value")}),
  {_text("r.queue_id")}, {_time("r.created_at", "start")} AS created, {_time("r.updated_at", "created")} AS updated,
  updated, 0
FROM {{staging}}.incoming AS r"""

CONVERT: dict[Kind, tuple[str, ...]] = {
    "observations_v2": (_OBSERVATIONS, _SPANS),
    "observations": (_OBSERVATIONS,),
    "traces": (_TRACES,),
    "scores": (_SCORES,),
}


def seen(kind: Kind) -> str:
    """What the incoming rows are, for the counts at the end."""
    relation = f"if({_SYNTHETIC}, 'root', 'observations')" if kind == "observations_v2" else f"'{TABLE_OF[kind]}'"
    trace = "id" if kind == "traces" else "ifNull(trace_id, '')"
    return (
        f"INSERT INTO {{staging}}.seen SELECT {relation}, assumeNotNull(project_id), assumeNotNull(id), {trace}"
        " FROM {staging}.incoming"
    )


_TOUCHED = """(SELECT project_id, trace_id FROM {staging}.seen
  WHERE relation IN ('observations', 'root') AND trace_id != ''
    AND (project_id, trace_id) IN (SELECT project_id, trace_id FROM {staging}.spans))"""

TRACE_COLUMNS = (
    "id, timestamp, name, user_id, metadata, release, version, project_id, environment, public, bookmarked, tags,"
    " input, output, session_id, created_at, updated_at, event_ts, is_deleted"
)

BUILD_TRACES = f"""INSERT INTO {{tables}}.traces ({TRACE_COLUMNS})
SELECT trace_id, if(any_root, root_start, first_start) AS start, if(named != '', named, root_name), nullIf(user, ''),
  root_metadata, nullIf(released, ''), nullIf(root_version, ''), project_id, root_environment, is_public, is_bookmarked,
  all_tags, nullIf(root_input, ''), nullIf(root_output, ''), nullIf(session, ''), created, updated, updated, 0
FROM
(
  SELECT project_id, trace_id, max(is_root) AS any_root, min(start_time) AS first_start,
    argMin((start_time, name, metadata, version, environment, input, output),
      (NOT is_root, id != concat('t-', trace_id), start_time, id)) AS root,
    root.1 AS root_start, root.2 AS root_name, root.3 AS root_metadata, root.4 AS root_version,
    root.5 AS root_environment, root.6 AS root_input, root.7 AS root_output, max(trace_name) AS named,
    max(user_id) AS user, max(session_id) AS session, max(release) AS released, max(public) AS is_public,
    max(bookmarked) AS is_bookmarked, arraySort(groupUniqArrayArray(tags)) AS all_tags, min(created_at) AS created,
    max(updated_at) AS updated
  FROM {{staging}}.spans FINAL
  WHERE (project_id, trace_id) IN {_TOUCHED}
  GROUP BY project_id, trace_id
)"""

# A trace whose first step came late has moved to another day, and with it to another key: the row of the old day goes,
# by a row that is a moment newer.
FORGET_MOVED = f"""INSERT INTO {{tables}}.traces (id, timestamp, name, project_id, created_at, updated_at, event_ts,
  is_deleted)
SELECT id, timestamp, name, project_id, created_at, updated_at, event_ts + toIntervalMillisecond(1), 1
FROM {{tables}}.traces FINAL
WHERE is_deleted = 0 AND (project_id, id) IN {_TOUCHED}
  AND (project_id, id, toDate(timestamp)) NOT IN
  (
    SELECT project_id, trace_id, toDate(if(max(is_root) = 1,
      argMin(start_time, (NOT is_root, id != concat('t-', trace_id), start_time, id)), min(start_time)))
    FROM {{staging}}.spans FINAL
    WHERE (project_id, trace_id) IN {_TOUCHED}
    GROUP BY project_id, trace_id
  )"""

RECEIVED = f"""SELECT relation, project_id, count() FROM
(
  SELECT DISTINCT relation, project_id, id FROM {{staging}}.seen WHERE relation IN ('observations', 'traces', 'scores')
  UNION DISTINCT
  SELECT 'traces', project_id, trace_id FROM {_TOUCHED}
)
GROUP BY relation, project_id ORDER BY project_id, relation"""

READ_BACK = {
    "observations": """SELECT project_id, uniqExact(id) FROM {tables}.observations FINAL
WHERE (project_id, id) IN (SELECT project_id, id FROM {staging}.seen WHERE relation = 'observations')
GROUP BY project_id""",
    "scores": """SELECT project_id, uniqExact(id) FROM {tables}.scores FINAL
WHERE (project_id, id) IN (SELECT project_id, id FROM {staging}.seen WHERE relation = 'scores')
GROUP BY project_id""",
    "traces": f"""SELECT project_id, uniqExact(id) FROM {{tables}}.traces FINAL
WHERE (project_id, id) IN (SELECT project_id, id FROM {{staging}}.seen WHERE relation = 'traces')
  OR (project_id, id) IN {_TOUCHED}
GROUP BY project_id""",
}
