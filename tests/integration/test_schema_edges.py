"""Rows at the edges of the periods, and spans that lack what belongs to their trace."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING

import pytest
from tests.support.job import analyse, database_of, differences, fill, told, verify, writing
from tests.support.project import Project, again, set_up
from tests.support.world import END, PERIODS, PROJECT, Visit, make_world

from hansei.demo.rows import ObservationRow, Rows, ScoreRow, TraceRow
from hansei.demo.tables import SCHEMAS, Schema
from hansei.tools.clickhouse import Reader, close_readers, open_reader
from hansei.tools.langfuse.relations import Needs
from hansei.tools.langfuse.trace_rows import read_spans, read_trace_rows
from hansei.tools.langfuse.v4 import V4
from hansei.tools.playbook.catalogue import detector_of
from hansei.tools.playbook.doubt import rederive
from hansei.tools.playbook.drafting import measure_candidate
from hansei.tools.playbook.proposals import proposed

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
START = PERIODS.window.start
BEGIN = PERIODS.baseline.start

_numbers = count()


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    yield f"chdb://{tmp_path_factory.mktemp('detection')}"
    close_readers()


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


@pytest.mark.parametrize("native", [False, True])
@pytest.mark.parametrize("schema", SCHEMAS)
def test_rows_belong_to_the_period_in_which_they_begin(
    client: Client, reader: Reader, schema: Schema, native: bool
) -> None:
    rows = Rows()
    for name, at in (("begin", BEGIN), ("middle", START), ("end", END)):
        rows.extend(crossing(f"over-{name}", at - MINUTE, at + MINUTE, native))
        rows.extend(crossing(f"at-{name}", at, at + MINUTE, native))
    set_up(client, schema, rows)
    found = Project(reader).coverage
    # Of the six traces one begins before the baseline and one at the window's end, which is not inside.
    assert (found.traces.baseline, found.traces.window) == (2, 2)
    assert (found.observations.baseline, found.observations.window) == (4, 4)
    assert (found.scores.baseline, found.scores.window) == (2, 2)


def crossing(name: str, first: datetime, second: datetime, native: bool) -> Rows:
    """A trace with a root at `first`, a child at `second` and scores at both."""
    common = {"project_id": PROJECT, "trace_id": name}
    root = ObservationRow(id=f"{name}-1", start_time=first, type="SPAN", name=name, end_time=second, **common)  # type: ignore[arg-type]
    child = replace(root, id=f"{name}-2", start_time=second, parent_observation_id=root.id, name="child")
    score = ScoreRow(id=f"{name}-s", timestamp=second, name="helpful", value=1.0, **common)  # type: ignore[arg-type]
    trace = TraceRow(id=name, timestamp=first, name=name, project_id=PROJECT, opentelemetry=native)
    return Rows([trace], [root, child], [score])


@pytest.mark.parametrize("schema", SCHEMAS)
def test_a_trace_is_whole_although_it_crosses_an_edge(client: Client, reader: Reader, schema: Schema) -> None:
    set_up(client, schema, crossing("late", END - MINUTE, END + HOUR, native=True))
    [row] = Project(reader).ask("SELECT id, steps, latency_ms FROM traces", "traces", Needs(totals=True))
    assert row == [
        "late",
        2,
        int(2 * HOUR / timedelta(milliseconds=1)) - int((HOUR - MINUTE) / timedelta(milliseconds=1)),
    ]


@pytest.mark.parametrize("schema", SCHEMAS)
def test_rows_are_looked_up_by_a_trace_that_crosses_an_edge(client: Client, reader: Reader, schema: Schema) -> None:
    """Of the score and the child just after an edge, the root that tells them apart came just before it."""
    rows = Rows()
    for name, at in (("before", BEGIN), ("now", START)):
        rows.extend(crossing(name, at - MINUTE, at + MINUTE, native=True))
        rows.extend(crossing(f"other-{name}", at - MINUTE, at + MINUTE, native=True))
    rows.traces = [replace(trace, tags=("beta",) if "other" not in trace.id else ()) for trace in rows.traces]
    roots = [replace(row, name="answer") if row.id in ("before-1", "now-1") else row for row in rows.observations]
    set_up(client, schema, replace(rows, observations=roots))
    dataset = Project(reader).dataset
    for metric, segment in (
        ("score_mean", {"score_name": "helpful", "observation_name": "answer"}),
        ("score_mean", {"score_name": "helpful", "tag": "beta"}),
        ("error_rate", {"observation_name": "child", "tag": "beta"}),
    ):
        candidate = proposed(metric, segment, "regression")
        measured = measure_candidate(dataset, candidate).evidence[-1]
        again = rederive(dataset, detector_of(metric)[1], candidate, "again", 100, measured)
        for counted in ({row["period"]: row["x"] for row in measured.records()},
                        {row["period"]: row["n"] for row in again.records()}):  # fmt: skip
            assert counted == {"window": 1, "baseline": 1}, (metric, segment)


def test_spans_without_their_traces_name_have_the_roots(client: Client, reader: Reader) -> None:
    rows = Rows()
    for n in range(4):
        rows.extend(crossing(f"app{n}", START + n * HOUR, START + n * HOUR + MINUTE, native=True))
    set_up(client, "v4", rows)
    again(client, "'' AS trace_name", "trace_id IN ('app0', 'app1')")
    project = Project(reader)
    assert isinstance(project.source.adapter, V4)
    assert not project.source.adapter.attributes_on_spans
    assert project.ask("SELECT DISTINCT id, name FROM traces ORDER BY id", "traces", Needs()) == [
        [f"app{n}", f"app{n}"] for n in range(4)
    ]
    sql = "SELECT trace_id, trace_name, count() FROM observations GROUP BY ALL ORDER BY trace_id"
    assert project.ask(sql, "observations", Needs(trace=True)) == [[f"app{n}", f"app{n}", 2] for n in range(4)]


def test_spans_that_know_their_user_tell_those_that_do_not(client: Client, reader: Reader) -> None:
    rows = Rows()
    for n in range(4):
        rows.extend(crossing(f"app{n}", START + n * HOUR, START + n * HOUR + MINUTE, native=True))
    set_up(client, "v4", rows)
    again(client, "'ann' AS user_id, 'now' AS release", "trace_id = 'app3' AND parent_span_id != ''")
    sql = "SELECT user_id, release, count() FROM observations GROUP BY ALL ORDER BY user_id"
    project = Project(reader)
    assert project.ask(sql, "observations", Needs(trace=True)) == [["", "", 6], ["ann", "now", 2]]


def on_other_dates(rows: Rows) -> tuple[Rows, Rows]:
    """Older rows of some traces on the day before or after, with other names, users and releases: some that are to be
    written before the traces' own, some after them."""
    halves = Rows(), Rows()
    for n, trace in enumerate(rows.traces[::3]):
        stale = replace(
            trace, timestamp=trace.timestamp + timedelta(days=1 if n % 2 else -1), name="stale", user_id=f"stale-{n}",
            release="0.1", tags=("stale",), event_ts=trace.timestamp - HOUR,
        )  # fmt: skip
        halves[n // 2 % 2].traces.append(stale)
    return halves


def test_of_a_trace_on_two_dates_the_newest_row_is_read(client: Client, reader: Reader) -> None:
    rows = make_world(per_day=12)
    first, last = on_other_dates(rows)
    gone = replace(rows.traces[1], timestamp=rows.traces[1].timestamp - timedelta(days=1), is_deleted=True)
    set_up(client, "v3", first, rows, last, Rows([replace(gone, event_ts=gone.timestamp + timedelta(days=2))]))
    project = Project(reader)
    assert project.counts() == (len(rows.traces), len(rows.observations), len(rows.scores))
    own = [[trace.id, trace.name, trace.user_id, trace.release] for trace in rows.traces]
    for relation, needs, id in (
        ("traces", Needs(totals=True), "id"),
        ("observations", Needs(trace=True), "trace_id"),
        ("scores", Needs(trace=True), "trace_id"),
        ("nearby_traces", Needs(), "id"),
    ):
        name = "name" if id == "id" else "trace_name"
        found = project.ask(f"SELECT DISTINCT {id}, {name}, user_id, release FROM {relation}", relation, needs)
        assert all(row in own for row in found), relation
        assert len(found) == len({row[0] for row in found}) > len(own) / 3, relation
    raw = project.dataset.bind_raw("SELECT id, name, user_id, release FROM raw_traces", ["traces"])
    assert sorted(reader.query(raw, {**project.dataset.parameters(), **project.everything}).rows) == sorted(own)
    stale = [trace.id for trace in (*first.traces, *last.traces)]
    read = read_trace_rows(project.dataset, read_spans(project.dataset, [*stale, gone.id]))
    assert {row["name"] for row in read.values()} == {"support", "research"}
    assert len(read) == len(stale) + 1


@pytest.mark.long
def test_a_report_is_the_same_with_older_rows_of_traces_on_other_dates(directory: str) -> None:
    def failing(visit: Visit) -> None:
        for step in visit.steps:
            if step.name == "lookup_order" and visit.day >= 0 and visit.random.random() < 0.2:
                step.level, step.status = "ERROR", "order service: 503"

    rows = make_world(failing, per_day=30)
    first, last = on_other_dates(rows)
    alone = analyse(fill(f"{directory}?database=alone", "v3", rows), PROJECT)
    url = fill(f"{directory}?database=among", "v3", first, rows, last)
    among = analyse(url, PROJECT)
    assert among.findings
    assert differences(told(among), told(alone)) == []
    assert verify(url, among).differences == []


@pytest.mark.parametrize("schema", SCHEMAS)
def test_database_names_that_need_quotes(directory: str, schema: Schema) -> None:
    rows = make_world(per_day=6)
    url = fill(f"{directory}?database=lang-fuse.{schema}", schema, rows)
    reader = open_reader(url)
    assert reader.target.database == database_of(url)
    assert Project(reader).counts() == (len(rows.traces), len(rows.observations), len(rows.scores))
    reader.close()
