"""Langfuse's v4 tables (events_core, events_full, scores) as the logical relations.

A trace is its spans. A trace that was converted from v3 has one synthetic root span, ``'t-' || trace_id``, which
carries the trace's name and texts and is not an observation.
"""

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
from hansei.tools.langfuse.v3 import V3

_SYNTHETIC = "span_id = concat('t-', trace_id)"
_IS_ROOT_OF_V3 = "startsWith(e.span_id, 't-') AND e.span_id = concat('t-', e.trace_id)"
_ROOT_ORDER = (
    "toUnixTimestamp64Micro(e.start_time) * 2048 + cityHash64(e.span_id) % 2048"
    f" + if({_IS_ROOT_OF_V3}, 0, bitShiftLeft(toInt64(1), 62))"
)
"""Which of a trace's roots comes first, as one integer, since tuples take three times as long: the synthetic one, then
by start; where that is the same to the microsecond, in an order that is arbitrary but always the same."""
_CALLS_MODEL = "(provided_model_name != '' OR type IN ('GENERATION', 'EMBEDDING'))"

_TOTALS = """,
      countIf(e.real) AS steps, countIf(e.level = 'ERROR' AND e.real) AS errors,
      countIf(e.end_time IS NULL AND e.type != 'EVENT' AND e.real) AS unfinished,
      if(steps = 0, NULL,
        dateDiff('millisecond', minIf(e.start_time, e.real), maxIf(coalesce(e.end_time, e.start_time), e.real))) AS
        latency_ms,
      if(countIf(e.costed) = 0, NULL, sumIf(e.cost_details['total'], e.costed)) AS total_cost,
      if(countIf(e.counted) = 0, NULL, sumIf(ifNull(e.input_tokens, 0), e.counted)) AS input_tokens,
      if(countIf(e.counted) = 0, NULL, sumIf(ifNull(e.output_tokens, 0), e.counted)) AS output_tokens,
      if(countIf(e.counted) = 0, NULL, sumIf(ifNull(e.total_tokens, 0), e.counted)) AS total_tokens"""


