"""Budgets over real queries: estimates, exact cuts, and runs whose budget ends before they do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from pydantic import SecretStr
from tests.integration.conftest import Place
from tests.support.clickhouse_http import RunningServer, start_server
from tests.support.world import END, PROJECT, make_world

from hansei.context import Budget, Context, Limits
from hansei.contracts import Report
from hansei.contracts.spent import Spent
from hansei.demo import Writer, create_tables
from hansei.errors import BudgetExceeded, QueryFailed
from hansei.graph.workflow import build_graph
from hansei.tools.clickhouse import Meter, Reader, open_reader, open_writer

ROWS = 100_000


@pytest.fixture(scope="module")
def reader(place: Place) -> Iterator[Reader]:
    writer = open_writer(place.url)
    writer.command(
        "CREATE TABLE steps (id UInt32, day UInt16) ENGINE = MergeTree ORDER BY day SETTINGS index_granularity = 100"
    )
    writer.command(f"INSERT INTO steps SELECT number, number / 1000 FROM numbers({ROWS})")
    writer.close()
    session = open_reader(place.url, Limits(rows_read=10 * ROWS))
    yield session
    session.close()


def test_what_a_query_reads_is_counted(reader: Reader) -> None:
    meter = Meter(Budget())
    metered = reader.metered(meter)
    found = metered.query("SELECT count(), max(id) FROM steps")
    metered.columns("SELECT id FROM steps WHERE day = {day:UInt16}", {"day": 3})
    assert found.rows_read == ROWS
    assert found.bytes_read >= 4 * ROWS
    assert metered.spent == meter.spent
    assert meter.spent.queries == 2
    assert ROWS < meter.spent.rows < ROWS + 3000
    assert meter.spent.bytes > found.bytes_read
    assert meter.spent.seconds > 0


def test_a_query_is_estimated_where_less_is_left_than_it_may_read(reader: Reader) -> None:
    metered = reader.metered(Meter(Budget(rows=ROWS // 2)))
    with pytest.raises(BudgetExceeded) as caught:
        metered.query("SELECT max(id) FROM steps")
    assert caught.value.estimate == ROWS
    assert metered.spent.queries == 0
    # Narrowed by the primary key it is let through.
    assert metered.query("SELECT count(DISTINCT id) FROM steps WHERE day = {day:UInt16}", {"day": 3}).rows == [[1000]]


def test_a_query_that_fails_costs_its_time(reader: Reader) -> None:
    meter = Meter(Budget())
    with pytest.raises(QueryFailed):
        reader.metered(meter).query("SELECT throwIf(id = 99999) FROM steps")
    assert meter.spent.queries == 1
    assert meter.spent.seconds > 0


@pytest.mark.parametrize(("rows", "more"), [(9, True), (10, False), (11, False)])
def test_an_answer_is_cut_exactly_and_says_so(reader: Reader, rows: int, more: bool) -> None:
    sql = "SELECT id, id AS twice, day FROM steps WHERE day < 5 ORDER BY id DESC LIMIT 10 -- and a comment"
    found = reader.query(sql, at_most=rows, foreign=True)
    assert [row[0] for row in found.rows] == list(range(4999, 4999 - min(rows, 10), -1))
    assert found.columns == ["id", "twice", "day"]
    assert found.more is more


def test_a_cut_answer_may_be_as_long_as_it_likes(reader: Reader) -> None:
    found = reader.query("SELECT number FROM numbers(5000000)", at_most=1000)
    assert (len(found.rows), found.more) == (1000, True)
    empty = reader.query("SELECT id FROM steps WHERE day > 60000", at_most=5)
    assert (empty.rows, empty.columns, empty.more) == ([], ["id"], False)


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with start_server() as running:
        client = open_writer(running.url())
        create_tables(client, "v3")
        with Writer(client, "v3") as writer:
            writer.write(make_world(per_day=60))
        client.close()
        yield running


REQUEST = {"project_id": PROJECT, "window": "7d", "baseline": "7d", "until": END.isoformat()}


def run(server: RunningServer, **budget: Any) -> Report:
    context = Context(clickhouse_url=SecretStr(server.url()), budget=Budget(**budget))
    return Report.model_validate(build_graph().invoke(REQUEST, context=context)["report"])


@pytest.fixture(scope="module")
def whole(server: RunningServer) -> Report:
    """The report of a run that may read all it likes."""
    return run(server)


def test_the_report_says_what_was_spent(server: RunningServer, whole: Report) -> None:
    spent = whole.run.spent
    assert spent.queries >= whole.run.queries
    assert spent.rows >= whole.run.rows_read > 0
    assert spent.bytes > spent.rows
    assert spent.seconds > 0
    again = run(server).run.spent
    assert (again.queries, again.rows, again.bytes) == (spent.queries, spent.rows, spent.bytes)


@pytest.mark.parametrize(
    "budget", [{"rows": 0}, *(pytest.param({name: 0}, marks=pytest.mark.long) for name in ("bytes", "seconds"))]
)
def test_a_run_without_any_budget_ends_with_a_report(
    server: RunningServer, whole: Report, budget: dict[str, Any]
) -> None:
    report = run(server, **budget)
    assert report.coverage.traces == whole.coverage.traces
    assert report.findings == []
    assert report.coverage.detectors
    for detector in report.coverage.detectors:
        assert detector.status in ("skipped", "partial")
        assert "The run's budget is spent" in detector.reason


@pytest.mark.parametrize(
    "share", [pytest.param(0.3, marks=pytest.mark.long), 0.5, pytest.param(0.8, marks=pytest.mark.long), 0.95]
)
def test_a_run_whose_budget_ends_on_the_way_says_what_was_left_out(
    server: RunningServer, whole: Report, share: float
) -> None:
    budget = int(whole.run.spent.rows * share)
    report = run(server, rows=budget)
    assert report.run.spent.rows <= budget
    told = " ".join([*(d.reason for d in report.coverage.detectors), *report.coverage.notes])
    assert "budget" in told


def test_a_run_that_goes_on_later_has_counted_what_was_before(server: RunningServer, whole: Report) -> None:
    saver = InMemorySaver()
    graph = build_graph(saver)
    config: Any = {"configurable": {"thread_id": "1"}}
    context = Context(clickhouse_url=SecretStr(server.url()))
    graph.invoke(REQUEST, config, context=context, interrupt_before=["critic"])
    costs = graph.get_state(config).values["costs"]
    before = sum((Spent.model_validate(cost).queries for cost in costs.values()), 0)
    assert before > 3

    from hansei.tools.clickhouse import budget

    budget._meters.clear()  # as in another process
    spent = Report.model_validate(graph.invoke(None, config, context=context)["report"]).run.spent
    assert (spent.queries, spent.rows) == (whole.run.spent.queries, whole.run.spent.rows)


def test_a_thread_that_is_asked_again_begins_at_nothing(server: RunningServer, whole: Report) -> None:
    graph = build_graph(InMemorySaver())
    config: Any = {"configurable": {"thread_id": "1"}}
    context = Context(clickhouse_url=SecretStr(server.url()))
    for _ in range(2):
        report = Report.model_validate(graph.invoke(REQUEST, config, context=context)["report"])
        assert report.run.spent.queries == whole.run.spent.queries
