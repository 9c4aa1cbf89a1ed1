"""The graph as applications use it: interrupted and resumed, asked again, in batches, with faults under it."""

from __future__ import annotations

import asyncio
import json
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from pydantic import SecretStr
from tests.support.clickhouse_http import RunningServer, User, start_server
from tests.support.world import END, PROJECT, Visit, make_world

from hansei import ConnectionFailed, Context, Report, build_graph
from hansei.demo import Writer, create_tables
from hansei.demo.rows import Rows
from hansei.nodes.critic import MOST_ROUNDS
from hansei.tools.clickhouse import close_readers, open_writer

USER, PASSWORD = "reader", "correct-horse-battery"
OTHER = "umbrella"
"""A second project in the same tables, in which one user's retrievals fail."""

REQUEST = {"project_id": PROJECT, "until": END.isoformat()}
SCREEN_OF_SCORES = "part.3.1 AS prompt_name"
"""Only in the query with which the analyst of scores begins."""

TEXTS_OF_TOOLS = "countIf(repeats >= 4) AS looping"
"""Only in the profile's query that reads what tools were called with and what they answered."""

ASKED_BY_ONE_ATTEMPT = 4
"""How often a query is sent before the analyst gives it back to the graph."""


def faults(visit: Visit) -> None:
    """From the third day on a tool fails now and then, and summaries are slow."""
    if visit.app == "support" and visit.day >= 2 and visit.random.random() < 0.25:
        visit.steps[1].level, visit.steps[1].status, visit.steps[1].output = "ERROR", "timeout", ""
    if visit.app == "research" and visit.day >= 2:
        visit.steps[-1].seconds *= 2.5


def one_users_errors(visit: Visit) -> None:
    if visit.app == "support" and visit.day >= 0 and visit.random.random() < 0.06:
        visit.user = "tester"  # whose traces are too few to be told apart before somebody asks about them
        visit.steps[0].level, visit.steps[0].status = "ERROR", "index is gone"


def of_the_other_project(rows: Rows) -> Rows:
    for row in (*rows.traces, *rows.observations, *rows.scores):
        row.project_id = OTHER
    return rows


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    """ClickHouse over HTTP with both projects."""
    with start_server(users={"default": User(), USER: User(PASSWORD)}) as server:
        client = open_writer(server.url())
        create_tables(client, "v4")
        with Writer(client, "v4") as writer:
            writer.write(make_world(faults))
            writer.write(of_the_other_project(make_world(one_users_errors, seed=2)))
        client.close()
        yield server
        close_readers(server.url(USER, PASSWORD))


@pytest.fixture
def context(server: RunningServer) -> Iterator[Context]:
    yield Context(clickhouse_url=SecretStr(server.url(USER, PASSWORD)))
    server.misbehave("drop", 0)


@pytest.fixture(scope="module")
def whole(server: RunningServer) -> dict[str, Any]:
    """The report of a run that nothing happened to."""
    url = SecretStr(server.url(USER, PASSWORD))
    report: dict[str, Any] = build_graph().invoke(REQUEST, context=Context(clickhouse_url=url))["report"]
    assert {finding["kind"] for finding in report["findings"]} >= {"error", "latency"}
    return report


