"""Writing scores back to a Langfuse on a real socket, with processes that are killed and a Langfuse that goes away."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command
from pydantic import ValidationError
from tests.support.cli import clean_environment, hansei_here
from tests.support.langfuse_api import PROJECT_ID, PUBLIC_KEY, SECRET_KEY, Fault, LangfuseServer
from tests.support.writing import START, pending, plan

from hansei.context import Context
from hansei.contracts.writes import PendingWrite
from hansei.errors import LangfuseFailed, UsageError
from hansei.graph.writes import build_writes_graph
from hansei.tools.langfuse.api import Api, Patience, open_api
from hansei.tools.langfuse.connection import Server
from hansei.tools.writeback import (
    JOURNAL,
    PendingScore,
    Performing,
    deliver,
    find_journal,
    fits,
    open_journal,
    plan_of,
    preview_of,
    score_id,
    send,
    undo,
)

QUICK = Patience(attempts=3, first_pause=0.001, longest_pause=0.002)


@pytest.fixture
def server() -> Iterator[LangfuseServer]:
    with LangfuseServer() as running:
        yield running


@pytest.fixture
def api(server: LangfuseServer) -> Iterator[Api]:
    with open_api(Server(server.url, PUBLIC_KEY, SECRET_KEY), patience=QUICK) as opened:
        yield opened


def _deliver(api: Api, folder: Path) -> int:
    with open_journal(folder) as journal:
        return deliver(api, journal).written


def test_scores_of_every_type_arrive_with_their_origin(server: LangfuseServer, api: Api, tmp_path: Path) -> None:
    common = {"trace_id": "t1", "scored_at": START, "criterion": "c", "criterion_version": "3"}
    scores = [
        PendingScore(name="ok", value=False, data_type="BOOLEAN", comment="It made up a price.", **common),
        PendingScore(name="length", value=12.5, data_type="NUMERIC", observation_id="o1", **common),
        PendingScore(name="tone", value="curt", data_type="CATEGORICAL", environment="langfuse-own", **common),
        PendingScore(name="note", value="x" * 500, data_type="TEXT", metadata={"judge": "m"}, **common),
    ]
    with open_journal(tmp_path, run_id="run-a", project_id=PROJECT_ID) as journal:
        journal.plan(score.write(PROJECT_ID, "run-a") for score in scores)
        assert [item["values"] for item in preview_of(journal)["scores"]] == [
            {"lowest": 12.5, "mean": 12.5, "highest": 12.5},
            {"texts": 1},
            {"true": 0, "false": 1},
            {"curt": 1},
        ]
        assert not server.requests
        assert deliver(api, journal).written == 4
    held = {score["name"]: score for score in server.state.scores.values()}
    assert {name: score["value"] for name, score in held.items()} == {
        "ok": False,
        "length": 12.5,
        "tone": "curt",
        "note": "x" * 500,
    }
    origin = {"hansei_run": "run-a", "hansei_criterion": "c", "hansei_criterion_version": "3"}
    assert held["ok"]["metadata"] == origin
    assert held["note"]["metadata"] == {**origin, "judge": "m"}
    assert held["ok"]["comment"] == "It made up a price."
    assert held["length"]["subject"] == {"kind": "observation", "id": "o1", "traceId": "t1"}
    assert held["tone"]["environment"] == "default"
    assert {score["source"] for score in held.values()} == {"API"}


@pytest.mark.parametrize(
    ("value", "data_type"),
    [(1.0, "BOOLEAN"), (True, "NUMERIC"), (float("nan"), "NUMERIC"), ("", "CATEGORICAL"), ("x" * 501, "TEXT")],
)
def test_a_value_of_another_type_is_refused_before_anything_is_sent(value: object, data_type: str) -> None:
    with pytest.raises(ValidationError):
        PendingScore.model_validate(
            {
                "name": "n",
                "value": value,
                "data_type": data_type,
                "trace_id": "t",
                "scored_at": START,
                "criterion": "c",
                "criterion_version": "1",
            }
        )


def test_a_rerun_updates_and_never_doubles(server: LangfuseServer, api: Api, tmp_path: Path) -> None:
    plan(tmp_path / "a", 120)
    assert _deliver(api, tmp_path / "a") == 120
    plan(tmp_path / "b", 120, run_id="run-b", value=False)
    assert _deliver(api, tmp_path / "b") == 120
    assert len(server.state.scores) == 120
    assert {score["value"] for score in server.state.scores.values()} == {False}
    assert {score["metadata"]["hansei_run"] for score in server.state.scores.values()} == {"run-b"}
    assert _deliver(api, tmp_path / "a") == 0


def test_ids_differ_by_project_name_criterion_version_trace_and_observation() -> None:
    ids = {
        score_id(*parts)
        for parts in [
            ("p", "n", "c", "1", "t"),
            ("p2", "n", "c", "1", "t"),
            ("p", "n2", "c", "1", "t"),
            ("p", "n", "c2", "1", "t"),
            ("p", "n", "c", "2", "t"),
            ("p", "n", "c", "1", "t2"),
            ("p", "n", "c", "1", "t", "o"),
            ("p", "n", "c", "", "1t"),
        ]
    }
    assert len(ids) == 8


def test_langfuse_goes_down_half_way_and_the_rest_follows(server: LangfuseServer, api: Api, tmp_path: Path) -> None:
    plan(tmp_path, 180)
    server.fault("create_scores", Fault(status=503), after=2, times=100)
    with open_journal(tmp_path) as journal, pytest.raises(LangfuseFailed, match="503"):
        deliver(api, journal)
    assert len(server.state.scores) == 100
    server.heal()
    assert _deliver(api, tmp_path) == 80
    assert len(server.state.scores) == 180
    assert len({key[2] for key in server.state.scores}) == 180


def test_an_answer_that_is_lost_doubles_nothing(server: LangfuseServer, api: Api, tmp_path: Path) -> None:
    plan(tmp_path, 60)
    server.fault("create_scores", Fault(cut="after"), times=4)
    with open_journal(tmp_path) as journal, pytest.raises(LangfuseFailed, match="hung up"):
        deliver(api, journal)
    assert len(server.state.scores) == 50
    assert _deliver(api, tmp_path) == 60
    assert len(server.state.scores) == 60


def test_what_langfuse_rejects_is_named_and_the_rest_is_written(
    server: LangfuseServer, api: Api, tmp_path: Path
) -> None:
    plan(tmp_path, 60)
    server.state.poisoned = {"trace-0007", "trace-0055"}
    with open_journal(tmp_path) as journal:
        outcome = deliver(api, journal)
        assert (outcome.written, len(outcome.rejected)) == (58, 2)
        assert {journal.planned[identity].body["trace_id"] for identity in outcome.rejected} == server.state.poisoned
    assert len(server.state.scores) == 58
    assert _deliver(api, tmp_path) == 0


def test_keys_of_another_project_write_nothing(server: LangfuseServer, api: Api, tmp_path: Path) -> None:
    with open_journal(tmp_path, run_id="run-a", project_id="another") as journal:
        journal.plan([pending(1).write("another", "run-a")])
        with pytest.raises(UsageError, match="keys belong to project"):
            deliver(api, journal)
    assert not server.named("create_scores")


def test_undo_removes_what_the_run_wrote_and_nothing_else(server: LangfuseServer, api: Api, tmp_path: Path) -> None:
    plan(tmp_path / "a", 100)
    _deliver(api, tmp_path / "a")
    plan(tmp_path / "b", 30, run_id="run-b", value=False)
    _deliver(api, tmp_path / "b")
    foreign = {**next(iter(server.state.scores.values())), "id": "somebody's", "metadata": {"hansei_run": "run-a"}}
    server.state.scores[("2026-10-01", "grounded", "somebody's")] = foreign
    with open_journal(tmp_path / "a") as journal:
        server.state.hidden_scores = {score_id(PROJECT_ID, "grounded", "grounded", "1", "trace-0099")}
        assert len(undo(api, journal, dry_run=True).removed) == 69
        assert len(server.state.scores) == 101
        found = undo(api, journal, dry_run=False)
        assert (len(found.removed), len(found.others), len(found.missing)) == (69, 30, 1)
        server.state.hidden_scores = set()
        again = undo(api, journal, dry_run=False)
        assert (len(again.removed), len(again.others), len(again.missing)) == (1, 30, 0)
    left = list(server.state.scores.values())
    assert len(left) == 31
    assert sorted({score["metadata"]["hansei_run"] for score in left}) == ["run-a", "run-b"]
    assert [score["id"] for score in left if score["metadata"]["hansei_run"] == "run-a"] == ["somebody's"]


def test_what_a_graph_sends_is_undone_by_its_run_whatever_the_run_is_called(
    server: LangfuseServer, api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (server.settings | {"HANSEI_JOURNALS": str(tmp_path / "kept")}).items():
        monkeypatch.setenv(name, value)
    hostile = "../../../elsewhere/\x00 run"
    runs = {"run-a": range(3), hostile: range(10, 12)}
    writes = [
        PendingWrite(key=one.id, what="a score", content={"kind": one.kind, "body": one.body})
        for run, numbers in runs.items()
        for one in (pending(number).write(PROJECT_ID, run) for number in numbers)
    ]
    for _ in range(2):  # a delivery that was cut off begins again
        results = list(send(writes, Context()))
        assert [(one.key, one.error) for one in results] == [(write.key, None) for write in writes]
    assert {one.run for one in results} == set(runs)
    assert len(server.state.scores) == 5
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    with open_journal(find_journal(hostile, tmp_path)) as journal:
        assert set(undo(api, journal, dry_run=False).removed) == {write.key for write in writes[3:]}
    assert {score["id"] for score in server.state.scores.values()} == {write.key for write in writes[:3]}
    # What was taken back, or removed by hand, is sent again when it is approved again.
    server.state.scores.clear()
    list(send(writes, Context()))
    assert len(server.state.scores) == 5
    server.state.scores.clear()
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HANSEI_JOURNALS", str(tmp_path / "file"))
    with pytest.raises(UsageError, match="HANSEI_JOURNALS"):
        list(send(writes, Context()))
    assert not server.state.scores


def test_undo_goes_on_after_a_fault(server: LangfuseServer, api: Api, tmp_path: Path) -> None:
    plan(tmp_path, 20)
    _deliver(api, tmp_path)
    server.fault("delete_score", Fault(cut="after"), after=5, times=1)
    server.fault("delete_score", Fault(status=500), after=3, times=100)
    with open_journal(tmp_path) as journal, pytest.raises(LangfuseFailed):
        undo(api, journal, dry_run=False)
    server.heal()
    with open_journal(tmp_path) as journal:
        undo(api, journal, dry_run=False)
        assert not journal.sent
    assert not server.state.scores


def test_a_line_that_was_half_written_is_forgotten(server: LangfuseServer, api: Api, tmp_path: Path) -> None:
    plan(tmp_path, 10)
    whole = (tmp_path / JOURNAL).read_bytes()
    (tmp_path / JOURNAL).write_bytes(whole + b'{"sending": ["hans')
    assert _deliver(api, tmp_path) == 10
    with open_journal(tmp_path) as journal:
        assert not journal.left
    (tmp_path / JOURNAL).write_bytes(b"{broken}\n" + whole)
    with pytest.raises(UsageError, match="Line 1"):
        open_journal(tmp_path)


def test_one_process_at_a_time(tmp_path: Path) -> None:
    plan(tmp_path, 1)
    with open_journal(tmp_path), pytest.raises(UsageError, match="Another process"):
        open_journal(tmp_path)
    with pytest.raises(UsageError, match="another run"):
        open_journal(tmp_path, run_id="run-b", project_id=PROJECT_ID)
    with pytest.raises(UsageError, match="holds no"):
        open_journal(tmp_path / "nowhere")


def test_the_command_shows_first_and_writes_when_told(server: LangfuseServer, tmp_path: Path) -> None:
    plan(tmp_path / "night", 70)
    shown = hansei_here(tmp_path, "write", "night", **server.settings)
    assert (shown.returncode, "70" in shown.stdout, "Nothing was written" in shown.stdout) == (0, True, True)
    assert not server.named("create_scores")
    done = hansei_here(tmp_path, "write", "run-a", "--yes", "--json", **server.settings)
    assert (done.returncode, json.loads(done.stdout)["newly_written"]) == (0, 70)
    assert hansei_here(tmp_path, "undo", "night", **server.settings).returncode == 0
    assert len(server.state.scores) == 70
    gone = hansei_here(tmp_path, "undo", "night", "--yes", "--json", **server.settings)
    assert (gone.returncode, len(json.loads(gone.stdout)["removed"])) == (0, 70)
    assert not server.state.scores


def test_the_command_says_what_to_do(server: LangfuseServer, tmp_path: Path) -> None:
    missing = hansei_here(tmp_path, "undo", "no-such-run", **server.settings)
    assert (missing.returncode, missing.stderr.count("\n")) == (2, 1)
    plan(tmp_path, 3)
    no_keys = hansei_here(tmp_path, "write", ".", "--yes")
    assert (no_keys.returncode, "LANGFUSE_PUBLIC_KEY" in no_keys.stderr) == (2, True)
    server.state.poisoned = {"trace-0001"}
    partly = hansei_here(tmp_path, "write", ".", "--yes", **server.settings)
    assert (partly.returncode, "will not take 1" in partly.stdout) == (2, True)


@pytest.mark.parametrize("moment", [1, 3])
def test_kill_9_while_writing_loses_and_doubles_nothing(server: LangfuseServer, tmp_path: Path, moment: int) -> None:
    plan(tmp_path, 220)
    server.fault("create_scores", Fault(stall=True), after=moment, times=1)
    command = [sys.executable, "-m", "hansei", "write", str(tmp_path), "--yes"]
    process = subprocess.Popen(
        command, env=clean_environment(**server.settings), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 60
    while len(server.named("create_scores")) < moment + 1 and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert len(server.state.scores) == 50 * moment
    done = hansei_here(tmp_path, "write", str(tmp_path), "--yes", **server.settings)
    assert done.returncode == 0, done.stderr
    assert len(server.state.scores) == len({key[2] for key in server.state.scores}) == 220


def test_the_approval_gate_stops_before_anything_is_sent(
    server: LangfuseServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The graph that Studio and host apps run: a person sees the plan, edits one score, leaves one out."""
    for name, value in server.settings.items():
        monkeypatch.setenv(name, value)
    plan(tmp_path, 4)
    with open_journal(tmp_path) as journal:
        graph = build_writes_graph(Performing(journal), check=fits, checkpointer=InMemorySaver())
        config: RunnableConfig = {"configurable": {"thread_id": "one"}}
        shown = graph.invoke({"writes": plan_of(journal).model_dump(mode="json")}, config)["__interrupt__"][0].value
        assert (shown["count"], shown["what"], server.requests) == (4, "scores of run run-a", [])
        first, second = shown["sample"][:2]
        assert first["what"] == "score grounded = True on trace trace-0000"
        stolen = {**first["content"], "body": {**first["content"]["body"], "id": "another"}}
        with pytest.raises(ValidationError, match="id may not be changed"):
            graph.invoke(
                Command(resume={"decision": "edit", "edits": [{"key": first["key"], "content": stolen}]}), config
            )
        assert not server.requests
        kinder = {**first["content"], "body": {**first["content"]["body"], "comment": "It is right after all."}}
        edits = [{"key": first["key"], "content": kinder}, {"key": second["key"], "content": None}]
        outcome = graph.invoke(Command(resume={"decision": "edit", "edits": edits}), config)["outcome"]
        assert (len(outcome["written"]), outcome["failed"], outcome["left_out"]) == (3, [], [second["key"]])
        assert len(journal.left) == 1
    comments = {score["id"]: score["comment"] for score in server.state.scores.values()}
    assert comments[first["key"]] == "It is right after all."
    assert second["key"] not in comments
