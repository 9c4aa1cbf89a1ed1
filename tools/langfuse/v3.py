"""Langfuse's v3 tables (traces, observations, scores) as the logical relations."""

from __future__ import annotations

from dataclasses import dataclass

from hansei.tools.langfuse.relations import (
    Needs,
    SchemaVersion,
    environments,
    id_key,
    in_range,
    in_spans,
    newest,
    same_id,
    tokens,
)

_MOST_DATES = 65_535
"""Dates on which a trace may have rows: all that there are."""


@dataclass(frozen=True)
class V3:
    """Adapter for the v3 tables in `database`.

    `has_experiments` tells whether dataset_run_items_rmt is there to tell experiment traces from production,
    `has_tools` whether definitions of tools were found, `tools_in_inputs` that they stand in the inputs of the calls,
    `has_moved_traces` whether a trace has rows on several dates: the table's key holds the date, so all of them stay.
    The newest is the trace.
    """

    database: str
    has_experiments: bool = False
    has_tools: bool = False
    tools_in_inputs: bool = False
    has_moved_traces: bool = False
    version: SchemaVersion = "v3"

    def _table(self, name: str) -> str:
        return f"`{self.database}`.`{name}`"

    def _no_experiment(self, column: str) -> str:
        if not self.has_experiments:
            return ""
        return (
            f" AND {column} NOT IN (SELECT trace_id FROM {self._table('dataset_run_items_rmt')}"
            " WHERE project_id = {project_id:String})"
        )

    def _not_moved(self, rows: str) -> str:
        """Condition that a row of traces is the newest of its id.

        Args:
            rows: a SELECT of id, day and moment of one row per id and date, without deleted ones.
        """
        if not self.has_moved_traces:
            return ""
        return f""" AND cityHash64(id, toDate(timestamp)) NOT IN (
        SELECT cityHash64(id, day) FROM ({rows})
        ORDER BY moment DESC, day DESC LIMIT {_MOST_DATES} OFFSET 1 BY {id_key("id")}
      )"""

    def definitions(self, relations: frozenset[str], needs: Needs) -> dict[str, str]:
        out: dict[str, str] = {}
        if "traces" in relations:
            out["traces"] = self._traces_with_totals() if needs.totals else self._traces()
        if "observations" in relations:
            rows = self._observations(only=needs.only, tools=needs.tools)
            out["observations"] = self._with_trace(rows) if needs.trace else rows
        if "scores" in relations:
            out["scores"] = self._with_trace(self._scores(), versions=True) if needs.trace else self._scores()
        if "nearby_traces" in relations:
            out["nearby_traces"] = self._traces(slack=True)
        if "nearby_observations" in relations:
            out["nearby_observations"] = self._observations(slack=True)
        return out

    def widest(self, traces: str = "") -> dict[str, str]:
        return {
            "traces": self._traces_with_totals(slack=True),
            "observations": self._with_trace(self._observations(slack=True), traces=traces),
            "scores": self._with_trace(self._scores(), versions=True, traces=traces),
        }

    def _traces(self, *, slack: bool = False) -> str:
        # A newer row just outside the range counts as well, so that all relations take the same one.
        rows = f"""SELECT id, toDate(timestamp) AS day, event_ts AS moment FROM {self._table("traces")} FINAL
        WHERE project_id = {{project_id:String}} AND {in_range("timestamp", slack=True)}"""
        return f"""SELECT id, timestamp, ifNull(name, '') AS name, ifNull(user_id, '') AS user_id,
      ifNull(session_id, '') AS session_id, environment, ifNull(release, '') AS release,
      ifNull(version, '') AS version, tags, metadata, ifNull(input, '') AS input, ifNull(output, '') AS output
    FROM {self._table("traces")} FINAL
    WHERE project_id = {{project_id:String}} AND {in_range("timestamp", slack=slack)}
      AND {environments()}{self._no_experiment("id")}{self._not_moved(rows)}"""

    def observations_of(self, rows: str) -> str:
        """The relation over rows of the table that somebody else has freed of superseded and deleted ones."""
        return self._observations(slack=True, rows=rows)

    def _observations(self, *, slack: bool = False, only: str = "", tools: bool = False, rows: str = "") -> str:
        definitions = ""
        if tools:
            definitions = f""",
      {OFFERED if self.tools_in_inputs else "tool_definitions"} AS tool_definitions"""
        return f"""SELECT id, trace_id, ifNull(parent_observation_id, '') AS parent_id, type,
      ifNull(name, '') AS name, start_time, end_time,
      dateDiff('millisecond', start_time, end_time) AS latency_ms,
      dateDiff('millisecond', start_time, completion_start_time) AS first_token_ms,
      level, ifNull(status_message, '') AS status_message, ifNull(provided_model_name, '') AS model,
      ifNull(prompt_name, '') AS prompt_name, ifNull(toString(prompt_version), '') AS prompt_version,
      ifNull(version, '') AS version, environment,
      if(provided_model_name != '' OR type IN ('GENERATION', 'EMBEDDING'), o.total_cost, NULL) AS total_cost,{tokens()},
      ifNull(model_parameters, '') AS model_parameters, metadata, ifNull(input, '') AS input,
      ifNull(output, '') AS output{definitions}
    FROM {f"({rows}) AS o" if rows else f"{self._table('observations')} AS o FINAL"}
    WHERE project_id = {{project_id:String}} AND {in_range("start_time", slack=slack)}
      AND {environments()}{self._no_experiment("trace_id")}{self._of_types(only)}"""

    def _of_types(self, only: str) -> str:
        """Condition on the type, which leads the table's key: a type is skipped unless a version of a row meets `only`.

        FINAL reads and merges all rows that the key does not rule out, whatever else is asked of them.
        """
        if not only:
            return ""
        return f""" AND type IN (
        SELECT type FROM (
          SELECT type, ifNull(name, '') AS name, ifNull(provided_model_name, '') AS model,
            ifNull(prompt_name, '') AS prompt_name, ifNull(toString(prompt_version), '') AS prompt_version
          FROM {self._table("observations")}
          WHERE project_id = {{project_id:String}} AND {in_range("start_time")}
        ) WHERE {only}
      )"""

    def _scores(self) -> str:
        return f"""SELECT id, timestamp, ifNull(trace_id, '') AS trace_id,
      ifNull(observation_id, '') AS observation_id, ifNull(session_id, '') AS session_id, name, value,
      ifNull(string_value, '') AS string_value, data_type, source, ifNull(comment, '') AS comment, environment
    FROM {self._table("scores")} FINAL
    WHERE project_id = {{project_id:String}} AND {in_range("timestamp")} AND {environments()}
      AND ifNull(dataset_run_id, '') = ''{self._no_experiment("ifNull(trace_id, '')")}"""

    def _with_trace(self, rows: str, *, versions: bool = False, traces: str = "") -> str:
        """`rows` joined with the trace they belong to; a row whose trace is missing keeps empty values.

        Args:
            versions: with the columns that scores have.
            traces: a table of traces; else they are read here.
        """
        wanted = "t.user_id AS user_id, t.release AS release, t.tags AS tags"
        if versions:
            wanted += ", t.version AS version, t.metadata AS metadata, t.input AS input"
        else:
            wanted += ", t.session_id AS session_id"
        return f"""SELECT r.*, t.name AS trace_name, {wanted}
    FROM ({rows}) AS r
    LEFT ANY JOIN {traces or f"({self._traces(slack=True)})"} AS t ON {same_id("r.trace_id", "t.id")}"""

    def _traces_with_totals(self, *, slack: bool = False) -> str:
        return f"""SELECT t.*, o.steps AS steps, o.errors AS errors, o.unfinished AS unfinished,
      if(o.steps = 0, NULL, o.latency_ms) AS latency_ms, if(o.costed = 0, NULL, o.total_cost) AS total_cost,
      if(o.counted = 0, NULL, o.input_tokens) AS input_tokens,
      if(o.counted = 0, NULL, o.output_tokens) AS output_tokens,
      if(o.counted = 0, NULL, o.total_tokens) AS total_tokens
    FROM ({self._traces(slack=slack)}) AS t
    LEFT ANY JOIN (
      SELECT {id_key("s.trace_id")} AS trace, count() AS steps, countIf(s.level = 'ERROR') AS errors,
        countIf(s.end_time IS NULL AND s.type != 'EVENT') AS unfinished,
        dateDiff('millisecond', min(s.start_time), max(coalesce(s.end_time, s.start_time))) AS latency_ms,
        count(s.total_cost) AS costed, sum(ifNull(s.total_cost, 0)) AS total_cost,
        count(s.total_tokens) AS counted, sum(ifNull(s.input_tokens, 0)) AS input_tokens,
        sum(ifNull(s.output_tokens, 0)) AS output_tokens, sum(ifNull(s.total_tokens, 0)) AS total_tokens
      FROM ({self._observations(slack=True)}) AS s
      GROUP BY trace
    ) AS o ON {id_key("t.id")} = o.trace"""

    def raw_columns(self, relation: str) -> tuple[str, ...]:
        return ("id", *_RAW[relation][0])

    def raw(self, relation: str) -> str:
        columns, key, time = _RAW[relation]
        skip = " AND ifNull(r.dataset_run_id, '') = ''" if relation == "scores" else ""
        cluster = {
            "traces": "r.id",
            "observations": "r.trace_id",
            "scores": "if(ifNull(r.trace_id, '') = '', r.id, r.trace_id)",
        }[relation]
        trace = {"traces": "id", "observations": "trace_id", "scores": "trace_id"}[relation]
        mine = f"""r.project_id = {{project_id:String}} AND {in_spans(f"r.{time}", slack=True)}{skip}
        AND cityHash64({cluster}) % {{sample:UInt64}} = 0"""
        found = newest({"id": "r.id", **columns}, self._table(relation), key, mine) + self._no_experiment(trace)
        if relation != "traces":
            return found
        return found + self._not_moved(f"""SELECT r.id AS id, toDate(r.timestamp) AS day, max(r.event_ts) AS moment
        FROM {self._table(relation)} AS r WHERE {mine} GROUP BY id, day HAVING argMax(r.is_deleted, r.event_ts) = 0""")


