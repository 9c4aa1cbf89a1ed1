"""The graph in LangGraph's own server, started as for Studio: `langgraph dev` on the project's langgraph.json."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.support.clickhouse_http import RunningServer, User, start_server
from tests.support.world import END, PROJECT, Visit, make_world

from hansei import Context, Report, Request
from hansei.demo import Writer, create_tables
from hansei.tools.clickhouse import open_writer

pytest.importorskip("langgraph_api", reason="LangGraph's server is the extra “studio”")
sdk = pytest.importorskip("langgraph_sdk")

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "correct-horse-battery"
REQUEST = {"project_id": PROJECT, "until": END.isoformat()}


def faults(visit: Visit) -> None:
    visit.input, visit.output = f"Where is order {visit.at:%H%M}?", "It is on its way."
    if visit.app == "support" and visit.day >= 2 and visit.random.random() < 0.25:
        visit.steps[1].level, visit.steps[1].status, visit.steps[1].output = "ERROR", "timeout", ""


@dataclass(frozen=True)
class Studio:
    """A running server, and where the sample project is once more under another database."""

    client: Any
    log: Path
    other_url: str
    process: int

    def run(self, thread: str, request: dict[str, Any], **options: Any) -> Any:
        """Runs the graph in a thread to its end, as Studio does; returns its output."""
        return self.client.runs.wait(thread, "hansei", input=request, **options)

    def new_thread(self) -> str:
        return str(self.client.threads.create()["thread_id"])


@pytest.fixture(scope="module")
def clickhouse() -> Iterator[RunningServer]:
    with start_server(users={"default": User(), "reader": User(PASSWORD)}) as server:
        for database, visits in (("acme", 60), ("quiet", 20)):
            client = open_writer(server.url(database=database))
            create_tables(client, "v3", database)
            with Writer(client, "v3", database) as writer:
                writer.write(make_world(faults, per_day=visits))
            client.close()
        yield server


@pytest.fixture(scope="module")
def studio(clickhouse: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """`langgraph dev` in a copy of what it needs of the project: no .env and no keys, as after a fresh clone."""
    settings = {"HANSEI_CLICKHOUSE_URL": clickhouse.url("reader", PASSWORD, "acme")}
    with served(tmp_path_factory.mktemp("studio"), settings, clickhouse.url("reader", PASSWORD, "quiet")) as running:
        yield running


@contextmanager
def served(folder: Path, variables: dict[str, str], other_url: str = "") -> Iterator[Studio]:
    """`langgraph dev` in a folder with a copy of what it needs, and these variables besides the usual ones."""
    for name in ("langgraph.json", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "graph", folder / "graph", ignore=shutil.ignore_patterns("__pycache__"))
    kept = {
        n: v for n, v in os.environ.items() if not n.startswith(("LANGFUSE_", "LANGSMITH_", "LANGCHAIN_", "HANSEI_"))
    }
    kept["HANSEI_VERDICTS"] = str(folder / "verdicts.sqlite")
    settings = {**variables, "no_proxy": "*"}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        str(Path(sys.executable).parent / "langgraph"),
        "dev",
        "--no-browser",
        "--no-reload",
        "--port",
        str(port),
    ]
    log = folder / "log"
    with log.open("w") as output:
        process = subprocess.Popen(command, cwd=folder, env=kept | settings, stdout=output, stderr=subprocess.STDOUT)
        try:
            url = f"http://127.0.0.1:{port}"
            for _ in range(600):
                if process.poll() is not None or answers(url):
                    break
                time.sleep(0.1)
            assert process.poll() is None, log.read_text()
            with sdk.get_sync_client(url=url, timeout=120) as client:
                yield Studio(client, log, other_url, process.pid)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(60)


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/ok", trust_env=False).is_success
    except httpx.TransportError:
        return False


def test_the_form_describes_every_field(studio: Studio) -> None:
    (assistant,) = studio.client.assistants.search(graph_id="hansei")
    schemas = studio.client.assistants.get_schemas(assistant["assistant_id"])
    form = schemas["input_schema"]
    assert form["properties"].keys() == {*Request.model_fields, "messages"}
    assert not form.get("required")
    assert schemas["context_schema"]["properties"].keys() == Context.model_fields.keys()
    for schema in (form, schemas["context_schema"]):
        for name, field in schema["properties"].items():
            assert len(field["description"]) > 20, name
    assert "report" in schemas["output_schema"]["properties"]


def test_a_run_gives_the_report_and_a_message(studio: Studio) -> None:
    thread = studio.new_thread()
    output = studio.run(thread, REQUEST)
    report = Report.model_validate(output["report"])
    assert report.findings[0].kind == "error"
    assert output["messages"][-1]["content"] == report.headline
    # The same thread is asked about something else.
    again = studio.run(thread, REQUEST | {"question": "What is slow?"})
    assert again["report"]["question"] == "What is slow?"
    assert [message["type"] for message in again["messages"]] == ["ai", "ai"]
    third = studio.run(thread, REQUEST)
    assert third["report"]["question"] is None
    assert third["report"]["findings"][0]["title"] == report.findings[0].title


def test_the_form_of_the_context_names_another_database(studio: Studio) -> None:
    output = studio.run(studio.new_thread(), REQUEST, context={"clickhouse_url": studio.other_url})
    assert 0 < output["report"]["coverage"]["traces"]["window"] <= 20 * 7


def test_every_node_and_its_progress_can_be_watched(studio: Studio) -> None:
    parts = list(
        studio.client.runs.stream(studio.new_thread(), "hansei", input=REQUEST, stream_mode=["updates", "custom"])
    )
    assert {"connect", "profile", "planner", "analyst", "critic", "writer"} <= {
        event["step"] for event in (part.data for part in parts if part.event == "custom")
    }
    assert not [part for part in parts if part.event == "error"]


def test_the_evaluation_is_a_graph_of_its_own(studio: Studio) -> None:
    (assistant,) = studio.client.assistants.search(graph_id="evaluation")
    schemas = studio.client.assistants.get_schemas(assistant["assistant_id"])
    assert {"project_id", "criteria", "traces", "dry_run"} <= schemas["input_schema"]["properties"].keys()
    output = studio.client.runs.wait(studio.new_thread(), "evaluation", input=REQUEST | {"traces": 50})
    found = {one["criterion"]["name"]: one for one in output["evaluation"]["results"]}
    assert (found["error"]["n"], found["error"]["failing"] > 0) == (50, True)
    assert "50 traces" in output["messages"][-1]["content"]


def test_what_cannot_be_done_is_told_with_its_remedy(studio: Studio) -> None:
    thread = studio.new_thread()
    output = studio.run(thread, REQUEST | {"project_id": "shpo"}, raise_error=False)
    assert output["__error__"]["error"] == "NoData"
    assert "Projects with data: acme" in json.dumps(output["__error__"])


def test_nothing_blocked_the_server_and_no_password_was_logged(studio: Studio) -> None:
    studio.run(studio.new_thread(), REQUEST)
    log = studio.log.read_text()
    assert "BlockingError" not in log
    assert PASSWORD not in log
    assert "Deserializing unregistered" not in log
