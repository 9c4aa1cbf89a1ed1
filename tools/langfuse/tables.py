"""Langfuse's own ClickHouse tables, as its migrations leave them: for imports, sample data, tests and benchmarks.

Schema v3 keeps `traces` and `observations`; v4 keeps one row per span in `events_full`, and a view that copies each
row, with long texts cut, into `events_core`. Both keep `scores`. Langfuse's secondary indexes are left out, except the
ones that find a trace by its id: they speed up look-ups and change no answer.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

from hansei.errors import UsageError

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

Schema = Literal["v3", "v4"]
SCHEMAS: tuple[Schema, ...] = ("v3", "v4")

_VERSIONED = "ReplacingMergeTree(event_ts, is_deleted)"
_PREVIEW = 200  # characters that events_core keeps of inputs, outputs and metadata values


def quote(name: str) -> str:
    """A database or table name, quoted for SQL.

    Raises:
        UsageError: for a name that is empty or holds anything but letters, digits, `_`, `-` and `.`.
    """
    if not re.fullmatch(r"[\w.-]+", name):
        raise UsageError(f"“{name[:40]}” cannot be a database name.", "Use letters, digits, _ and - only.")
    return f"`{name}`"


def create_tables(client: Client, schema: Schema, database: str = "default") -> None:
    """Creates the tables of one schema in `database`, which must exist. Tables that exist are left as they are."""
    place = quote(database)
    for statement in _V3 if schema == "v3" else _V4:
        client.command(statement.replace("{db}", place))


_TRACES = f"""
CREATE TABLE IF NOT EXISTS {{db}}.traces
(
    id String,
    timestamp DateTime64(3),
    name String,
    user_id Nullable(String),
    metadata Map(LowCardinality(String), String),
    release Nullable(String),
    version Nullable(String),
    project_id String,
    environment LowCardinality(String) DEFAULT 'default',
    public Bool,
    bookmarked Bool,
    tags Array(String),
    input Nullable(String) CODEC(ZSTD(3)),
    output Nullable(String) CODEC(ZSTD(3)),
    session_id Nullable(String),
    created_at DateTime64(3) DEFAULT now(),
    updated_at DateTime64(3) DEFAULT now(),
    event_ts DateTime64(3),
    is_deleted UInt8,
    INDEX idx_id id TYPE bloom_filter(0.001) GRANULARITY 1
)
ENGINE = {_VERSIONED}
PARTITION BY toYYYYMM(timestamp)
PRIMARY KEY (project_id, toDate(timestamp))
ORDER BY (project_id, toDate(timestamp), id)
"""

_OBSERVATIONS = f"""
CREATE TABLE IF NOT EXISTS {{db}}.observations
(
    id String,
    trace_id String,
    project_id String,
    environment LowCardinality(String) DEFAULT 'default',
    type LowCardinality(String),
    parent_observation_id Nullable(String),
    start_time DateTime64(3),
    end_time Nullable(DateTime64(3)),
    name String,
    metadata Map(LowCardinality(String), String),
    level LowCardinality(String),
    status_message Nullable(String),
    version Nullable(String),
    input Nullable(String) CODEC(ZSTD(3)),
    output Nullable(String) CODEC(ZSTD(3)),
    provided_model_name Nullable(String),
    internal_model_id Nullable(String),
    model_parameters Nullable(String),
    provided_usage_details Map(LowCardinality(String), UInt64),
    usage_details Map(LowCardinality(String), UInt64),
    provided_cost_details Map(LowCardinality(String), Decimal64(12)),
    cost_details Map(LowCardinality(String), Decimal64(12)),
    total_cost Nullable(Decimal64(12)),
    usage_pricing_tier_id Nullable(String),
    usage_pricing_tier_name Nullable(String),
    tool_definitions Map(String, String),
    tool_calls Array(String),
    tool_call_names Array(String),
    completion_start_time Nullable(DateTime64(3)),
    prompt_id Nullable(String),
    prompt_name Nullable(String),
    prompt_version Nullable(UInt16),
    created_at DateTime64(3) DEFAULT now(),
    updated_at DateTime64(3) DEFAULT now(),
    event_ts DateTime64(3),
    is_deleted UInt8,
    INDEX idx_id id TYPE bloom_filter() GRANULARITY 1,
    INDEX idx_trace_id trace_id TYPE bloom_filter() GRANULARITY 1
)
ENGINE = {_VERSIONED}
PARTITION BY toYYYYMM(start_time)
PRIMARY KEY (project_id, type, toDate(start_time))
ORDER BY (project_id, type, toDate(start_time), id)
"""

_SCORES = f"""
CREATE TABLE IF NOT EXISTS {{db}}.scores
(
    id String,
    timestamp DateTime64(3),
    project_id String,
    environment LowCardinality(String) DEFAULT 'default',
    trace_id Nullable(String),
    session_id Nullable(String),
    dataset_run_id Nullable(String),
    observation_id Nullable(String),
    execution_trace_id Nullable(String),
    name String,
    value Float64,
    source String,
    comment Nullable(String) CODEC(ZSTD(1)),
    metadata Map(LowCardinality(String), String),
    author_user_id Nullable(String),
    config_id Nullable(String),
    data_type String,
    string_value Nullable(String),
    long_string_value String DEFAULT '',
    queue_id Nullable(String),
    created_at DateTime64(3) DEFAULT now(),
    updated_at DateTime64(3) DEFAULT now(),
    event_ts DateTime64(3),
    is_deleted UInt8,
    INDEX idx_id id TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX idx_trace_id trace_id TYPE bloom_filter(0.001) GRANULARITY 1
)
ENGINE = {_VERSIONED}
PARTITION BY toYYYYMM(timestamp)
PRIMARY KEY (project_id, toDate(timestamp), name)
ORDER BY (project_id, toDate(timestamp), name, id)
"""

# The columns of events_full and events_core, in Langfuse's order. None of them is computed.
_EVENT_COLUMNS: dict[str, str] = {
    "project_id": "String",
    "trace_id": "String",
    "span_id": "String",
    "parent_span_id": "String",
    "start_time": "DateTime64(6)",
    "end_time": "Nullable(DateTime64(6))",
    "name": "String",
    "type": "LowCardinality(String)",
    "environment": "LowCardinality(String) DEFAULT 'default'",
    "version": "String",
    "release": "String",
    "trace_name": "String",
    "user_id": "String",
    "session_id": "String",
    "tags": "Array(String)",
    "level": "LowCardinality(String)",
    "status_message": "String",
    "completion_start_time": "Nullable(DateTime64(6))",
    "is_app_root": "Bool DEFAULT false",
    "bookmarked": "Bool DEFAULT false",
    "public": "Bool DEFAULT false",
    "prompt_id": "String",
    "prompt_name": "String",
    "prompt_version": "Nullable(UInt16)",
    "model_id": "String",
    "provided_model_name": "String",
    "model_parameters": "String",
    "provided_usage_details": "Map(LowCardinality(String), UInt64)",
    "usage_details": "Map(LowCardinality(String), UInt64)",
    "provided_cost_details": "Map(LowCardinality(String), Decimal(18, 12))",
    "cost_details": "Map(LowCardinality(String), Decimal(18, 12))",
    "usage_pricing_tier_id": "Nullable(String)",
    "usage_pricing_tier_name": "Nullable(String)",
    "tool_definitions": "Map(String, String)",
    "tool_calls": "Array(String)",
    "tool_call_names": "Array(String)",
    "input": "String",
    "output": "String",
    "metadata_names": "Array(String)",
    "metadata_values": "Array(String)",
    "experiment_id": "String",
    "experiment_name": "String",
    "experiment_metadata_names": "Array(String)",
    "experiment_metadata_values": "Array(String)",
    "experiment_description": "String",
    "experiment_dataset_id": "String",
    "experiment_item_id": "String",
    "experiment_item_version": "Nullable(DateTime64(6))",
    "experiment_item_expected_output": "String",
    "experiment_item_metadata_names": "Array(String)",
    "experiment_item_metadata_values": "Array(String)",
    "experiment_item_root_span_id": "String",
    "source": "LowCardinality(String)",
    "service_name": "String",
    "service_version": "String",
    "scope_name": "String",
    "scope_version": "String",
    "telemetry_sdk_language": "LowCardinality(String)",
    "telemetry_sdk_name": "String",
    "telemetry_sdk_version": "String",
    "blob_storage_file_path": "String",
    "event_bytes": "UInt64",
    "created_at": "DateTime64(6) DEFAULT now()",
    "updated_at": "DateTime64(6) DEFAULT now()",
    "event_ts": "DateTime64(6)",
    "is_deleted": "UInt8",
}


def _cost_of(*kinds: str) -> str:
    """Sum of the cost details whose key mentions one of `kinds`."""
    wanted = " OR ".join(f"positionCaseInsensitive(x.1, '{kind}') > 0" for kind in kinds)
    return f"arraySum(mapValues(mapFilter(x -> {wanted}, cost_details)))"


_EVENT_COMPUTED = f"""
    calculated_input_cost Decimal(18, 12) MATERIALIZED {_cost_of("input")},
    calculated_output_cost Decimal(18, 12) MATERIALIZED {_cost_of("output")},
    calculated_total_cost Decimal(18, 12) MATERIALIZED {_cost_of("input", "output")},
    total_cost Decimal(18, 12) ALIAS cost_details['total'],
    input_length UInt64 MATERIALIZED lengthUTF8(input),
    output_length UInt64 MATERIALIZED lengthUTF8(output),
    INDEX idx_span_id span_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_trace_id trace_id TYPE bloom_filter(0.01) GRANULARITY 1"""


def _events(table: str, *, compressed: tuple[str, ...], settings: str) -> str:
    columns = ",".join(
        f"\n    {name} {kind}{' CODEC(ZSTD(3))' if name in compressed else ''}" for name, kind in _EVENT_COLUMNS.items()
    )
    return f"""
