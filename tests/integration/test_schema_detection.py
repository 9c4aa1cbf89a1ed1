"""Which schema is read, and that exactly the project's own traffic is counted in it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from datetime import timedelta
from itertools import count
from typing import TYPE_CHECKING

import pytest
from tests.support.clickhouse_http import User, start_server
from tests.support.failures import failure_of
from tests.support.job import writing
from tests.support.project import Project, again, set_up
from tests.support.world import END, PERIODS, PROJECT, make_world

from hansei.demo.rows import Rows, ScoreRow
from hansei.demo.tables import SCHEMAS, Schema, create_tables
from hansei.demo.writer import write
from hansei.errors import NoData, PermissionMissing, SchemaNotSupported
from hansei.tools.clickhouse import Reader, open_reader
from hansei.tools.langfuse.schema import detect

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

HOUR = timedelta(hours=1)
START = PERIODS.window.start

_numbers = count()


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"chdb://{tmp_path_factory.mktemp('detection')}"


@pytest.fixture
def url(directory: str) -> str:
    """A database that nobody has used yet."""
    return f"{directory}?database=d{next(_numbers)}"


@pytest.fixture
def client(url: str) -> Iterator[Client]:
    with writing(url) as client:
        yield client


@pytest.fixture
def reader(client: Client, url: str) -> Iterator[Reader]:
    reader = open_reader(url)
    yield reader
    reader.close()


def size(rows: Rows) -> tuple[int, int, int]:
    return len(rows.traces), len(rows.observations), len(rows.scores)


def renamed(rows: Rows, mark: str) -> Rows:
    """A copy with other ids."""
    out = copy.deepcopy(rows)
    for row in (*out.traces, *out.observations, *out.scores):
        row.id += mark
    for child in (*out.observations, *out.scores):
        child.trace_id = f"{child.trace_id}{mark}"
    return out


def in_environment(rows: Rows, environment: str) -> Rows:
    for row in (*rows.traces, *rows.observations, *rows.scores):
        row.environment = environment
    return rows


def shifted(rows: Rows, by: timedelta) -> Rows:
    out = copy.deepcopy(rows)
    for row in (*out.traces, *out.scores):
        row.timestamp += by
    for observation in out.observations:
        observation.start_time += by
        observation.end_time = observation.end_time and observation.end_time + by
    return out


def small() -> Rows:
    return make_world(per_day=6)


# Which schema


@pytest.mark.parametrize("schema", SCHEMAS)
def test_the_only_schema_is_read(client: Client, reader: Reader, schema: Schema) -> None:
    rows = small()
    set_up(client, schema, rows)
    project = Project(reader)
    assert (project.source.adapter.version, project.source.notes) == (schema, ())
    assert project.source.newest == max(trace.timestamp for trace in rows.traces)
    assert project.source.oldest == min(trace.timestamp for trace in rows.traces)
    assert project.counts() == size(rows)


def test_tables_that_stayed_behind_are_not_read(client: Client, reader: Reader) -> None:
    rows = small()
    set_up(client, "v3", shifted(rows, timedelta(days=-40)), shifted(renamed(rows, "x"), timedelta(days=-3)))
    client.command(f"TRUNCATE TABLE {client.database}.scores")
    set_up(client, "v4", rows)
    project = Project(reader)
    assert project.source.adapter.version == "v4"
    [note] = project.source.notes
    assert note.startswith("The v3 tables hold no traces after 2026-11-12 ")
    assert "The v4 tables begin at 2026-11-02 " in note
    assert project.counts() == size(rows)


def test_of_two_filled_schemas_one_is_counted(client: Client, reader: Reader) -> None:
    rows = small()
    set_up(client, "v3", Rows(rows.traces, rows.observations))
    set_up(client, "v4", rows)
    project = Project(reader)
    assert project.counts() == size(rows)
    [note] = project.source.notes
    assert "only v4 was read, so nothing is counted twice" in note


def test_of_two_filled_schemas_the_one_that_reaches_further_back_is_read(client: Client, reader: Reader) -> None:
    rows = small()
    recent = {trace.id for trace in rows.traces if trace.timestamp >= START}
    set_up(client, "v3", rows)
    set_up(
        client,
        "v4",
        Rows([t for t in rows.traces if t.id in recent], [o for o in rows.observations if o.trace_id in recent]),
    )
    project = Project(reader)
    assert project.source.adapter.version == "v3"
    assert project.counts() == size(rows)


def test_without_langfuses_tables_it_says_so(client: Client, reader: Reader) -> None:
    client.command(f"CREATE TABLE {client.database}.something (id String) ENGINE = MergeTree ORDER BY id")
    error = failure_of(lambda: detect(reader, reader.target.database, PROJECT), SchemaNotSupported)
    assert "has no Langfuse tables" in error.message


@pytest.mark.parametrize(
    ("schema", "table", "column"),
    [("v3", "observations", "total_cost"), ("v3", "traces", "tags"), ("v4", "events_core", "cost_details")],
)
def test_a_table_of_another_shape_is_refused(
    client: Client, reader: Reader, schema: Schema, table: str, column: str
) -> None:
    set_up(client, schema, small())
    if schema == "v4":
        client.command(f"ALTER TABLE {client.database}.{table} DROP COLUMN total_cost")
        for cost in ("input", "output", "total"):
            client.command(f"ALTER TABLE {client.database}.{table} DROP COLUMN calculated_{cost}_cost")
    client.command(f"ALTER TABLE {client.database}.{table} DROP COLUMN {column}")
    error = failure_of(lambda: detect(reader, reader.target.database, PROJECT), SchemaNotSupported)
    assert f".{table} lacks {column}." in error.message


def test_a_schema_of_another_shape_does_not_hide_the_one_that_is_whole(client: Client, reader: Reader) -> None:
    rows = small()
    set_up(client, "v3")
    client.command(f"ALTER TABLE {client.database}.observations DROP COLUMN completion_start_time")
    set_up(client, "v4", rows)
    project = Project(reader)
    assert project.counts() == size(rows)
    [note] = project.source.notes
    assert "lacks completion_start_time. The v3 tables were not read." in note


def test_scores_that_may_not_be_read_are_named() -> None:
    readable = ("traces", "observations")
    users = {
        "default": User(),
        "reader": User(grants=[f"SELECT ON langfuse.{table}" for table in readable], init=["SET readonly = 1"]),
    }
    with start_server(users=users) as server:
        fill_server = server.url(database="langfuse")
        with writing(fill_server) as client:
            create_tables(client, "v3", "langfuse")
            write(client, "v3", small(), "langfuse")
        reader = open_reader(server.url("reader", database="langfuse"))
        error = failure_of(lambda: detect(reader, "langfuse", PROJECT), PermissionMissing)
        reader.close()
    assert error.message == "The database “langfuse” has no table scores that this user may read."
    assert error.remedy.startswith("GRANT SELECT ON langfuse.scores TO <user>;")


# Which project


def test_an_unknown_project_is_told_which_there_are(client: Client, reader: Reader) -> None:
    rows = small()
    hostile = copy.deepcopy(rows)
    for row in (*hostile.traces, *hostile.observations, *hostile.scores):
        row.project_id = "zoo\n\x1b[31m'"
    set_up(client, "v3", rows)
    set_up(client, "v4", hostile)
    error = failure_of(lambda: detect(reader, reader.target.database, "no\nbody'"), NoData)
    assert error.message == "The project “no body'” has no traces here."
    assert error.remedy == "Projects with data: acme, zoo [31m'. Name one with --project."


@pytest.mark.parametrize("schema", SCHEMAS)
def test_empty_tables_have_no_project(client: Client, reader: Reader, schema: Schema) -> None:
    set_up(client, schema)
    error = failure_of(lambda: detect(reader, reader.target.database, PROJECT), NoData)
    assert error.remedy.startswith("No project has any yet")


# Which rows


@pytest.mark.parametrize("schema", SCHEMAS)
def test_langfuses_own_environments_are_left_out(client: Client, reader: Reader, schema: Schema) -> None:
    rows = small()
    judges = in_environment(shifted(renamed(rows, "-judge"), HOUR), "langfuse-llm-as-a-judge")
    set_up(client, schema, rows, judges)
    project = Project(reader)
    assert project.counts() == size(rows)
    assert project.source.newest == max(trace.timestamp for trace in rows.traces)


@pytest.mark.parametrize("schema", SCHEMAS)
def test_only_the_environments_that_were_asked_for_are_counted(client: Client, reader: Reader, schema: Schema) -> None:
    rows = small()
    staging = in_environment(renamed(rows, "-s"), "staging 'x' \\")
    test = in_environment(renamed(make_world(per_day=3), "-t"), "test")
    set_up(client, schema, rows, staging, test)
    assert Project(reader).counts() == tuple(map(sum, zip(size(rows), size(staging), size(test), strict=True)))
    assert Project(reader, environments=("staging 'x' \\",)).counts() == size(staging)
    assert Project(reader, environments=("production", "test")).counts() == tuple(
        map(sum, zip(size(rows), size(test), strict=True))
    )
    assert Project(reader, environments=("nowhere",)).counts() == (0, 0, 0)


@pytest.mark.parametrize("schema", SCHEMAS)
def test_deleted_rows_are_left_out_and_newer_versions_count(client: Client, reader: Reader, schema: Schema) -> None:
    rows = small()
    gone = shifted(renamed(rows, "-gone"), HOUR)
    deleted = copy.deepcopy(gone)
    for row in (*deleted.traces, *deleted.observations, *deleted.scores):
        row.is_deleted, row.event_ts = True, END
    before = copy.deepcopy(rows)
    for observation in before.observations:
        observation.level, observation.end_time = "ERROR", None
        observation.event_ts = observation.start_time - HOUR
    client.command("SYSTEM STOP MERGES")
    set_up(client, schema, before, gone)
    set_up(client, schema, rows, deleted)
    project = Project(reader)
    found = project.coverage
    client.command("SYSTEM START MERGES")
    assert project.counts() == size(rows)
    assert (found.errors.window, found.errors.baseline) == (0, 0)
    assert found.total_cost.window + found.total_cost.baseline == pytest.approx(
        float(sum(row.total_cost for row in rows.observations if row.total_cost)), rel=1e-12
    )
    assert project.source.newest == max(trace.timestamp for trace in rows.traces)


@pytest.mark.parametrize("schema", SCHEMAS)
def test_a_project_that_was_deleted_is_unknown(client: Client, reader: Reader, schema: Schema) -> None:
    rows = small()
    deleted = copy.deepcopy(rows)
    for row in (*deleted.traces, *deleted.observations, *deleted.scores):
        row.is_deleted, row.event_ts = True, END
    client.command("SYSTEM STOP MERGES")
    set_up(client, schema, rows)
    set_up(client, schema, deleted)
    failure_of(lambda: detect(reader, reader.target.database, PROJECT), NoData)
    client.command("SYSTEM START MERGES")


def test_experiments_of_v3_are_left_out(client: Client, reader: Reader) -> None:
    rows = small()
    experiment = shifted(renamed(rows, "-run"), HOUR)
    set_up(client, "v3", rows, experiment)
    place = f"{client.database}.dataset_run_items_rmt"
    client.command(
        f"CREATE TABLE {place} (id String, project_id String, trace_id String, observation_id Nullable(String),"
        " dataset_id String, dataset_run_id String, dataset_item_id String, created_at DateTime64(3),"
        " updated_at DateTime64(3), event_ts DateTime64(3), is_deleted UInt8)"
        " ENGINE = ReplacingMergeTree(event_ts, is_deleted) ORDER BY (project_id, dataset_id, dataset_run_id, id)"
    )
    client.insert(
        place,
        [[f"i{n}", PROJECT, trace.id, "set", "run"] for n, trace in enumerate(experiment.traces)],
        column_names=["id", "project_id", "trace_id", "dataset_id", "dataset_run_id"],
    )
    project = Project(reader)
    assert project.counts() == size(rows)
    assert project.source.newest == max(trace.timestamp for trace in rows.traces)


def test_experiments_of_v4_are_left_out_with_all_their_spans_and_scores(client: Client, reader: Reader) -> None:
    rows = small()
    experiment = shifted(renamed(rows, "-run"), HOUR)
    set_up(client, "v4", rows, experiment)
    # Only the root says so.
    again(client, "'exp-1' AS experiment_id", "endsWith(trace_id, '-run') AND parent_span_id = ''")
    project = Project(reader)
    assert project.counts() == size(rows)
    assert project.source.newest == max(trace.timestamp for trace in rows.traces)


def test_scores_of_dataset_runs_are_left_out(client: Client, reader: Reader) -> None:
    rows = small()
    of_run = ScoreRow(id="r", timestamp=START, name="accuracy", project_id=PROJECT, dataset_run_id="run", value=1.0)
    set_up(client, "v3", rows, Rows(scores=[of_run]))
    assert Project(reader).counts() == size(rows)
