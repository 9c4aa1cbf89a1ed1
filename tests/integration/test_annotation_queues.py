"""Traces for people to label: added once to a queue of a Langfuse on a real socket, and removed by run."""

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
from pydantic import ValidationError
from tests.support.cli import clean_environment, hansei_here
from tests.support.langfuse_api import PROJECT_ID, PUBLIC_KEY, SECRET_KEY, Fault, LangfuseServer

from hansei.contracts.writes import WriteDecision, WriteEdit, WriteOutcome
from hansei.errors import LangfuseFailed
from hansei.graph.writes import write_if_approved
from hansei.tools.langfuse.api import Api, Patience, open_api
from hansei.tools.langfuse.connection import Server
from hansei.tools.writeback import (
    InQueue,
    Journal,
    Performing,
    ScoreConfig,
    deliver,
    fits,
    in_queue,
    open_journal,
    plan_of,
    preview_of,
    queue_writes,
    undo,
)

QUEUE = "to label / 2026"
CONFIG = ScoreConfig("no_refusal", "True when the answer does not refuse.")


@pytest.fixture
def server() -> Iterator[LangfuseServer]:
    with LangfuseServer() as running:
        yield running


@pytest.fixture
def api(server: LangfuseServer) -> Iterator[Api]:
    patience = Patience(attempts=2, first_pause=0.001, longest_pause=0.002)
    with open_api(Server(server.url, PUBLIC_KEY, SECRET_KEY), patience=patience) as opened:
        yield opened


def _plan(folder: Path, count: int, *, run_id: str = "run-a") -> None:
    with open_journal(folder, run_id=run_id, project_id=PROJECT_ID) as journal:
        journal.plan(queue_writes(QUEUE, [f"trace-{n}" for n in range(count)], [CONFIG], PROJECT_ID))


def _deliver(api: Api, folder: Path) -> int:
    with open_journal(folder) as journal:
        return deliver(api, journal).written


