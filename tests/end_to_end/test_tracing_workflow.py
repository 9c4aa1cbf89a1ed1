"""`hansei analyze` with Langfuse's keys set: its whole run is one trace, and Langfuse can't harm it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.cli import hansei
from tests.support.clickhouse_http import RunningServer, User, start_server
from tests.support.langfuse_api import LangfuseServer
from tests.support.openai_server import Answer, OpenAiServer, Request, structured
from tests.support.otlp_server import PROJECT_ID, Mode, OtlpServer, Span, refusing_url
from tests.support.world import END, PROJECT, Visit, make_world

from hansei import __version__
from hansei.demo import Writer, create_tables
from hansei.tools.clickhouse import open_writer

pytestmark = pytest.mark.long

PASSWORD, SECRET_KEY = "correct-horse-battery", "sk-lf-not-to-be-shown"
ROWS_OF_A_USER = "text of a user in a trace"


def faults(visit: Visit) -> None:
    visit.steps[0].output = ROWS_OF_A_USER
    if visit.app == "support" and visit.day >= 2 and visit.random.random() < 0.25:
        visit.steps[1].level, visit.steps[1].status, visit.steps[1].output = "ERROR", "timeout", ""


@pytest.fixture(scope="module")
def clickhouse() -> Iterator[RunningServer]:
    with start_server(users={"default": User(), "reader": User(PASSWORD)}) as server:
        client = open_writer(server.url())
        create_tables(client, "v4")
        with Writer(client, "v4") as writer:
            writer.write(make_world(faults))
        client.close()
        yield server


def analyze(clickhouse: RunningServer, folder: Path, langfuse: str | None) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LANGFUSE_", "OTEL_", "HANSEI_"))}
    kept |= {"HANSEI_CLICKHOUSE_URL": clickhouse.url("reader", PASSWORD), "no_proxy": "*"}
    if langfuse is not None:
        kept |= {"LANGFUSE_BASE_URL": langfuse, "LANGFUSE_PUBLIC_KEY": "pk-lf-1", "LANGFUSE_SECRET_KEY": SECRET_KEY}
    command = [sys.executable, "-m", "hansei", "analyze", "--project", PROJECT, "--until", END.isoformat()]
    done = subprocess.run(command, cwd=folder, env=kept, capture_output=True, text=True, check=False)
    assert PASSWORD not in done.stdout + done.stderr
    assert SECRET_KEY not in done.stdout + done.stderr
    return done


def report_in(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "hansei-report" / "report.json").read_text(encoding="utf-8")))


def tree(spans: list[Span]) -> Counter[tuple[str, str]]:
    """(name, name of the parent) of every span; "" is the parent of a root, "?" of an orphan."""
    names = {span.span_id: span.name for span in spans} | {"": ""}
    return Counter((span.name, names.get(span.parent_id, "?")) for span in spans)


def test_every_node_analyst_and_query_is_in_one_trace(clickhouse: RunningServer, tmp_path: Path) -> None:
    with OtlpServer() as langfuse:
        done = analyze(clickhouse, tmp_path, langfuse.url)
        spans, requests = langfuse.spans, list(langfuse.requests)
    assert (done.returncode, "Tracing" in done.stderr) == (0, False), done.stderr
    report = report_in(tmp_path)

    assert {span.trace_id for span in spans} == {spans[0].trace_id}
    url = f"{langfuse.url}/project/{PROJECT_ID}/traces/{spans[0].trace_id}"
    assert report["run"]["langfuse_trace_url"] == url
    assert f"Trace of this run: {url}" in done.stdout

    nested = tree(spans)
    nodes = {child: count for (child, parent), count in nested.items() if parent == "hansei"}
    assert nested["hansei", ""] == 1
    analysts = len(report["plan"])
    assert nodes.pop("__start__") == 1  # LangGraph's own, which chooses between a report and an answer
    assert nodes == {"connect": 1, "profile": 1, "planner": 1, "analyst": analysts, "critic": 1, "writer": 1}
    assert "?" not in {parent for _, parent in nested}
    for step in ("connect", "profile", "analyst", "critic"):
        assert nested["clickhouse", step] > 0, f"{step} has its queries"

    # Each query whose answer is in the report is there, with its SQL and what it read, and no row.
    evidence = [e for group in ("findings", "refuted") for f in report[group] for e in f["evidence"]]
    evidence += report["coverage"]["evidence"]
    queries = [span for span in spans if span.name == "clickhouse"]
    assert {span.type for span in queries} == {"tool"}
    sent = [span.payload("input")["sql"] for span in queries]
    assert {item["sql"] for item in evidence} <= set(sent)
    assert len(sent) >= len(evidence)
    for span in queries:
        assert {"row_count", "seconds"} <= span.payload("output").keys() <= {"row_count", "seconds", "rows_read"}

    sessions = set()
    for span in spans:
        sessions.add(span.attributes["session.id"])
        assert span.attributes["langfuse.trace.name"] == "hansei"
        assert span.attributes["langfuse.trace.tags"] == ["cli"]
        assert span.attributes["langfuse.version"] == __version__
        assert span.attributes["langfuse.environment"] == "hansei"
    assert len(sessions) == 1
    bodies = b"".join(request.body for request in requests)
    assert PASSWORD.encode() not in bodies
    assert SECRET_KEY.encode() not in bodies
    assert ROWS_OF_A_USER.encode() not in bodies
    assert {request.credentials for request in requests} == {f"pk-lf-1:{SECRET_KEY}"}


@pytest.mark.long
def test_each_call_of_a_model_names_its_prompt(clickhouse: RunningServer, tmp_path: Path) -> None:
    def model(request: Request) -> Answer:
        """Says nothing, in the form that it is asked for."""
        schema = request.body.get("response_format", {}).get("json_schema", {}).get("schema", {})
        return structured({name: None if name == "edit" else [] for name in schema.get("properties", {})})(request)

    settings = {"HANSEI_CLICKHOUSE_URL": clickhouse.url("reader", PASSWORD), "HANSEI_MODEL_CACHE": "off"}
    with LangfuseServer() as langfuse, OpenAiServer(model) as models:
        settings |= langfuse.settings | {"OPENAI_BASE_URL": models.url}
        assert hansei(tmp_path, "prompts", "push", "--yes", **settings).returncode == 0
        pushed, asked = {prompt["name"] for prompt in langfuse.state.prompts}, len(langfuse.named("get_prompt"))
        arguments = ("analyze", "--project", PROJECT, "--until", END.isoformat(), "--model", "some-model")
        done = hansei(tmp_path, *arguments, **settings)
        assert done.returncode == 0, done.stderr
        spans = langfuse.spans
        assert len(langfuse.named("get_prompt")) - asked == len(pushed)  # each once
    assert not [note for note in report_in(tmp_path)["coverage"]["notes"] if "prompt" in note]
    told = [span for span in spans if span.type == "generation"]
    named = [span.attributes.get("langfuse.observation.prompt.name") for span in told]
    assert len(told) == len(models.requests)
    assert named.count(None) == len(models.requests) - len(models.asked)  # the probe
    assert (
        {"hansei/planner_hypotheses", "hansei/critic_rivals", "hansei/writer_summary"} <= set(named) - {None} <= pushed
    )
    assert {span.attributes.get("langfuse.observation.prompt.version") for span in told} == {None, 1}
    assert "?" not in {parent for _, parent in tree(spans)}


@pytest.mark.parametrize(
    "mode",
    ["unauthorized", "hanging", *(pytest.param(mode, marks=pytest.mark.long) for mode in ("broken", "refusing"))],
)
def test_the_report_does_not_need_langfuse(clickhouse: RunningServer, tmp_path: Path, mode: str) -> None:
    if mode == "refusing":
        done = analyze(clickhouse, tmp_path, refusing_url())
    else:
        faulty: Mode = "unauthorized" if mode == "unauthorized" else "broken" if mode == "broken" else "hanging"
        with OtlpServer(mode=faulty) as langfuse:
            done = analyze(clickhouse, tmp_path, langfuse.url)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    lost = [line for line in done.stderr.splitlines() if not line.startswith(tuple(STEPS))]
    assert len(lost) == 1, done.stderr
    assert lost[0].startswith("Tracing was lost: Langfuse at http://127.0.0.1:")
    report = report_in(tmp_path)
    assert report["findings"]
    assert report["run"]["langfuse_trace_url"] is None


STEPS = ("connect: ", "profile: ", "planner: ", "analyst ", "critic: ", "writer: ")


@pytest.mark.long
def test_without_keys_nothing_is_said_and_nothing_sent(clickhouse: RunningServer, tmp_path: Path) -> None:
    done = analyze(clickhouse, tmp_path, None)
    assert done.returncode == 0
    assert all(line.startswith(STEPS) for line in done.stderr.splitlines()), done.stderr
    assert "race of this run" not in done.stdout
    assert report_in(tmp_path)["run"]["langfuse_trace_url"] is None
