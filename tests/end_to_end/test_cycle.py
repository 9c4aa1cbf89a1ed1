"""`hansei cycle`: the whole loop in one command, with a scripted model and a Langfuse on real sockets, and without."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.support.cli import Done, clean_environment, hansei_here
from tests.support.evaluation import ANSWER, MADE_UP, criteria_file, fill, kept_in, reading_judge, rows
from tests.support.faults import on_step, takes
from tests.support.langfuse_api import PROJECT_ID, Fault, LangfuseServer
from tests.support.openai_server import KEY, Answer, OpenAiServer, Request, structured
from tests.support.world import END, PROJECT, make_world

pytestmark = pytest.mark.long

SAID = {"false": f"{ANSWER} WRONG", "sound": ANSWER}
SLOW = {"name": "slow", "kind": "code", "check": "latency_limit", "definition": "It takes more than half a minute.",
        "parameters": {"seconds": 30}}  # fmt: skip
TRACES = 16


def model(request: Request) -> Answer:
    """A judge of traces; to all else it has nothing to say that fits."""
    return reading_judge(request) if "<trace>" in request.prompt else structured({})(request)


def judged(server: OpenAiServer) -> int:
    return sum("<trace>" in request.prompt for request in server.asked)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    where = f"chdb://{tmp_path_factory.mktemp('cycle')}/clickhouse"
    fill(where, "v4", rows(SAID))
    return where


def settings(url: str, server: OpenAiServer | None = None, **more: str) -> dict[str, str]:
    named = {"OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": KEY, "HANSEI_MODEL": "test-1"} if server else {}
    return {"HANSEI_CLICKHOUSE_URL": url, "HANSEI_PROJECT_ID": PROJECT_ID, "HANSEI_MODEL_CACHE": "off", **named, **more}


def arguments(folder: Path, *more: str) -> tuple[str, ...]:
    return ("cycle", "--until", END.isoformat(), "--criteria", criteria_file(folder, MADE_UP, SLOW), *more)


def cycle(folder: Path, environment: dict[str, str], *more: str) -> Done:
    return hansei_here(folder, *arguments(folder, *more), **environment)


def document(done: Done) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_without_a_model_it_reports_checks_and_proposes(url: str, tmp_path: Path) -> None:
    with LangfuseServer() as langfuse:
        told = document(cycle(tmp_path, settings(url, **langfuse.settings), "--json"))
        assert {request.verb for request in langfuse.requests} <= {"GET"}, "nothing is sent before somebody agrees"
    folder = tmp_path / told["folder"]
    by_name = {one["criterion"]: one for one in told["report"]["judgements"]}
    assert (by_name["slow"]["calibration"], by_name["slow"]["failing"]["n"]) == ("not_needed", TRACES)
    assert (by_name["made_up"]["calibration"], by_name["made_up"]["failing"]) == ("uncalibrated", None)
    assert (told["writes"]["dry_run"], told["writes"]["writes"]) == (True, TRACES)
    assert {"report.json", "report.md", "report.html", "evaluation.json", "writes.jsonl"} <= set(os.listdir(folder))
    assert "uncalibrated" in (folder / "report.html").read_text("utf-8")
    assert hansei_here(tmp_path, "verify", str(folder / "report.json"), HANSEI_CLICKHOUSE_URL=url).returncode == 0
    later = document(cycle(tmp_path, settings(url), "--json"))
    assert later["folder"] != told["folder"]
    assert hansei_here(tmp_path, "ledger", "list", "--ledger", "hansei-cycle/hansei-ledger.sqlite").returncode == 0
    wrong = cycle(tmp_path, settings(url), "--feedback", "a>=b")
    assert (wrong.returncode, wrong.stderr.count("names no feedback")) == (2, 1)


def test_with_a_model_nothing_is_judged_written_or_proposed_twice(url: str, tmp_path: Path) -> None:
    with OpenAiServer(model) as server, LangfuseServer() as langfuse:
        environment = settings(url, server, **langfuse.settings)
        more = ("--yes", "--queue", "to label", "--most-waiting", "10")
        langfuse.fault("create_queue_item", Fault(status=403), after=3, times=1)
        first = cycle(tmp_path, environment, *more)
        assert (first.returncode, "403" in first.stderr, first.stderr.count("hansei:")) == (2, True, 1)
        assert len(list((tmp_path / "hansei-cycle").glob("*/report.html"))) == 1
        asked = judged(server)
        assert asked == TRACES
        langfuse.heal()
        second = document(cycle(tmp_path, environment, *more, "--json"))
        assert judged(server) == asked
        made_up = next(one for one in second["report"]["judgements"] if one["criterion"] == "made_up")
        assert (made_up["failing"]["n"], made_up["calibration"]) == (TRACES, "uncalibrated")
        assert len(langfuse.state.scores) == 2 * TRACES
        items = langfuse.state.queue_items
        assert len({item["objectId"] for item in items}) == len(items) == 10
        for item in items[:4]:  # four were labelled, and say nothing to the judge yet
            item["status"] = "COMPLETED"
        undone = hansei_here(tmp_path, "undo", str(second["folder"]), "--yes", "--json", **langfuse.settings)
        assert len([one for one in json.loads(undone.stdout)["removed"] if one.startswith("hansei-")]) >= 2 * TRACES
        assert not langfuse.state.scores
        waiting = sum(item["status"] == "PENDING" for item in items)
        third = cycle(tmp_path, environment, *more)
        assert third.returncode == 0, third.stderr
        assert sum(item["status"] == "PENDING" for item in items) == 10
        assert len({item["objectId"] for item in items}) == len(items)
        assert f"{waiting} traces wait in “to label”, of 10 that may" in third.stderr
        langfuse.fault("list_queues", Fault(status=403))
        unseen = cycle(tmp_path, environment, *more)
        assert (unseen.returncode, "Nothing is proposed for “to label”" in unseen.stderr) == (2, True)
        assert len(langfuse.state.scores) == 2 * TRACES


def test_the_report_and_judging_have_one_bound(url: str, tmp_path: Path) -> None:
    """A report of so small a project asks the model nothing: one that did is put in its place, in a cut-off cycle."""
    with OpenAiServer(model) as server:
        whole = document(cycle(tmp_path, settings(url, server), "--json", "--max-tokens", "12000"))
        assert (whole["evaluation"]["stopped"], whole["evaluation"]["before"]["calls"]) == ("", 0)
        folder = tmp_path / whole["folder"]
        report = json.loads((folder / "report.json").read_text("utf-8"))
        report["run"] |= {
            "tokens": 10_500,
            "usage": {"writer": {"calls": 1, "input_tokens": 10_400, "output_tokens": 100}},
        }
        (folder / "report.json").write_text(json.dumps(report), "utf-8")
        note = json.loads((folder / "cycle.json").read_text("utf-8"))
        (folder / "cycle.json").write_text(json.dumps({**note, "done": False}), "utf-8")
        (tmp_path / "hansei-cycle" / "verdicts.sqlite").unlink()
        told = document(cycle(tmp_path, settings(url, server), "--json", "--max-tokens", "12000"))
        assert told["folder"] == whole["folder"]
        used, before = told["evaluation"]["usage"], told["evaluation"]["before"]
        assert (before["calls"], before["input_tokens"], before["output_tokens"]) == (1, 10_400, 100)
        assert 0 < used["calls"] < TRACES
        assert used["input_tokens"] + used["output_tokens"] <= 1500
        assert "may use 12,000 tokens" in told["evaluation"]["stopped"]


def started(folder: Path, environment: dict[str, str], *more: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "hansei", *arguments(folder, "--quiet", *more)]
    return subprocess.Popen(
        command, cwd=folder, env=clean_environment(**environment), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 240
    while not reached() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert reached()


def test_what_an_analysis_used_before_it_was_killed_counts(tmp_path: Path) -> None:
    """In a world with a finding the planner asks the model; the process dies while the second answer is under way."""
    where = f"chdb://{tmp_path}/clickhouse"
    fill(where, "v4", make_world(on_step("research", "summarise", takes(3.0), day=2)))
    stalled = threading.Event()

    def stalls(request: Request) -> Answer:
        if not request.is_probe and len(server.asked) > 1:
            stalled.wait(30)
        return model(request)

    def spent() -> list[tuple[str, int]]:
        verdicts = tmp_path / "hansei-cycle" / "verdicts.sqlite"
        if not verdicts.exists():
            return []
        with closing(sqlite3.connect(f"file:{verdicts}?mode=ro", uri=True, timeout=30)) as file:
            return file.execute("SELECT part, input_tokens FROM spent").fetchall()

    with OpenAiServer(stalls) as server:
        environment = settings(where, server, HANSEI_PROJECT_ID=PROJECT)
        process = started(tmp_path, environment)
        until(lambda: len(spent()) > 0 and len(server.asked) > 1)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        [(killed, tokens)] = spent()
        assert not list((tmp_path / "hansei-cycle").glob("*/report.json"))
        stalled.set()
        told = document(cycle(tmp_path, environment, "--json"))
    assert told["report"]["run"]["id"] != killed
    used = told["report"]["run"]["usage"]
    before = told["evaluation"]["before"]
    assert before["input_tokens"] == tokens + sum(one["input_tokens"] for one in used.values())
    assert not spent(), "the cycle has come to its end"


def test_kill_9_while_judging_costs_no_verdict(url: str, tmp_path: Path) -> None:
    stalled = threading.Event()

    def stalls(request: Request) -> Answer:
        if "<trace>" in request.prompt and sum("<trace>" in one.prompt for one in server.asked) > 7:
            stalled.wait(30)
        return model(request)

    with OpenAiServer(stalls) as server:
        environment = settings(url, server)
        process = started(tmp_path, environment)
        verdicts = tmp_path / "hansei-cycle" / "verdicts.sqlite"
        until(lambda: kept_in(verdicts) >= 7)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        stalled.set()
        before = judged(server)
        kept = kept_in(verdicts)
        assert kept >= 7
        [folder] = (tmp_path / "hansei-cycle").glob("*/report.json")
        report = json.loads(folder.read_text("utf-8"))["run"]["id"]
        told = document(cycle(tmp_path, environment, "--json"))
        assert (tmp_path / told["folder"]) == folder.parent
        assert told["report"]["run"]["id"] == report, "it is not analysed again"
        made_up = next(one for one in told["evaluation"]["results"] if one["criterion"]["name"] == "made_up")
        assert (made_up["n"], made_up["failing"]) == (TRACES, 1)
        # What was on its way when the process died is asked again, and nothing else.
        assert made_up["kept"] == kept
        assert judged(server) - before == TRACES - made_up["kept"]