@dataclass(frozen=True)
class V4:
    """Adapter for the v4 tables in `database`.

    Args:
        full_texts: read events_full, which holds whole inputs, outputs and metadata; events_core cuts them to 200
            characters and is what all figures are read from.
        attributes_on_spans: every span carries its trace's name, user and release, so no join is needed for them.
        all_named: every span carries a name of its trace, so it need not be looked for on the root.
        has_experiments: there are spans of experiments, so that all of their traces and scores must be left out.
        has_tools: there are definitions of tools.
    """

    database: str
    full_texts: bool = False
    attributes_on_spans: bool = True
    all_named: bool = False
    has_experiments: bool = False
    has_tools: bool = False
    version: SchemaVersion = "v4"

    @property
    def _events(self) -> str:
        return f"`{self.database}`.`{'events_full' if self.full_texts else 'events_core'}`"

    def definitions(self, relations: frozenset[str], needs: Needs) -> dict[str, str]:
        out: dict[str, str] = {}
        if "traces" in relations:
            out["traces"] = self._traces(totals=needs.totals)
        if "observations" in relations:
            rows = self._observations_with_trace if needs.trace else self._observations
            out["observations"] = rows(tools=needs.tools)
        if "scores" in relations:
            out["scores"] = self._with_trace(self._scores(), "version", few=True) if needs.trace else self._scores()
        if "nearby_traces" in relations:
            out["nearby_traces"] = self._traces(slack=True)
        if "nearby_observations" in relations:
            out["nearby_observations"] = self._observations(slack=True)
        return out

    def widest(self, traces: str = "") -> dict[str, str]:
        return {
            "traces": self._traces(totals=True, slack=True),
            "observations": self._observations_with_trace(slack=True, traces=traces),
            "scores": self._with_trace(self._scores(), "version", few=True, traces=traces),
        }

    def _where(self, *, slack: bool, row: str = "") -> str:
        """Condition on a span; `row` is the prefix of its columns, where their bare names mean something else."""
        return (
            f"{row}project_id = {{project_id:String}} AND {in_range(f'{row}start_time', slack=slack)}"
            f" AND {environments(f'{row}environment')}{self._no_experiment(f'{row}trace_id', row)}"
        )

    def _no_experiment(self, column: str, row: str | None = None) -> str:
        """Condition that a trace belongs to no experiment; not every span of one need say so, and no score does.

        Args:
            column: the trace's id.
            row: of a span, the prefix of its columns; None: no span.
        """
        if not self.has_experiments:
            return ""
        itself = "" if row is None else f" AND {row}experiment_id = ''"
        return (
            f"{itself} AND {column} NOT IN (SELECT trace_id FROM {self._events}"
            " WHERE project_id = {project_id:String} AND experiment_id != '')"
        )

    def observations_of(self, rows: str) -> str:
        """The relation over rows of the table that somebody else has freed of superseded and deleted ones."""
        return self._observations(slack=True, rows=rows)

    def _observations(self, *, trace: bool = False, tools: bool = False, slack: bool = False, rows: str = "") -> str:
        definitions = ", tool_definitions" if tools else ""
        attributes = "trace_name, user_id, session_id, release, tags, " if trace else ""
        return f"""SELECT span_id AS id, trace_id, parent_span_id AS parent_id, type, name, start_time, end_time,
      dateDiff('millisecond', start_time, end_time) AS latency_ms,
      dateDiff('millisecond', start_time, completion_start_time) AS first_token_ms,
      level, status_message, provided_model_name AS model, prompt_name,
      ifNull(toString(prompt_version), '') AS prompt_version, version, environment, {attributes}
      if({_CALLS_MODEL} AND mapContains(cost_details, 'total'), cost_details['total'], NULL) AS total_cost,{tokens()},
      model_parameters, mapFromArrays(metadata_names, metadata_values) AS metadata, input, output{definitions}
    FROM {f"({rows})" if rows else f"{self._events} FINAL"}
    WHERE {self._where(slack=slack)} AND NOT ({_SYNTHETIC})"""

    def _observations_with_trace(self, *, tools: bool = False, slack: bool = False, traces: str = "") -> str:
        if self.attributes_on_spans:
            return self._observations(trace=True, tools=tools, slack=slack)
        return self._with_trace(self._observations(tools=tools, slack=slack), "session_id", traces=traces)

    def _traces(self, *, totals: bool = False, slack: bool = False, of: str = "") -> str:
        """One row per trace; of those whose ids the SELECT `of` gives, if it is there.

        Its timestamp and texts are those of its root: the synthetic one, else the earliest span without a parent, else
        the first span. Attributes are the same on all spans of a trace or empty, so the greatest value is the one
        that is there.
        """
        root = "e.parent_span_id = ''"

        def at_root(what: str) -> str:
            return f"argMinIf({what}, {_ROOT_ORDER}, {root})"

        name = "max(e.trace_name)"
        if not self.all_named:
            name = f"if({name} != '', {name}, {at_root('e.name')})"
        spans, extra = f"{self._events} AS e FINAL", ""
        where = self._where(slack=True, row="e.") + (f" AND e.trace_id IN ({of})" if of else "")
        if totals:
            where = self._where(slack=True)
            extra = _TOTALS
            spans = f"""(
      SELECT *, NOT ({_SYNTHETIC}) AS real, {_CALLS_MODEL} AND mapContains(cost_details, 'total') AND real AS costed,
        notEmpty(usage_details) AND real AS counted,{tokens()}
      FROM {self._events} FINAL
      WHERE {where}
    ) AS e"""
            where = "1"
        return f"""SELECT any(e.trace_id) AS id,
      multiIf(countIf({_IS_ROOT_OF_V3}) > 0, minIf(e.start_time, {_IS_ROOT_OF_V3}), countIf({root}) > 0,
        minIf(e.start_time, {root}), min(e.start_time)) AS timestamp,
      {name} AS name, max(e.user_id) AS user_id, max(e.session_id) AS session_id,
      max(e.environment) AS environment, max(e.release) AS release, {at_root("e.version")} AS version,
      {at_root("e.tags")} AS tags, {at_root("mapFromArrays(e.metadata_names, e.metadata_values)")} AS metadata,
      {at_root("e.input")} AS input, {at_root("e.output")} AS output{extra}
    FROM {spans}
    WHERE {where}
    GROUP BY {id_key("e.trace_id")}
    HAVING {in_range("timestamp", slack=slack)}"""

    def _scores(self) -> str:
        return f"""SELECT id, timestamp, ifNull(trace_id, '') AS trace_id,
      ifNull(observation_id, '') AS observation_id, ifNull(session_id, '') AS session_id, name, value,
      ifNull(string_value, '') AS string_value, data_type, source, ifNull(comment, '') AS comment, environment
    FROM `{self.database}`.`scores` FINAL
    WHERE project_id = {{project_id:String}} AND {in_range("timestamp")} AND {environments()}
      AND ifNull(dataset_run_id, '') = ''{self._no_experiment("ifNull(trace_id, '')")}"""

    def _with_trace(self, rows: str, also: str, *, few: bool = False, traces: str = "") -> str:
        """`rows` joined with the trace they belong to; with `few` rows, only these traces are put together.

        Args:
            also: one more column of the trace.
            traces: a table of traces; else they are put together here.
        """
        of = f"SELECT trace_id FROM ({rows})" if few else ""
        more = ", t.metadata AS metadata, t.input AS input" if few else ""
        return f"""SELECT r.*, t.name AS trace_name, t.user_id AS user_id, t.release AS release, t.tags AS tags,
      t.{also} AS {also}{more}
    FROM ({rows}) AS r
    LEFT ANY JOIN {traces or f"({self._traces(slack=True, of=of)})"} AS t ON {same_id("r.trace_id", "t.id")}"""

    def raw_columns(self, relation: str) -> tuple[str, ...]:
        return tuple(_RAW) if relation == "observations" else V3(self.database).raw_columns(relation)

    def raw(self, relation: str) -> str:
        if relation == "scores":
            return V3(self.database).raw("scores") + self._no_experiment("trace_id")
        mine = f"""r.project_id = {{project_id:String}} AND {in_spans("r.start_time", slack=True)}
        AND r.experiment_id = '' AND cityHash64(r.trace_id) % {{sample:UInt64}} = 0"""
        key = ("r.trace_id", "r.span_id", "r.start_time")
        spans = newest(_RAW, self._events, key, mine) + self._no_experiment("trace_id")
        if relation == "observations":
            return f"SELECT * FROM ({spans}) WHERE id != concat('t-', trace_id)"
        root = "s.id = concat('t-', s.trace_id) OR s.parent_id = ''"
        as_root = "(s.id != concat('t-', s.trace_id), s.start_time, s.id, s.name, s.version)"
        first = "(s.id != concat('t-', s.trace_id), s.start_time, s.id)"
        return f"""SELECT s.trace_id AS id,
      if(countIf({root}) > 0, minIf(s.start_time, {root}), min(s.start_time)) AS timestamp,
      coalesce(nullIf(max(s.trace_name), ''), tupleElement(arraySort(groupArrayIf({as_root}, s.parent_id = ''))[1], 4))
        AS name, max(s.user_id) AS user_id,
      max(s.session_id) AS session_id, max(s.environment) AS environment, max(s.release) AS release,
      tupleElement(arraySort(groupArrayIf({as_root}, s.parent_id = ''))[1], 5) AS version,
      argMinIf(s.tags, {first}, {root}) AS tags, argMinIf(s.metadata, {first}, {root}) AS metadata,
      argMinIf(s.input, {first}, {root}) AS input, argMinIf(s.output, {first}, {root}) AS output
    FROM ({spans}) AS s
    GROUP BY s.trace_id"""


_RAW = {
    "trace_id": "r.trace_id",
    "id": "r.span_id",
    "start_time": "r.start_time",
    "parent_id": "r.parent_span_id",
    "type": "r.type",
    "name": "r.name",
    "trace_name": "r.trace_name",
    "user_id": "r.user_id",
    "session_id": "r.session_id",
    "release": "r.release",
    "end_time": "r.end_time",
    "completion_start_time": "r.completion_start_time",
    "level": "r.level",
    "status_message": "r.status_message",
    "model": "r.provided_model_name",
    "prompt_name": "r.prompt_name",
    "prompt_version": "ifNull(toString(r.prompt_version), '')",
    "version": "r.version",
    "environment": "r.environment",
    "total_cost": "if((r.provided_model_name != '' OR r.type IN ('GENERATION', 'EMBEDDING'))"
    " AND mapContains(r.cost_details, 'total'), r.cost_details['total'], NULL)",
    "usage_details": "r.usage_details",
    "model_parameters": "r.model_parameters",
    "metadata": "mapFromArrays(r.metadata_names, r.metadata_values)",
    "tags": "r.tags",
    "input": "r.input",
    "output": "r.output",
}
