"""Traces, observations and scores as plain rows that belong to no schema: what the writer turns into v3 or v4 tables.

All times are aware datetimes (UTC). None means that the sender gave nothing; v4's tables hold an empty string there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

_NO_TEXT: Mapping[str, str] = {}
_NO_USAGE: Mapping[str, int] = {}
_NO_COST: Mapping[str, Decimal] = {}


@dataclass(slots=True, kw_only=True)
class TraceRow:
    """One version of a trace.

    `opentelemetry` says how v4 holds it. False: converted from v3, so that the writer adds the root span
    ``t-<trace id>``, which is not an observation. True: the trace's only observation without a parent, which must
    start at `timestamp`, is the root itself; `name`, `input` and `output` should then repeat that observation's or be
    None, since v4 has no other place for them.
    """

    id: str
    timestamp: datetime
    name: str
    project_id: str
    environment: str = "default"
    user_id: str | None = None
    session_id: str | None = None
    release: str | None = None
    version: str | None = None
    tags: Sequence[str] = ()
    metadata: Mapping[str, str] = field(default_factory=lambda: _NO_TEXT)
    input: str | None = None
    output: str | None = None
    public: bool = False
    bookmarked: bool = False
    created_at: datetime | None = None  # default: timestamp
    updated_at: datetime | None = None  # default: event_ts
    event_ts: datetime | None = None  # default: timestamp
    is_deleted: bool = False
    opentelemetry: bool = False


@dataclass(slots=True, kw_only=True)
class ObservationRow:
    """One version of an observation. Versions of one observation share id, trace_id, type and start_time."""

    id: str
    trace_id: str
    start_time: datetime
    type: str
    name: str
    project_id: str
    environment: str = "default"
    parent_observation_id: str | None = None
    end_time: datetime | None = None
    level: str = "DEFAULT"
    status_message: str | None = None
    version: str | None = None
    input: str | None = None
    output: str | None = None
    metadata: Mapping[str, str] = field(default_factory=lambda: _NO_TEXT)
    model: str | None = None
    model_id: str | None = None
    model_parameters: str | None = None
    provided_usage_details: Mapping[str, int] = field(default_factory=lambda: _NO_USAGE)
    usage_details: Mapping[str, int] = field(default_factory=lambda: _NO_USAGE)
    provided_cost_details: Mapping[str, Decimal] = field(default_factory=lambda: _NO_COST)
    cost_details: Mapping[str, Decimal] = field(default_factory=lambda: _NO_COST)
    total_cost: Decimal | None = None  # default: cost_details["total"]
    usage_pricing_tier_id: str | None = None
    usage_pricing_tier_name: str | None = None
    completion_start_time: datetime | None = None
    prompt_id: str | None = None
    prompt_name: str | None = None
    prompt_version: int | None = None
    tool_definitions: Mapping[str, str] = field(default_factory=lambda: _NO_TEXT)
    tool_calls: Sequence[str] = ()
    tool_call_names: Sequence[str] = ()
    created_at: datetime | None = None  # default: start_time
    updated_at: datetime | None = None  # default: event_ts
    event_ts: datetime | None = None  # default: end_time, else start_time
    is_deleted: bool = False


@dataclass(slots=True, kw_only=True)
class ScoreRow:
    """One version of a score. Versions of one score share id, name and timestamp."""

    id: str
    timestamp: datetime
    name: str
    project_id: str
    environment: str = "default"
    trace_id: str | None = None
    session_id: str | None = None
    observation_id: str | None = None
    dataset_run_id: str | None = None
    execution_trace_id: str | None = None
    value: float = 0.0
    string_value: str | None = None
    long_string_value: str = ""
    data_type: str = "NUMERIC"
    source: str = "API"
    comment: str | None = None
    metadata: Mapping[str, str] = field(default_factory=lambda: _NO_TEXT)
    author_user_id: str | None = None
    config_id: str | None = None
    queue_id: str | None = None
    created_at: datetime | None = None  # default: timestamp
    updated_at: datetime | None = None  # default: event_ts
    event_ts: datetime | None = None  # default: timestamp
    is_deleted: bool = False


@dataclass(slots=True)
class Rows:
    """A set of rows. A trace and its observations belong into the same set."""

    traces: list[TraceRow] = field(default_factory=list)
    observations: list[ObservationRow] = field(default_factory=list)
    scores: list[ScoreRow] = field(default_factory=list)

    def extend(self, other: Rows) -> None:
        """Adds the rows of another set."""
        self.traces += other.traces
        self.observations += other.observations
        self.scores += other.scores