def told(report: dict[str, Any]) -> str:
    """The report as JSON, without what differs from run to run: the run itself, timings, and the seals over them."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(inner) for key, inner in value.items() if key not in ("seconds", "rows_read")}
        return [plain(item) for item in value] if isinstance(value, list) else value

    return json.dumps(plain({key: value for key, value in report.items() if key not in ("run", "seals")}), indent=1)


def thread(name: str) -> dict[str, Any]:
    return {"configurable": {"thread_id": name}}


def analysts(graph: Any, start: Any, config: Any, context: Context) -> list[str]:
    """Runs a graph and returns the analysts that went to work, one entry each time that one started."""
    started = []
    for event in graph.stream(start, config, context=context, stream_mode="custom"):
        if event["step"] == "analyst" and event["status"] == "started":
            started.append(event["task"])
    return started


def in_memory(folder: Path) -> AbstractContextManager[BaseCheckpointSaver[Any]]:
    return nullcontext(InMemorySaver())


def in_sqlite(folder: Path) -> AbstractContextManager[BaseCheckpointSaver[Any]]:
    return SqliteSaver.from_conn_string(str(folder / "checkpoints.db"))


@pytest.mark.parametrize("saver", [in_memory, pytest.param(in_sqlite, marks=pytest.mark.long)])
def test_a_run_that_lost_clickhouse_goes_on_where_it_stopped(
    saver: Callable[[Path], AbstractContextManager[BaseCheckpointSaver[Any]]],
    server: RunningServer,
    context: Context,
    whole: dict[str, Any],
    tmp_path: Path,
) -> None:
    before = server.queries
    assert told(build_graph().invoke(REQUEST, context=context)["report"]) == told(whole)
    queries_of_a_run = server.queries - before

    with saver(tmp_path) as checkpointer:
        graph = build_graph(checkpointer)
        # One analyst after the other: LangGraph itself takes one of the two threads, to listen for events.
        config = thread("lost") | {"max_concurrency": 2}
        before, faults_before = server.queries, server.faults
        server.misbehave("drop", 100, SCREEN_OF_SCORES)
        with pytest.raises(ConnectionFailed, match="closed the connection"):
            graph.invoke(REQUEST, config, context=context)
        server.misbehave("drop", 0)
        assert graph.get_state(config).next == ("analyst",)

        again = analysts(graph, None, thread("lost"), context)
        assert again == ["quality"]
        assert told(graph.get_state(config).values["report"]) == told(whole)
        assert server.queries - before == queries_of_a_run + server.faults - faults_before


KILLED = """
import sys
from langgraph.checkpoint.sqlite import SqliteSaver
from hansei import Context, build_graph

path, url, project, until = sys.argv[1:]
with SqliteSaver.from_conn_string(path) as saver:
    parts = build_graph(saver).stream(
        {"project_id": project, "until": until}, {"configurable": {"thread_id": "killed"}},
        context=Context(clickhouse_url=url), stream_mode="updates", durability="sync",
    )
    for part in parts:
        print(*part, flush=True)
"""


def wait_until_stored(path: Path, analysts: int) -> None:
    """LangGraph stores a finished task's result in the background, shortly after it has told that it is finished."""
    # Only of the last step: connect has written drafts too, when it cleared them.
    drafts = (
        "SELECT count(DISTINCT task_id) FROM writes WHERE channel = 'drafts'"
        " AND checkpoint_id = (SELECT max(checkpoint_id) FROM checkpoints)"
    )
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with closing(sqlite3.connect(path)) as stored:
            if stored.execute(drafts).fetchone()[0] >= analysts:
                return
        time.sleep(0.05)
    raise AssertionError("the finished analysts' results were not stored")


