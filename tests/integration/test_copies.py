"""Copies of a run's rows in the memory of an embedded session: used where they hold, harmless where they do not."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from pydantic import SecretStr
from tests.support.job import analyse, differences, fill, told, writing
from tests.support.schemas import both
from tests.support.world import PERIODS, PROJECT, make_world

from hansei import Context, Report, build_graph
from hansei.context import Budget
from hansei.demo.tables import Schema, create_tables
from hansei.errors import HanseiError, QueryRefused
from hansei.nodes import critic, scope
from hansei.tools.clickhouse import Meter, Reader, close_readers, open_reader, shared_reader
from hansei.tools.clickhouse.copies import MOST_HOLDERS, Copies, Shortcut
from hansei.tools.clickhouse.embedded import open_clients
from hansei.tools.langfuse.dataset import Dataset
from hansei.tools.langfuse.relations import COLUMNS, Adapter
from hansei.tools.langfuse.v3 import V3
from hansei.tools.langfuse.v4 import V4

NUMBERS = Copies("a run", {"hansei_numbers": "SELECT number FROM numbers({count:UInt32})"}, {"count": 7})
TABLES = "SELECT 'tables' AS x"
SHORTCUT = Shortcut("a run", "SELECT toString(count()) AS x FROM hansei_numbers")


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An embedded database without rows."""
    url = f"chdb://{tmp_path_factory.mktemp('copies')}"
    with writing(url) as client:
        client.command("CREATE TABLE empty (x UInt8) ENGINE = MergeTree ORDER BY x")
    yield url
    close_readers()


@pytest.fixture
def reader(url: str) -> Iterator[Reader]:
    session = open_reader(url, project_id=PROJECT)
    yield session
    session.close()


def asked_of(reader: Reader, shortcut: Shortcut = SHORTCUT) -> set[str]:
    """What answers a question: the copies ('7', so many rows) or 'tables'. Asked often enough to meet every handle."""
    answers = {reader.query(TABLES, shortcut=shortcut).rows[0][0] for _ in range(4)}
    return answers | {reader.columns(TABLES, shortcut=shortcut)["x"][0] for _ in range(4)}


def test_a_session_asks_the_copies_that_a_question_is_about(reader: Reader) -> None:
    assert asked_of(reader) == {"tables"}
    reader.hold(2, NUMBERS)
    assert asked_of(reader) == {"7"}
    assert asked_of(reader, replace(SHORTCUT, copies="another run")) == {"tables"}
    assert reader.query(TABLES).rows == [["tables"]]
    reader.let_go("a run")
    assert asked_of(reader) == {"tables"}


def test_what_copying_reads_is_counted_once(reader: Reader) -> None:
    reader.hold(2, NUMBERS)
    spent = reader.spent
    assert (spent.queries, spent.rows) == (2, 14)
    reader.hold(2, NUMBERS)
    assert reader.spent == spent
    # An answer tells what it has read itself: of the copies.
    assert reader.query(TABLES, shortcut=replace(SHORTCUT, sql="SELECT sum(number) FROM hansei_numbers")).rows_read == 7


def test_a_handle_that_failed_is_replaced_by_one_without_copies(reader: Reader) -> None:
    reader.hold(1, NUMBERS)
    with pytest.raises(HanseiError):
        reader.query("SELECT throwIf(1)")
    assert asked_of(reader) == {"tables"}


def test_copies_are_given_up_at_once_by_who_made_them(reader: Reader) -> None:
    before = len(open_clients())
    reader.hold(2, NUMBERS)
    reader.let_go("another run")
    assert reader.copies == "a run"
    reader.let_go("a run")
    assert reader.copies is None
    # Two for queries side by side, instead of the first one.
    assert sum(is_open(client) for client in open_clients()) <= before + 1


def is_open(client: Any) -> bool:
    return not client._backend._closed


def test_a_small_budget_is_not_spent_on_copies(reader: Reader) -> None:
    reader.metered(Meter(Budget(seconds=20))).hold(2, NUMBERS)
    assert reader.copies is None


def test_what_is_too_large_is_asked_of_the_tables(reader: Reader) -> None:
    endless = replace(NUMBERS, parameters={"count": 100_000_000})
    reader.hold(2, endless)
    assert asked_of(reader) == {"tables"}
    reader.hold(2, endless)
    assert asked_of(reader) == {"tables"}


def test_the_copies_of_another_run_take_their_place(reader: Reader) -> None:
    reader.hold(2, NUMBERS)
    reader.hold(2, replace(NUMBERS, name="next", parameters={"count": 9}))
    assert asked_of(reader) == {"tables"}
    assert asked_of(reader, replace(SHORTCUT, copies="next")) == {"9"}


@pytest.mark.parametrize(
    "statement", ["TRUNCATE TABLE hansei_numbers", "SELECT 1; TRUNCATE TABLE hansei_numbers", "SELECT throwIf(1)"]
)
def test_queries_that_others_wrote_meet_no_copies(reader: Reader, statement: str) -> None:
    reader.hold(2, NUMBERS)
    for asking in (reader, reader.metered(Meter(Budget()))):
        for _ in range(3):
            # ClickHouse lets a read-only session change its own temporary tables, so there must be none.
            with suppress(HanseiError):
                asking.query(statement, foreign=True)
    with pytest.raises(HanseiError):
        reader.query("SELECT count() FROM hansei_numbers", foreign=True)
    assert asked_of(reader) == {"7"}


