"""The same data in v3's tables and in v4's gives the same report."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import timedelta

import pytest
from tests.support.job import analyse, database_of, differences, fill, told, verify, writing
from tests.support.world import END, PROJECT, Visit, make_world

from hansei import Report
from hansei.demo import PROJECT_ID
from hansei.demo.rows import ObservationRow, Rows
from hansei.demo.simulate import Simulation
from hansei.demo.tables import SCHEMAS, Schema
from hansei.tools.clickhouse import close_readers


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an embedded ClickHouse without a database."""
    yield f"chdb://{tmp_path_factory.mktemp('parity')}"
    close_readers()


def both(directory: str, project_id: str, *sets: Rows, **request: str) -> dict[Schema, Report]:
    """The reports of the same rows in both schemas, each verified."""
    name = f"d{uuid.uuid4().hex[:8]}"
    reports: dict[Schema, Report] = {}
    for schema in SCHEMAS:
        url = fill(f"{directory}?database={name}_{schema}", schema, *sets)
        reports[schema] = analyse(url, project_id, **request)
        assert reports[schema].coverage.langfuse_schema == schema
        assert verify(url, reports[schema]).differences == []
    return reports


def assert_same(reports: dict[Schema, Report]) -> None:
    assert differences(told(reports["v3"]), told(reports["v4"])) == []


def failing_orders(visit: Visit) -> None:
    for step in visit.steps:
        if step.name == "lookup_order" and visit.day >= 0 and visit.random.random() < 0.2:
            step.level, step.status = "ERROR", "order service: 503"


def silent_search(visit: Visit) -> None:
    for step in visit.steps:
        if step.name == "search_docs" and visit.day >= 2 and visit.random.random() < 0.3:
            step.output = '{"error": "index not found"}'


def dearer_summaries(visit: Visit) -> None:
    for step in visit.steps:
        if step.name == "summarise" and visit.day >= 0:
            step.prompt, step.cost, step.seconds = ("summarise", 4), step.cost * 3, step.seconds * 3
            step.tokens = (step.tokens[0] * 3, step.tokens[1])


def less_help(visit: Visit) -> None:
    if visit.app == "research" and visit.day >= 0:
        visit.scores = [("helpful", float(visit.random.random() < 0.3), "BOOLEAN") for _ in visit.scores]


def endless_search(visit: Visit) -> None:
    if visit.app == "research" and visit.day >= 0 and visit.random.random() < 0.2:
        found = next(step for step in visit.steps if step.name == "web_search")
        visit.steps[1:1] = [found] * 30


def hanging_search(visit: Visit) -> None:
    for step in visit.steps:
        if step.name == "web_search" and visit.day >= 0 and visit.random.random() < 0.15:
            step.finished = False


FAULTS = (failing_orders, silent_search, dearer_summaries, less_help, endless_search, hanging_search)


def with_opentelemetry_roots(rows: Rows) -> Rows:
    """Every trace is told from a root observation of its own, as OpenTelemetry senders do."""
    out = Rows(rows.traces, [], rows.scores)
    steps: dict[str, list[ObservationRow]] = {}
    for observation in rows.observations:
        steps.setdefault(observation.trace_id, []).append(observation)
    for trace in rows.traces:
        trace.opentelemetry = True
        children = steps[trace.id]
        ends = [child.end_time for child in children if child.end_time is not None]
        out.observations.append(
            ObservationRow(
                id=f"{trace.id}-root", trace_id=trace.id, start_time=trace.timestamp, type="SPAN", name=trace.name,
                project_id=trace.project_id, environment=trace.environment, end_time=max(ends, default=None),
            )
        )  # fmt: skip
        for child in children:
            child.parent_observation_id = f"{trace.id}-root"
        out.observations += children
    return out


@pytest.mark.long
def test_a_project_with_many_faults_gives_the_same_report(directory: str) -> None:
    reports = both(directory, PROJECT, make_world(*FAULTS), until=END.isoformat())
    assert len({finding.kind for finding in reports["v3"].findings}) >= 4
    assert_same(reports)


@pytest.mark.long
def test_traces_with_opentelemetry_roots_give_the_same_report(directory: str) -> None:
    rows = with_opentelemetry_roots(make_world(*FAULTS))
    reports = both(directory, PROJECT, rows, until=END.isoformat())
    assert len({finding.kind for finding in reports["v3"].findings}) >= 4
    assert_same(reports)


def test_the_end_of_the_window_is_the_same_when_none_is_given(directory: str) -> None:
    rows = make_world(per_day=20)
    # The last step of the newest trace begins in the next hour: v4 knows no trace but by its steps.
    newest = max(rows.traces, key=lambda trace: trace.timestamp)
    last = [row for row in rows.observations if row.trace_id == newest.id][-1]
    last.start_time += timedelta(hours=1)
    last.end_time = last.start_time + timedelta(seconds=1)
    assert_same(both(directory, PROJECT, rows))


@pytest.mark.long
def test_the_sample_data_gives_the_same_report(directory: str) -> None:
    """With row versions, deletions, a second project, Langfuse's own environments, and OpenTelemetry roots."""
    reports = both(directory, PROJECT_ID, *Simulation(5, 3000).batches())
    assert len(reports["v3"].findings) >= 3
    assert_same(reports)


@pytest.mark.parametrize("schema", [pytest.param("v3", marks=pytest.mark.long), "v4"])
def test_merged_row_versions_change_nothing(directory: str, schema: Schema) -> None:
    """ClickHouse merges superseded rows away whenever it likes: a report must stay true all the same."""
    url = fill(f"{directory}?database=merged_{schema}", schema, *Simulation(6, 500).batches())
    before = analyse(url, PROJECT_ID)
    with writing(url) as client:
        for table in ("traces", "observations", "scores") if schema == "v3" else ("events_core", "scores"):
            client.command(f"OPTIMIZE TABLE {database_of(url)}.{table} FINAL")
    assert verify(url, before).differences == []
