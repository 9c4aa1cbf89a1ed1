"""The tables and the writer: the same rows in v3 and in v4, value for value."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client

from hansei.demo.rows import ObservationRow, Rows, ScoreRow, TraceRow
from hansei.demo.tables import Schema, create_tables
from hansei.demo.writer import Writer, write
from hansei.errors import UsageError
from hansei.tools.clickhouse import close_readers, open_writer

AT = datetime(2026, 11, 10, 9, 30, 0, 123_000, tzinfo=UTC)
LATER = AT + timedelta(seconds=2, milliseconds=345)
TEXT = "日本語 \u0000 \x1b[31m ' \" \\ \n <b>é</b> 👩‍👩‍👧‍👦"
HUGE = "é€" * 1_000_000


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    close_readers()
    directory = tmp_path_factory.mktemp("tables") / "clickhouse"
    with open_writer(f"chdb://{directory}") as opened:
        for schema in ("v3", "v4"):
            opened.command(f"CREATE DATABASE {schema}")
            create_tables(opened, schema, schema)
        yield opened


@pytest.fixture
def empty(client: Client) -> Client:
    for table in ("v3.traces", "v3.observations", "v3.scores", "v4.events_full", "v4.events_core", "v4.scores"):
        client.command(f"TRUNCATE TABLE {table}")
    return client


def records(client: Client, sql: str) -> list[dict[str, Any]]:
    return list(client.query(sql, query_tz="UTC").named_results())


def trace(**fields: Any) -> TraceRow:
    return TraceRow(**{"id": "t", "timestamp": AT, "name": "app", "project_id": "p", **fields})


def observation(**fields: Any) -> ObservationRow:
    given = {"id": "o", "trace_id": "t", "start_time": AT, "type": "TOOL", "name": "tool", "project_id": "p"}
    return ObservationRow(**{**given, **fields})


FULL_TRACE = trace(
    user_id="u", session_id="s", release="1.0", version="v9", environment="staging", tags=["a", TEXT],
    metadata={"language": "ja", "note": TEXT}, input=TEXT, output=HUGE, public=True, bookmarked=True, event_ts=LATER,
)  # fmt: skip
FULL_OBSERVATION = observation(
    type="GENERATION", environment="staging", parent_observation_id="parent", end_time=LATER, level="WARNING",
    status_message=TEXT, version="v9", input=HUGE, output=TEXT, metadata={"k": TEXT}, model="m", model_id="mid",
    model_parameters='{"t": 0}', usage_details={"input": 7, "output": 2**40}, provided_usage_details={"input": 7},
    cost_details={"input": Decimal("0.000000000001"), "total": Decimal("123.5")}, prompt_id="pid", prompt_name="answer",
    prompt_version=7, completion_start_time=AT + timedelta(milliseconds=1), tool_definitions={"f": "{}"},
    tool_calls=['{"a":1}'], tool_call_names=["f"], usage_pricing_tier_id="tier", usage_pricing_tier_name="Tier",
)  # fmt: skip


def test_v3_keeps_every_value(empty: Client) -> None:
    write(empty, "v3", Rows([FULL_TRACE], [FULL_OBSERVATION]), "v3")
    [stored] = records(empty, "SELECT * FROM v3.traces")
    for field in ("id", "name", "user_id", "session_id", "release", "version", "environment", "tags", "metadata",
                  "input", "output", "public", "bookmarked", "project_id"):  # fmt: skip
        assert stored[field] == getattr(FULL_TRACE, field), field
    assert stored["timestamp"] == AT
    assert stored["event_ts"] == stored["updated_at"] == LATER
    [stored] = records(empty, "SELECT * FROM v3.observations")
    for field in ("id", "trace_id", "type", "parent_observation_id", "start_time", "end_time", "name", "level",
                  "status_message", "version", "input", "output", "metadata", "model_parameters", "usage_details",
                  "provided_usage_details", "cost_details", "prompt_id", "prompt_name", "prompt_version", "tool_calls",
                  "completion_start_time", "tool_definitions", "tool_call_names", "usage_pricing_tier_id",
                  "usage_pricing_tier_name", "environment", "project_id"):  # fmt: skip
        assert stored[field] == getattr(FULL_OBSERVATION, field), field
    assert stored["total_cost"] == Decimal("123.5")
    assert (stored["provided_model_name"], stored["internal_model_id"]) == ("m", "mid")
    assert stored["event_ts"] == LATER


def test_v4_keeps_every_value_on_the_span_and_its_synthetic_root(empty: Client) -> None:
    write(empty, "v4", Rows([FULL_TRACE], [FULL_OBSERVATION]), "v4")
    root, span = records(empty, "SELECT *, total_cost, input_length FROM v4.events_full ORDER BY span_id DESC")
    assert (root["span_id"], root["parent_span_id"], root["type"], root["end_time"]) == ("t-t", "", "SPAN", None)
    assert (root["name"], root["input"], root["output"]) == ("app", TEXT, HUGE)
    assert dict(zip(root["metadata_names"], root["metadata_values"], strict=True)) == FULL_TRACE.metadata
    assert (span["span_id"], span["parent_span_id"], span["trace_id"]) == ("o", "parent", "t")
    for stored in (root, span):
        assert (stored["trace_name"], stored["user_id"], stored["session_id"]) == ("app", "u", "s")
        assert (stored["release"], stored["version"], stored["environment"]) == ("1.0", "v9", "staging")
        assert stored["tags"] == ["a", TEXT]
    assert (span["input"], span["output"], span["input_length"]) == (HUGE, TEXT, 2_000_000)
    assert (span["provided_model_name"], span["model_id"], span["prompt_version"]) == ("m", "mid", 7)
    assert span["total_cost"] == Decimal("123.5")
    assert span["usage_details"] == FULL_OBSERVATION.usage_details
    assert (span["start_time"], span["end_time"], span["event_ts"]) == (AT, LATER, LATER)


def test_v4_core_keeps_the_first_200_characters(empty: Client) -> None:
    write(empty, "v4", Rows([FULL_TRACE], [FULL_OBSERVATION]), "v4")
    [stored] = records(empty, "SELECT *, total_cost FROM v4.events_core WHERE span_id = 'o'")
    assert stored["input"] == HUGE[:200]
    assert stored["total_cost"] == Decimal("123.5")
    assert stored["metadata_values"] == [TEXT]


def test_missing_values_are_null_in_v3_and_empty_in_v4(empty: Client) -> None:
    for schema in ("v3", "v4"):
        write(empty, schema, Rows([trace()], [observation()]), schema)
    [stored] = records(empty, "SELECT * FROM v3.observations")
    absent = ("end_time", "status_message", "input", "output", "provided_model_name", "total_cost", "prompt_name")
    assert [stored[field] for field in absent] == [None] * len(absent)
    [stored] = records(empty, "SELECT *, total_cost FROM v4.events_core WHERE span_id = 'o'")
    assert (stored["end_time"], stored["prompt_version"]) == (None, None)
    for field in ("status_message", "input", "output", "provided_model_name", "prompt_name", "user_id"):
        assert stored[field] == "", field
    assert stored["total_cost"] == 0
    assert stored["parent_span_id"] == "t-t"


def test_a_trace_sent_by_opentelemetry_has_no_synthetic_root(empty: Client) -> None:
    native = trace(opentelemetry=True, metadata={"plan": "pro"})
    write(empty, "v4", Rows([native], [observation(metadata={"a": "b"})]), "v4")
    [stored] = records(empty, "SELECT * FROM v4.events_full")
    assert (stored["span_id"], stored["parent_span_id"], stored["is_app_root"]) == ("o", "", True)
    assert stored["metadata_names"] == ["plan", "a"]
    assert stored["trace_name"] == "app"


@pytest.mark.parametrize("schema", ["v3", "v4"])
def test_versions_lie_side_by_side_until_they_are_merged(empty: Client, schema: Schema) -> None:
    empty.command("SYSTEM STOP MERGES")
    draft = observation(level="ERROR", event_ts=AT)
    final = observation(end_time=LATER)
    gone = trace(is_deleted=True, event_ts=LATER)
    rows = Rows([trace(), gone], [draft, final, observation(id="o2")], [])
    write(empty, schema, rows, schema)
    empty.command("SYSTEM START MERGES")
    table, key = ("v3.observations", "id") if schema == "v3" else ("v4.events_core", "span_id")
    raw = records(empty, f"SELECT {key} AS id, level FROM {table} WHERE {key} IN ('o', 'o2') ORDER BY id, event_ts")
    assert raw == [{"id": "o", "level": "ERROR"}, {"id": "o", "level": "DEFAULT"}, {"id": "o2", "level": "DEFAULT"}]
    last = records(empty, f"SELECT {key} AS id, level FROM {table} FINAL WHERE {key} = 'o'")
    assert last == [{"id": "o", "level": "DEFAULT"}]
    traces = "v3.traces WHERE id = 't'" if schema == "v3" else "v4.events_core WHERE span_id = 't-t'"
    assert records(empty, f"SELECT count() AS n FROM {traces}") == [{"n": 2}]
    table, condition = traces.split(" WHERE ")
    assert records(empty, f"SELECT count() AS n FROM {table} FINAL WHERE {condition}") == [{"n": 0}]


def test_spans_of_v4_carry_the_last_version_of_their_trace(empty: Client) -> None:
    first, last = trace(tags=["early"]), trace(tags=["late"], user_id="u", event_ts=LATER)
    with Writer(empty, "v4", "v4") as writer:
        writer.write(Rows([first, last], [observation(), observation(event_ts=LATER)]))
    stored = records(empty, "SELECT tags, user_id FROM v4.events_full WHERE span_id = 'o'")
    assert stored == [{"tags": ["late"], "user_id": "u"}] * 2


def test_scores_are_the_same_in_both(empty: Client) -> None:
    score = ScoreRow(
        id="s", timestamp=AT, name='a "name"\n', project_id="p", trace_id="t", observation_id="o", value=0.1 + 0.2,
        string_value=TEXT, data_type="CATEGORICAL", source="ANNOTATION", comment=TEXT, metadata={"k": "v"},
    )  # fmt: skip
    for schema in ("v3", "v4"):
        write(empty, schema, Rows(scores=[score]), schema)
    [old], [new] = (records(empty, f"SELECT * FROM {schema}.scores") for schema in ("v3", "v4"))
    assert old == new
    assert (old["name"], old["value"], old["string_value"], old["session_id"]) == ('a "name"\n', 0.1 + 0.2, TEXT, None)


def test_an_observation_without_its_trace_is_written(empty: Client) -> None:
    for schema in ("v3", "v4"):
        write(empty, schema, Rows(observations=[observation()]), schema)
    assert records(empty, "SELECT count() AS n FROM v3.observations") == [{"n": 1}]
    assert records(empty, "SELECT parent_span_id, trace_name FROM v4.events_core") == [
        {"parent_span_id": "t-t", "trace_name": ""}
    ]


def test_tables_that_exist_are_left_alone(empty: Client) -> None:
    write(empty, "v3", Rows([trace()]), "v3")
    create_tables(empty, "v3", "v3")
    assert records(empty, "SELECT count() AS n FROM v3.traces") == [{"n": 1}]


@pytest.mark.parametrize("name", ["", "a b", "x`; DROP TABLE y; --", "a'b"])
def test_a_database_name_is_checked(client: Client, name: str) -> None:
    with pytest.raises(UsageError, match="database name"):
        create_tables(client, "v3", name)


@pytest.mark.parametrize(
    ("table", "sorting", "primary", "sampling"),
    [
        ("v3.traces", "project_id, toDate(timestamp), id", "project_id, toDate(timestamp)", ""),
        ("v3.observations", "project_id, type, toDate(start_time), id", "project_id, type, toDate(start_time)", ""),
        ("v3.scores", "project_id, toDate(timestamp), name, id", "project_id, toDate(timestamp), name", ""),
        *(
            (
                f"v4.{table}",
                "project_id, toStartOfMinute(start_time), xxHash32(trace_id), span_id, start_time",
                "project_id, toStartOfMinute(start_time), xxHash32(trace_id)",
                "xxHash32(trace_id)",
            )
            for table in ("events_full", "events_core")
        ),
    ],
)
def test_keys_are_langfuses(client: Client, table: str, sorting: str, primary: str, sampling: str) -> None:
    database, name = table.split(".")
    [stored] = records(
        client,
        "SELECT engine, sorting_key, primary_key, sampling_key, partition_key, engine_full FROM system.tables "
        f"WHERE database = '{database}' AND name = '{name}'",
    )
    assert stored["engine"] == "ReplacingMergeTree"
    assert "ReplacingMergeTree(event_ts, is_deleted)" in stored["engine_full"]
    assert (stored["sorting_key"], stored["primary_key"], stored["sampling_key"]) == (sorting, primary, sampling)
    assert stored["partition_key"] in ("toYYYYMM(timestamp)", "toYYYYMM(start_time)")