def test_sql_of_strangers_cannot_name_them(url: str) -> None:
    reader = open_reader(url, project_id=PROJECT)
    dataset = Dataset(reader, V4("default"), PROJECT, PERIODS)
    with pytest.raises(QueryRefused):
        dataset.admit("SELECT count() FROM hansei_traces")
    reader.close()


def test_nobody_else_sees_them_and_nothing_stays(reader: Reader, url: str) -> None:
    def files() -> set[Path]:
        return {path for path in Path(url.removeprefix("chdb://")).rglob("*") if "tmp" not in path.parts}

    before = files()
    reader.hold(2, NUMBERS)
    other = open_reader(url)
    with pytest.raises(HanseiError):
        other.query("SELECT count() FROM hansei_numbers")
    assert other.query("SELECT count() AS n FROM system.tables WHERE name LIKE 'hansei%'").rows == [[0]]
    other.close()
    assert files() == before


def test_few_sessions_hold_copies_at_a_time(url: str) -> None:
    sessions = [open_reader(url, project_id=f"project {at}") for at in range(MOST_HOLDERS + 1)]
    try:
        for session in sessions:
            session.hold(1, NUMBERS)
        assert [asked_of(session) for session in sessions] == [{"tables"}, *([{"7"}] * MOST_HOLDERS)]
        sessions[-1].let_go("a run")
        sessions[0].hold(1, replace(NUMBERS, name="a run"))
        # Copies are tried once a run: what was taken away is not fought for.
        assert asked_of(sessions[0]) == {"tables"}
    finally:
        for session in sessions:
            session.close()


def adapters() -> list[Adapter]:
    found: list[Adapter] = []
    for plain in (V3("v3"), V4("v4")):
        found.append(plain)
        flags = [field.name for field in fields(plain) if isinstance(getattr(plain, field.name), bool)]
        found += [replace(plain, **{flag: not getattr(plain, flag)}) for flag in flags]
    return found


@pytest.mark.parametrize("adapter", adapters(), ids=str)
def test_the_widest_form_has_all_columns(adapter: Adapter, url: str) -> None:
    with writing(f"{url}?database={adapter.version}") as client:
        create_tables(client, adapter.version, adapter.version)
        table = "dataset_run_items_rmt (project_id String, trace_id String)"
        client.command(f"CREATE TABLE IF NOT EXISTS {table} ENGINE = MergeTree ORDER BY trace_id")
    session = open_reader(f"{url}?database={adapter.version}")
    ends = ("range", "first", "second")
    moments = {f"{which}_start": datetime(2026, 1, 1, tzinfo=UTC) for which in ends}
    moments |= {f"{which}_end": datetime(2026, 12, 31, tzinfo=UTC) for which in ends}
    values: dict[str, Any] = {"project_id": PROJECT, "environments": [], "sample": 1, "slack_days": 1, **moments}
    try:
        for name, select in adapter.widest().items():
            found = session.query(f"DESCRIBE TABLE ({select})", values)
            assert sorted(row[0] for row in found.rows) == sorted(COLUMNS[name])
            raw = session.query(f"SELECT {', '.join(adapter.raw_columns(name))} FROM ({adapter.raw(name)})", values)
            assert raw.rows == []
    finally:
        session.close()


def test_a_node_that_fails_gives_up_the_copies_of_its_run(reader: Reader) -> None:
    reader.hold(2, NUMBERS)

    @scope.giving_up
    def node(state: Any, runtime: Any) -> str:
        return str(1 / state["number"])

    def state(run: str, number: int) -> Any:
        return {"scope": {"run_id": run}, "number": number}

    assert node(state("a run", 1), None) == "1.0"
    for run, left in (("another run", "a run"), ("a run", None)):
        assert reader.copies == "a run"
        with pytest.raises(ZeroDivisionError):
            node(state(run, 0), None)
        assert reader.copies == left
    assert asked_of(reader) == {"tables"}


@pytest.mark.long
def test_a_run_that_fails_gives_up_its_copies_and_can_go_on(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    filled = fill(f"{url}?database=failing", "v4", make_world(per_day=12))
    context = Context(clickhouse_url=SecretStr(filled))
    thread: Any = {"configurable": {"thread_id": "a run"}}
    reader = shared_reader(context, project_id=PROJECT)
    graph = build_graph(InMemorySaver())
    held = []

    def fails(*_: Any) -> None:
        held.append(reader.copies)
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(critic, "drafts_of", fails)
        with pytest.raises(ZeroDivisionError):
            graph.invoke({"project_id": PROJECT}, thread, context=context)
    assert held[0] is not None
    assert reader.copies is None
    report = Report.model_validate(graph.invoke(None, thread, context=context)["report"])
    assert report.run.id == held[0]


@pytest.mark.parametrize("schema", both("v4"))
def test_a_run_over_copies_gives_the_report_of_one_over_the_tables(
    schema: Schema, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(visit: Any) -> None:
        for step in visit.steps:
            if step.name == "lookup_order" and visit.day >= 0 and visit.random.random() < 0.2:
                step.level, step.status = "ERROR", "order service: 503"

    filled = fill(f"{url}?database=d{uuid.uuid4().hex[:8]}_{schema}", schema, make_world(failing))
    over_copies = analyse(filled, PROJECT)
    monkeypatch.setattr(scope, "AT_MOST", 0)
    over_tables = analyse(filled, PROJECT)
    assert over_copies.findings
    assert differences(told(over_copies), told(over_tables)) == []
    assert asked(over_copies) == asked(over_tables)


def asked(report: Report) -> list[tuple[str, str]]:
    """All SQL and hashes of its answers."""
    return [(item.sql, item.result_hash) for finding in report.findings for item in finding.evidence]
