"""The three logical relations that all of Hansei's SQL is written against, whatever tables hold the data.

Every query names only `traces`, `observations` and `scores`. `Dataset.bind` puts their definitions before it as common
table expressions; each definition takes out, in this one place:

- rows of other projects, and rows outside the time range;
- older versions of a row, and deleted rows (FINAL); of a v3 trace that has rows on several dates, all but the newest;
- environments that begin with ``langfuse-`` (Langfuse's own traffic), and environments that were not asked for;
- traces of experiments (dataset runs).

Columns (the same for both schemas; a missing text is '', a missing number or time is NULL):

``traces``        id, timestamp, name, user_id, session_id, environment, release, version, tags, metadata, input, output
``  with totals`` and: steps (observations), errors, unfinished, latency_ms, total_cost, input_tokens, output_tokens,
                  total_tokens
``observations``  id, trace_id, parent_id, type, name, start_time, end_time, latency_ms, first_token_ms, level,
                  status_message, model, prompt_name, prompt_version, version, environment, total_cost, input_tokens,
                  output_tokens, cached_tokens, total_tokens, model_parameters (JSON), metadata, input,
                  output
``  with trace``  and: trace_name, user_id, session_id, release, tags
``  with tools``  and: tool_definitions (what a model call was told of its tools, name → JSON)
``scores``        id, timestamp, trace_id, observation_id, session_id, name, value, string_value, data_type, source,
                  comment, environment
``  with trace``  and: trace_name, user_id, release, version, tags, metadata, input

`total_cost` (US dollars, exact decimal) is NULL on observations that call no model: some SDKs repeat their children's
cost there, and it would be counted twice.

Time ranges: a trace belongs to the time of its timestamp, an observation to its start_time, a score to its timestamp.
Rows by which others are looked up (scores of traces with a step of that model) are not bound to the range, since a
trace may cross its edges: they are asked of `nearby_traces` and `nearby_observations`, the narrow relations with a day
more on either side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

SchemaVersion = Literal["v3", "v4"]

SLACK_DAYS = 1
"""Observations are read this far beyond the range when they are added up per trace: a trace may cross its edges."""

NEARBY = ("nearby_traces", "nearby_observations")
"""The relations that rows of others are looked up by."""

INTERNAL_ENVIRONMENTS = "langfuse-"


COLUMNS = {
    "traces": (
        "id", "timestamp", "name", "user_id", "session_id", "environment", "release", "version", "tags", "metadata",
        "input", "output", "steps", "errors", "unfinished", "latency_ms", "total_cost", "input_tokens",
        "output_tokens", "total_tokens",
    ),
    "observations": (
        "id", "trace_id", "parent_id", "type", "name", "start_time", "end_time", "latency_ms", "first_token_ms",
        "level", "status_message", "model", "prompt_name", "prompt_version", "version", "environment", "total_cost",
        "input_tokens", "output_tokens", "cached_tokens", "total_tokens", "model_parameters", "metadata", "input",
        "output", "trace_name", "user_id", "session_id", "release", "tags",
    ),
    "scores": (
        "id", "timestamp", "trace_id", "observation_id", "session_id", "name", "value", "string_value", "data_type",
        "source", "comment", "environment", "trace_name", "user_id", "release", "tags", "version", "metadata", "input",
    ),
}  # fmt: skip
"""The columns of the widest form of each relation, see `Adapter.widest`."""


@dataclass(frozen=True)
class Needs:
    """Which of the wider forms of the relations a query uses; the narrow forms are cheaper."""

    trace: bool = False
    """observations and scores with the columns of their trace."""
    totals: bool = False
    """traces with the sums over their observations."""
    only: str = ""
    """A condition on observations' name, model or prompt that every row asked for meets, so that others may be skipped;
    the query tests it itself."""
    tools: bool = False
    """observations with the definitions of the tools that a model was offered."""


class Adapter(Protocol):
    """Writes the definitions of the logical relations over one physical schema."""

    @property
    def version(self) -> SchemaVersion: ...

    @property
    def has_tools(self) -> bool:
        """Whether definitions of tools were found in the data."""
        ...

    def definitions(self, relations: frozenset[str], needs: Needs) -> dict[str, str]:
        """Name → SELECT, for the relations asked for, in the order in which they must be defined.

        The SELECTs use the parameters project_id, range_start, range_end and environments.
        """
        ...

    def widest(self, traces: str = "") -> dict[str, str]:
        """Relation → SELECT of all that any of its forms has, but for tools: traces with totals, observations and
        scores with their trace, traces and observations with a day more on either side.

        The SELECTs use the parameters that definitions use.

        Args:
            traces: a table with the first of them, in which the others then look their traces up.
        """
        ...

    def raw_columns(self, relation: str) -> tuple[str, ...]:
        """The columns of `raw`."""
        ...

    def raw(self, relation: str) -> str:
        """A relation made without FINAL: each row's newest version by the latest moment of its key.

        For the critic, whose figures must not come from the same construction as the analyst's. Columns as in the
        narrow relations. Rows of other projects, deleted rows, foreign environments and experiments are out. Only two
        spans of time are read, see `in_spans`, and only traces whose hash is a multiple of the parameter ``sample``
        (1: all).
        """
        ...


def in_range(column: str, *, slack: bool = False) -> str:
    """Condition that `column` lies in the time range of the query."""
    if slack:
        return (
            f"{column} >= {{range_start:DateTime64(6, 'UTC')}} - toIntervalDay({SLACK_DAYS})"
            f" AND {column} < {{range_end:DateTime64(6, 'UTC')}} + toIntervalDay({SLACK_DAYS})"
        )
    return f"{column} >= {{range_start:DateTime64(6, 'UTC')}} AND {column} < {{range_end:DateTime64(6, 'UTC')}}"


def in_spans(column: str, *, slack: bool = False) -> str:
    """Condition that `column` lies in one of two spans of time, which may be the same.

    They are the parameters first_start, first_end, second_start and second_end, widened by the parameter ``slack_days``
    when there is slack.
    """
    before, after = (f" {sign} toIntervalDay({{slack_days:UInt8}})" if slack else "" for sign in "-+")
    either = " OR ".join(
        f"({column} >= {{{which}_start:DateTime64(6, 'UTC')}}{before}"
        f" AND {column} < {{{which}_end:DateTime64(6, 'UTC')}}{after})"
        for which in ("first", "second")
    )
    return f"({either})"


def id_key(column: str) -> str:
    """What ids are grouped and joined by: a hash of 64 bits, at half the time that texts take.

    Two of 10 million ids have the same hash once in 300,000 projects.
    """
    return f"cityHash64({column})"


def same_id(left: str, right: str) -> str:
    """Condition of a join that two ids are the same."""
    return f"{id_key(left)} = {id_key(right)}"


def environments(column: str = "environment") -> str:
    """Condition that a row is the user's own traffic, in an environment that was asked for."""
    return (
        f"NOT startsWith({column}, '{INTERNAL_ENVIRONMENTS}')"
        f" AND (empty({{environments:Array(String)}}) OR has({{environments:Array(String)}}, {column}))"
    )