def test_a_killed_process_is_taken_up_by_another(
    server: RunningServer, context: Context, whole: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "checkpoints.db"
    begun = len(server.asked)
    server.misbehave("hang", 100, SCREEN_OF_SCORES)
    command = [sys.executable, "-c", KILLED, str(path), server.url(USER, PASSWORD), PROJECT, END.isoformat()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        finished = 0
        while finished < len(whole["plan"]) - 1:
            line = process.stdout.readline()
            assert line, "the process ended by itself"
            finished += line.strip() == "analyst"
        wait_until_stored(path, finished)
        process.send_signal(signal.SIGKILL)
    server.misbehave("hang", 0)
    killed = len(server.asked)

    with SqliteSaver.from_conn_string(str(path)) as saver:
        graph = build_graph(saver)
        assert analysts(graph, None, thread("killed"), context) == ["quality"]
        assert told(graph.get_state(thread("killed")).values["report"]) == told(whole)
    # Of all that was asked before the kill, what had been answered is not asked again: only the query that hung is.
    before, after = Counter(server.asked[begun:killed]), Counter(server.asked[killed:])
    assert sum((before & after).values()) == 1
    assert len(before) > len(after) > 1


def test_the_state_is_plain_json_without_password_and_client(context: Context, tmp_path: Path) -> None:
    path = tmp_path / "checkpoints.db"
    with SqliteSaver.from_conn_string(str(path)) as saver:
        graph = build_graph(saver)
        graph.invoke(REQUEST, thread("plain"), context=context)
        history = list(graph.get_state_history(thread("plain")))
    assert len(history) >= len(["start", "connect", "profile", "planner", "analysts", "critic", "writer"])
    for snapshot in history:
        values = {name: value for name, value in snapshot.values.items() if name != "messages"}
        assert json.loads(json.dumps(values)) == values
        assert PASSWORD not in repr(snapshot)
    assert Report.model_validate(history[0].values["report"]).findings
    with sqlite3.connect(path) as database:
        stored = "\n".join(database.iterdump())
    database.close()
    assert PASSWORD not in stored
    assert PASSWORD.encode().hex() not in stored.lower()
    assert REQUEST["project_id"].encode().hex() in stored.lower(), "the dump shows what is stored"


@pytest.mark.long
def test_a_second_request_on_a_thread_does_not_mix_with_the_first(context: Context, whole: dict[str, Any]) -> None:
    second = {"project_id": OTHER, "until": END.isoformat(), "question": "Why are there so many errors?"}
    graph = build_graph(InMemorySaver())
    first_report = graph.invoke(REQUEST, thread("twice"), context=context)["report"]
    second_report = graph.invoke(second, thread("twice"), context=context)["report"]
    assert told(first_report) == told(whole)
    assert told(second_report) == told(build_graph().invoke(second, context=context)["report"])
    # What the second request leaves unsaid is its default, not what the first one said.
    third_report = graph.invoke(REQUEST, thread("twice"), context=context)["report"]
    assert told(third_report) == told(whole)
    assert len(graph.get_state(thread("twice")).values["messages"]) == 3


@pytest.mark.long
def test_a_batch_over_two_projects(context: Context, whole: dict[str, Any]) -> None:
    requests = [REQUEST, {**REQUEST, "project_id": OTHER}, {**REQUEST, "project_id": "nobody"}]
    done = build_graph().batch(requests, context=context, return_exceptions=True)
    assert told(done[0]["report"]) == told(whole)
    assert done[1]["report"]["project_id"] == OTHER
    assert done[1]["report"]["coverage"]["total_cost"] != whole["coverage"]["total_cost"]
    assert isinstance(done[2], LookupError)


def test_an_asynchronous_host_gets_the_same_report(context: Context, whole: dict[str, Any]) -> None:
    result = asyncio.run(build_graph(InMemorySaver()).ainvoke(REQUEST, thread("async"), context=context))
    assert told(result["report"]) == told(whole)


@pytest.mark.long
def test_without_a_context_the_environment_counts(
    server: RunningServer, whole: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HANSEI_CLICKHOUSE_URL", server.url(USER, PASSWORD))
    assert told(build_graph().invoke(REQUEST)["report"]) == told(whole)


def test_a_refused_query_costs_what_it_was_for_and_is_said(
    server: RunningServer, context: Context, whole: dict[str, Any]
) -> None:
    server.misbehave("denied", 100, TEXTS_OF_TOOLS)
    report = build_graph().invoke(REQUEST, context=context)["report"]
    statuses = {entry["name"]: entry for entry in report["coverage"]["detectors"]}
    lost = {name: entry["reason"] for name, entry in statuses.items() if entry["status"] == "partial"}
    denied = "The ClickHouse user reader lacks the privilege SELECT on langfuse.observations."
    assert lost == dict.fromkeys(("empty_retrieval", "loop", "silent_failure"), denied)
    assert [finding["title"] for finding in report["findings"]] == [finding["title"] for finding in whole["findings"]]


@pytest.mark.long
def test_a_refused_measurement_keeps_the_slices_of_its_screen(
    server: RunningServer, context: Context, whole: dict[str, Any]
) -> None:
    def slices(report: dict[str, Any]) -> dict[str, int]:
        return {entry["name"]: entry["slices"] for entry in report["coverage"]["detectors"]}

    server.misbehave("denied", 100, "quantilesExact(")
    report = build_graph().invoke(REQUEST, context=context)["report"]
    partial = [entry["name"] for entry in report["coverage"]["detectors"] if entry["status"] == "partial"]
    assert partial == ["latency"]
    assert slices(report) == slices(whole)
    assert "latency" not in {finding["kind"] for finding in (*report["findings"], *report["refuted"])}


def test_a_busy_clickhouse_is_asked_again(server: RunningServer, context: Context, whole: dict[str, Any]) -> None:
    before = server.faults
    server.misbehave("busy", ASKED_BY_ONE_ATTEMPT + 1, SCREEN_OF_SCORES)
    assert told(build_graph().invoke(REQUEST, context=context)["report"]) == told(whole)
    assert server.faults - before == ASKED_BY_ONE_ATTEMPT + 1


@pytest.mark.long
def test_a_bug_in_a_node_is_raised_and_can_be_resumed_from(context: Context, whole: dict[str, Any]) -> None:
    graph = build_graph(InMemorySaver())
    graph.invoke(REQUEST, thread("bug"), context=context, interrupt_before=["analyst"])
    planned = graph.get_state(thread("bug"))
    tasks = planned.values["tasks"]
    broken = graph.update_state(
        planned.config, {"tasks": [{**tasks[0], "detector": "unheard-of"}, *tasks[1:]]}, "planner"
    )
    with pytest.raises(KeyError, match="unheard-of"):
        graph.invoke(None, broken, context=context)
    assert graph.get_state(thread("bug")).next == ("analyst",)
    assert "report" not in graph.get_state(thread("bug")).values

    mended = graph.update_state(graph.get_state(thread("bug")).config, {"tasks": tasks}, "planner")
    assert told(graph.invoke(None, mended, context=context)["report"]) == told(whole)


def test_a_run_that_never_reached_clickhouse_goes_on_with_its_request(
    server: RunningServer, context: Context, whole: dict[str, Any]
) -> None:
    graph = build_graph(InMemorySaver())
    request = {**REQUEST, "question": "Why are there so many errors?", "language": "ja"}
    server.misbehave("drop", 100)
    with pytest.raises(ConnectionFailed):
        graph.invoke(request, thread("late"), context=context)
    server.misbehave("drop", 0)
    report = graph.invoke(None, thread("late"), context=context)["report"]
    assert (report["question"], report["language"]) == (request["question"], "ja")
    assert report["coverage"]["traces"] == whole["coverage"]["traces"]


def rounds(graph: Any, start: Any, config: Any, context: Context) -> list[str]:
    """The steps of a run, several analysts in parallel as one."""
    steps: list[str] = []
    for part in graph.stream(start, config, context=context, stream_mode="updates"):
        steps += [name for name in part if not name.startswith("__") and name not in steps[-1:]]
    return steps


def test_what_one_user_makes_is_sent_back_to_be_measured_about_that_user(context: Context) -> None:
    graph = build_graph(InMemorySaver())
    request = {**REQUEST, "project_id": OTHER}
    steps = rounds(graph, request, thread("user"), context)
    assert steps == ["connect", "profile", "planner", "analyst", "critic", "analyst", "critic", "writer"]
    report = graph.get_state(thread("user")).values["report"]
    told_about = [finding["segment"].get("user_id") for finding in (*report["findings"], *report["refuted"])]
    assert "tester" in told_about


@pytest.mark.long
def test_the_critic_sends_tasks_back_twice_at_most(context: Context) -> None:
    graph = build_graph(InMemorySaver())
    request = {**REQUEST, "project_id": OTHER}
    graph.invoke(request, thread("rounds"), context=context, interrupt_before=["critic"])
    measured = graph.get_state(thread("rounds"))
    assert measured.values["rounds"] == 0

    last = graph.update_state(measured.config, {"rounds": MOST_ROUNDS - 1}, "analyst")
    assert rounds(graph, None, last, context) == ["critic", "analyst", "critic", "writer"]
    over = graph.update_state(measured.config, {"rounds": MOST_ROUNDS}, "analyst")
    assert rounds(graph, None, over, context) == ["critic", "writer"]
