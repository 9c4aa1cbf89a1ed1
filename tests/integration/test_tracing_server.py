"""Tracing inside LangGraph's own server (`langgraph dev`, as Studio uses it), where nobody can hand in a handler."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from langfuse import Langfuse
from tests.support.otlp_server import PROJECT_ID, OtlpServer, refusing_url

pytest.importorskip("langgraph_api", reason="LangGraph's server is the extra “studio”")

ROOT = Path(__file__).resolve().parents[2]

APP = """
import sys
from hansei.tools.langfuse.tracing import traced
from tests.support.traced_graph import broken_critic, small_graph

graph = traced(small_graph(), version="1.2.3", tags=["studio"])
broken = traced(small_graph(broken_critic), version="1.2.3", tags=["studio"])
assert "langfuse" not in sys.modules
"""


@pytest.fixture(scope="module")
def langfuse() -> Iterator[OtlpServer]:
    with OtlpServer() as server:
        yield server


@pytest.fixture(scope="module")
def studio(langfuse: OtlpServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of a running `langgraph dev`, which serves the small graph and one whose critic fails."""
    folder = tmp_path_factory.mktemp("studio")
    (folder / "app.py").write_text(APP)
    graphs = {"hansei": "./app.py:graph", "broken": "./app.py:broken"}
    (folder / "langgraph.json").write_text(json.dumps({"dependencies": ["."], "graphs": graphs}))
    settings = {
        "LANGFUSE_BASE_URL": langfuse.url, "LANGFUSE_PUBLIC_KEY": "pk-lf-1", "LANGFUSE_SECRET_KEY": "sk-lf-1",
        "PYTHONPATH": str(ROOT), "LANGSMITH_TRACING": "false",
    }  # fmt: skip
    url = refusing_url()
    command = [str(Path(sys.executable).parent / "langgraph"), "dev", "--no-browser", "--no-reload"]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [*command, "--port", url.rpartition(":")[2]],
            cwd=folder, env=os.environ | settings, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            with httpx.Client(base_url=url, timeout=60) as client:
                wait_until(lambda: process.poll() is not None or answers(client), "the server answers")
                assert process.poll() is None, (folder / "log").read_text()
                yield client
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(60)
    assert "BlockingError" not in (folder / "log").read_text()


def answers(client: httpx.Client) -> bool:
    try:
        return client.get("/ok").is_success
    except httpx.TransportError:
        return False


def wait_until(condition: Any, what: str) -> None:
    for _ in range(600):
        if condition():
            return
        time.sleep(0.1)
    pytest.fail(f"never came true: {what}")


def run(studio: httpx.Client, graph: str, thread: str) -> tuple[str, dict[str, Any]]:
    """Runs a graph in a thread to its end: the server's id of the run, and the state."""
    question = {"assistant_id": graph, "input": {"question": "why?"}}
    answer = studio.post(f"/threads/{thread}/runs/wait", json=question)
    runs = studio.get(f"/threads/{thread}/runs").json()
    return runs[0]["run_id"], answer.json()


def new_thread(studio: httpx.Client) -> str:
    return str(studio.post("/threads", json={}).json()["thread_id"])


def observations(langfuse: OtlpServer, trace_id: str) -> Counter[tuple[str, str]]:
    spans = [span for span in langfuse.spans if span.trace_id == trace_id]
    names = {span.span_id: span.name for span in spans}
    return Counter((span.name, names.get(span.parent_id, span.parent_id)) for span in spans)


def test_a_run_in_the_server_is_one_trace_of_its_thread(studio: httpx.Client, langfuse: OtlpServer) -> None:
    thread = new_thread(studio)
    run_id, state = run(studio, "hansei", thread)
    trace_id = Langfuse.create_trace_id(seed=run_id)
    assert state["link"] == f"{langfuse.url}/project/{PROJECT_ID}/traces/{trace_id}"
    wait_until(lambda: observations(langfuse, trace_id)["hansei", ""] == 1, "the trace has arrived")
    seen = observations(langfuse, trace_id)
    assert seen["analyst", "hansei"] == 3
    assert {seen[f"query {task}", "analyst"] for task in ("error", "latency", "cost")} == {1}
    assert seen["rederive", "critic"] == seen["FakeListChatModel", "writer"] == seen["planner", "hansei"] == 1
    assert sum(seen.values()) == 13
    for span in langfuse.spans:
        if span.trace_id == trace_id:
            assert span.attributes["session.id"] == thread
            assert span.attributes["langfuse.trace.tags"] == ["studio"]
            assert span.attributes["langfuse.trace.name"] == span.attributes["langfuse.environment"] == "hansei"


def test_an_error_in_the_server_is_told_in_its_trace(studio: httpx.Client, langfuse: OtlpServer) -> None:
    run_id, _ = run(studio, "broken", new_thread(studio))
    trace_id = Langfuse.create_trace_id(seed=run_id)
    wait_until(lambda: observations(langfuse, trace_id)["hansei", ""] == 1, "the trace has arrived")
    levels = {
        span.name: span.attributes.get("langfuse.observation.level")
        for span in langfuse.spans if span.trace_id == trace_id
    }  # fmt: skip
    assert levels["critic"] == levels["rederive"] == levels["hansei"] == "ERROR"
    assert levels["analyst"] is None
    assert "writer" not in levels


def test_runs_at_the_same_time_do_not_mix(studio: httpx.Client, langfuse: OtlpServer) -> None:
    threads = [new_thread(studio) for _ in range(3)]
    run_ids: dict[str, str] = {}

    def ask(thread: str) -> None:
        run_ids[thread], _ = run(studio, "hansei", thread)

    workers = [threading.Thread(target=ask, args=(thread,)) for thread in threads]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for thread, run_id in run_ids.items():
        trace_id = Langfuse.create_trace_id(seed=run_id)
        wait_until(lambda trace_id=trace_id: sum(observations(langfuse, trace_id).values()) == 13, "the trace is whole")
        sessions = {span.attributes["session.id"] for span in langfuse.spans if span.trace_id == trace_id}
        assert sessions == {thread}
    assert len(run_ids) == 3