def newest(columns: Mapping[str, str], table: str, key: Sequence[str], where: str) -> str:
    """A SELECT of the newest version of each row, without FINAL: by the latest moment of each key.

    Args:
        columns: name → SQL of the relation's columns over a row `r` of the table.
        table: of Langfuse.
        key: what the versions of a row have in common, as SQL over `r`.
        where: condition on a row `r`.
    """
    row, version = (f"cityHash64({', '.join(parts)})" for parts in (key, (*key, "r.event_ts")))
    named = ",\n        ".join(f"{source} AS {name}" for name, source in columns.items())
    return f"""SELECT * EXCEPT deleted FROM (
      SELECT {named},
        r.is_deleted AS deleted
      FROM {table} AS r
      WHERE {where}
        AND {version} IN (SELECT argMax({version}, r.event_ts) FROM {table} AS r WHERE {where} GROUP BY {row})
      LIMIT 1 BY {version}
    )
    WHERE deleted = 0 AND {environments()}"""


def tokens(details: str = "usage_details") -> str:
    """Token counts out of Langfuse's usage map, whose keys differ from SDK to SDK.

    Keys that name a kind of input or output (input_cached_tokens, output_reasoning_tokens, …) are parts beside `input`
    and `output` in Langfuse, so all keys that begin alike add up; `total` is used when it is there.
    """

    def summed(name: str, condition: str) -> str:
        pairs = f"mapKeys({details}), mapValues({details})"
        return f"if(empty({details}), NULL, arraySum(arrayMap((k, v) -> if({condition}, v, 0), {pairs}))) AS {name}"

    total = f"if(mapContains({details}, 'total'), {details}['total'], arraySum(mapValues({details})))"
    columns = (
        summed("input_tokens", "startsWith(k, 'input') OR k LIKE '%cache_read%' OR k LIKE '%cache_creation%'"),
        summed("output_tokens", "startsWith(k, 'output')"),
        summed("cached_tokens", "k LIKE '%cache_read%' OR k LIKE '%cached%'"),
        f"if(empty({details}), NULL, {total}) AS total_tokens",
    )
    return "".join(f"\n      {column}," for column in columns).rstrip(",")