_TOOL = "if(JSONHas(t, 'function'), JSONExtractRaw(t, 'function'), t)"
OFFERED = f"""mapFromArrays(arrayMap(t -> JSONExtractString({_TOOL}, 'name'),
        arrayDistinct(JSONExtractArrayRaw(ifNull(o.input, ''), 'tools')) AS offered), offered)"""
"""What stands under ``tools`` in a call's input, as OpenAI's clients write it, name → JSON."""

_COST = "if(r.provided_model_name != '' OR r.type IN ('GENERATION', 'EMBEDDING'), r.total_cost, NULL)"
_RAW: dict[str, tuple[dict[str, str], tuple[str, ...], str]] = {
    "traces": (
        {
            "timestamp": "r.timestamp",
            "name": "ifNull(r.name, '')",
            "user_id": "ifNull(r.user_id, '')",
            "session_id": "ifNull(r.session_id, '')",
            "environment": "r.environment",
            "release": "ifNull(r.release, '')",
            "version": "ifNull(r.version, '')",
            "tags": "r.tags",
            "metadata": "r.metadata",
            "input": "ifNull(r.input, '')",
            "output": "ifNull(r.output, '')",
        },
        ("toDate(r.timestamp)", "r.id"),
        "timestamp",
    ),
    "observations": (
        {
            "type": "r.type",
            "trace_id": "ifNull(r.trace_id, '')",
            "name": "ifNull(r.name, '')",
            "start_time": "r.start_time",
            "end_time": "r.end_time",
            "completion_start_time": "r.completion_start_time",
            "level": "r.level",
            "status_message": "ifNull(r.status_message, '')",
            "model": "ifNull(r.provided_model_name, '')",
            "prompt_name": "ifNull(r.prompt_name, '')",
            "prompt_version": "ifNull(toString(r.prompt_version), '')",
            "version": "ifNull(r.version, '')",
            "environment": "r.environment",
            "total_cost": _COST,
            "usage_details": "r.usage_details",
            "model_parameters": "ifNull(r.model_parameters, '')",
            "metadata": "r.metadata",
            "input": "ifNull(r.input, '')",
            "output": "ifNull(r.output, '')",
        },
        ("r.type", "toDate(r.start_time)", "r.id"),
        "start_time",
    ),
    "scores": (
        {
            "timestamp": "r.timestamp",
            "trace_id": "ifNull(r.trace_id, '')",
            "session_id": "ifNull(r.session_id, '')",
            "name": "r.name",
            "value": "r.value",
            "string_value": "ifNull(r.string_value, '')",
            "data_type": "r.data_type",
            "source": "r.source",
            "environment": "r.environment",
        },
        ("toDate(r.timestamp)", "r.name", "r.id"),
        "timestamp",
    ),
}