CREATE TABLE IF NOT EXISTS {{db}}.{table}
({columns},{_EVENT_COMPUTED}
)
ENGINE = {_VERSIONED}
PARTITION BY toYYYYMM(start_time)
PRIMARY KEY (project_id, toStartOfMinute(start_time), xxHash32(trace_id))
ORDER BY (project_id, toStartOfMinute(start_time), xxHash32(trace_id), span_id, start_time)
SAMPLE BY xxHash32(trace_id)
SETTINGS {settings}"""


def _core_view() -> str:
    shortened = {
        "input": f"leftUTF8(input, {_PREVIEW}) AS input",
        "output": f"leftUTF8(output, {_PREVIEW}) AS output",
        "metadata_values": f"arrayMap(value -> leftUTF8(value, {_PREVIEW}), metadata_values) AS metadata_values",
    }
    columns = ", ".join(shortened.get(name, name) for name in _EVENT_COLUMNS)
    return (
        "CREATE MATERIALIZED VIEW IF NOT EXISTS {db}.events_core_mv TO {db}.events_core AS "
        f"SELECT {columns} FROM {{db}}.events_full"
    )


_BLOCK_COLUMNS = "enable_block_number_column = 1, enable_block_offset_column = 1"
_V3 = (_TRACES, _OBSERVATIONS, _SCORES)
_V4 = (
    _events(
        "events_full",
        compressed=("input", "output"),
        # Rows are large: the default of 10 MiB would make granules of a few rows.
        settings=f"index_granularity_bytes = '64Mi', merge_max_block_size_bytes = '64Mi', {_BLOCK_COLUMNS}",
    ),
    _events("events_core", compressed=(), settings=_BLOCK_COLUMNS),
    _core_view(),
    _SCORES,
)