def _approved(journal: Journal, server: LangfuseServer) -> WriteOutcome:
    """What the graph `writes` makes of a journal whose preview is approved."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in server.settings.items():
            patch.setenv(name, value)
        approve = WriteDecision(decision="approve")
        return write_if_approved(plan_of(journal), Performing(journal), lambda _: approve, check=fits)


def _labelled(server: LangfuseServer) -> list[str]:
    return sorted(item["objectId"] for item in server.state.queue_items)


def test_each_trace_is_in_the_queue_once_whoever_adds_it(server: LangfuseServer, api: Api, tmp_path: Path) -> None:
    _plan(tmp_path / "a", 3)
    with open_journal(tmp_path / "a") as journal:
        preview = preview_of(journal)
        assert (preview["queues"], preview["score_configs"]) == ([QUEUE], ["no_refusal"])
        assert preview["queue_items"] == [{"queue": QUEUE, "count": 3}]
        assert not server.requests
    assert _deliver(api, tmp_path / "a") == 5
    assert _deliver(api, tmp_path / "a") == 0
    _plan(tmp_path / "b", 130, run_id="run-b")  # more than a page
    assert _deliver(api, tmp_path / "b") == 132
    assert len(_labelled(server)) == len(set(_labelled(server))) == 130
    assert (len(server.state.queues), len(server.state.configs)) == (1, 1)
    [queue], [config] = server.state.queues.values(), server.state.configs.values()
    assert (queue["scoreConfigIds"], config["dataType"], config["name"]) == ([config["id"]], "BOOLEAN", "no_refusal")

    server.state.queue_items[0]["status"] = "COMPLETED"
    there = in_queue(api, QUEUE)
    assert (sorted(there.traces), there.waiting) == (_labelled(server), 129)
    assert in_queue(api, "another") == InQueue()

    with open_journal(tmp_path / "b") as journal:
        found = undo(api, journal, dry_run=False)
    assert (len(found.removed), found.others, found.kept) == (127, (), ())
    assert _labelled(server) == ["trace-0", "trace-1", "trace-2"]


def test_undo_leaves_what_a_person_has_labelled(server: LangfuseServer, api: Api, tmp_path: Path) -> None:
    _plan(tmp_path, 4)
    _deliver(api, tmp_path)
    server.state.queue_items[1]["status"] = "COMPLETED"
    gone = server.state.queue_items.pop(3)["objectId"]
    with open_journal(tmp_path) as journal:
        assert len(undo(api, journal, dry_run=True).removed) == 2
        assert len(server.state.queue_items) == 3
        found = undo(api, journal, dry_run=False)
        assert (len(found.removed), len(found.others), len(found.missing)) == (2, 1, 1)
        assert [one.kind for one in found.kept] == ["score_config", "queue"]
        assert gone not in _labelled(server)
    assert _labelled(server) == ["trace-1"]


@pytest.mark.parametrize("cut", ["before", "after"])
def test_a_lost_answer_doubles_nothing(server: LangfuseServer, api: Api, tmp_path: Path, cut: str) -> None:
    _plan(tmp_path, 6)
    server.fault("create_queue_item", Fault(cut=cut), after=2, times=1)  # type: ignore[arg-type]
    assert _deliver(api, tmp_path) == 8
    assert _labelled(server) == [f"trace-{n}" for n in range(6)]
    with open_journal(tmp_path) as journal:
        assert len(journal.given) == 8
        assert len(undo(api, journal, dry_run=False).removed) == 6
    assert not server.state.queue_items


def test_langfuse_goes_down_half_way_and_the_rest_follows(server: LangfuseServer, api: Api, tmp_path: Path) -> None:
    _plan(tmp_path, 6)
    server.fault("create_queue_item", Fault(status=503), after=3, times=100)
    with open_journal(tmp_path) as journal, pytest.raises(LangfuseFailed, match="503"):
        deliver(api, journal)
    server.heal()
    assert _deliver(api, tmp_path) == 3
    assert _labelled(server) == [f"trace-{n}" for n in range(6)]


def test_kill_9_between_an_item_and_its_id_doubles_nothing(server: LangfuseServer, tmp_path: Path) -> None:
    """Langfuse has taken the item; its answer, with the id, reaches nobody any more. Then undo removes all."""
    _plan(tmp_path, 5)
    server.fault("create_queue_item", Fault(stall=True, cut="after"), after=2, times=1)
    command = [sys.executable, "-m", "hansei", "write", str(tmp_path), "--yes"]
    process = subprocess.Popen(
        command, env=clean_environment(**server.settings), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 60
    while len(server.named("create_queue_item")) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert len(server.state.queue_items) == 3
    shown = hansei_here(tmp_path, "write", str(tmp_path), **server.settings)
    assert (shown.returncode, "traces to label" in shown.stdout, len(server.state.queue_items)) == (0, True, 3)
    done = hansei_here(tmp_path, "write", str(tmp_path), "--yes", **server.settings)
    assert done.returncode == 0, done.stderr
    assert _labelled(server) == [f"trace-{n}" for n in range(5)]
    gone = hansei_here(tmp_path, "undo", str(tmp_path), "--yes", "--json", **server.settings)
    told = json.loads(gone.stdout)
    assert (len(told["removed"]), told["queues_kept"], told["score_configs_kept"]) == (5, [QUEUE], ["no_refusal"])
    assert not server.state.queue_items


def test_a_trace_can_be_left_out_and_nothing_put_in_its_place(
    server: LangfuseServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in server.settings.items():
        monkeypatch.setenv(name, value)
    _plan(tmp_path, 3)
    with open_journal(tmp_path) as journal:
        plan, performing = plan_of(journal), Performing(journal)
        item = plan.writes[-1]
        assert item.what == f"trace trace-2 in the annotation queue {QUEUE}"
        other = {**item.content, "body": {**item.content["body"], "object_id": "another"}}
        changed = WriteDecision(decision="edit", edits=[WriteEdit(key=item.key, content=other)])
        with pytest.raises(ValidationError, match="may be left out"):
            write_if_approved(plan, performing, lambda _: changed, check=fits)
        less = WriteDecision(decision="edit", edits=[WriteEdit(key=item.key, content=None)])
        outcome = write_if_approved(plan, performing, lambda _: less, check=fits)
        assert (len(outcome.written), outcome.left_out) == (4, [item.key])
    assert _labelled(server) == ["trace-0", "trace-1"]


def test_people_are_asked_for_what_the_judge_gives(server: LangfuseServer, api: Api, tmp_path: Path) -> None:
    configs = [CONFIG, ScoreConfig("tone", "How it sounds.", categories=["kind", "curt"]),
               ScoreConfig("depth", "How deep.", span=(0, 10))]  # fmt: skip
    with open_journal(tmp_path, run_id="run-a", project_id=PROJECT_ID) as journal:
        journal.plan(queue_writes(QUEUE, ["t"], configs, PROJECT_ID))
        assert preview_of(journal)["score_config_types"] == {
            "no_refusal": "BOOLEAN", "tone": "CATEGORICAL", "depth": "NUMERIC",
        }  # fmt: skip
        assert deliver(api, journal).rejected == {}
    made = {one["name"]: one for one in server.state.configs.values()}
    assert [one["label"] for one in made["tone"]["categories"]] == ["kind", "curt"]
    assert (made["depth"]["minValue"], made["depth"]["maxValue"]) == (0, 10)


def test_a_name_that_langfuse_refuses_is_told(server: LangfuseServer, api: Api, tmp_path: Path) -> None:
    with open_journal(tmp_path, run_id="run-a", project_id=PROJECT_ID) as journal:
        journal.plan(queue_writes(QUEUE, ["t"], [ScoreConfig("a name: no", "")], PROJECT_ID))
        outcome = deliver(api, journal)
    assert set(outcome.rejected.values()) == {"HTTP 400", "Langfuse has no score config of that name.",
                                              "Langfuse has no queue of that name."}  # fmt: skip
    assert not server.state.queues


def test_no_more_wait_than_may_when_several_runs_are_written(server: LangfuseServer, api: Api, tmp_path: Path) -> None:
    """Three runs planned five traces each while the queue was empty, for a queue in which six may wait."""
    runs = {run: [f"{run}-{n}" for n in range(4)] + ["shared"] for run in ("a", "b", "c")}
    for run, traces in runs.items():
        with open_journal(tmp_path / run, run_id=run, project_id=PROJECT_ID) as journal:
            journal.plan(queue_writes(QUEUE, traces, [CONFIG], PROJECT_ID, most=6))
    assert _deliver(api, tmp_path / "a") == 7
    done = hansei_here(tmp_path, "write", "b", "--yes", "--json", **server.settings)
    told = json.loads(done.stdout)
    assert (done.returncode, told["newly_written"], told["not_added"]) == (0, 4, 3)  # one trace, one that was there
    assert len(server.state.queue_items) == 6
    again = hansei_here(tmp_path, "write", "b", "--yes", **server.settings)
    assert (again.returncode, "3 traces to label were not added" in again.stderr) == (0, True)
    for item in server.state.queue_items[:2]:
        item["status"] = "COMPLETED"
    assert _deliver(api, tmp_path / "b") == 2
    with open_journal(tmp_path / "c") as journal:
        outcome = _approved(journal, server)
    assert [one.error for one in outcome.failed] == ["as many traces wait in the annotation queue as may"] * 4
    assert sum(item["status"] == "PENDING" for item in server.state.queue_items) == 6
    with open_journal(tmp_path / "b") as journal:
        assert len(journal.left) == 1
        assert len(undo(api, journal, dry_run=False).removed) == 3
