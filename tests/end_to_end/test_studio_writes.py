"""The approval gate on LangGraph's own server: shown, and sent to Langfuse only as a person decides over the SDK."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.end_to_end.test_studio import PASSWORD, REQUEST, Studio, clickhouse, served
from tests.end_to_end.test_studio_chat import said
from tests.support.cli import hansei_here
from tests.support.clickhouse_http import RunningServer
from tests.support.langfuse_api import PROJECT_ID, SECRET_KEY, LangfuseServer
from tests.support.langfuse_state import State
from tests.support.world import PROJECT
from tests.support.writing import pending

from hansei.contracts.writes import PendingWrite, WritePlan

pytestmark = pytest.mark.long

__all__ = ["clickhouse"]


@pytest.fixture(scope="module")
def langfuse() -> Iterator[LangfuseServer]:
    with LangfuseServer(state=State(project_id=PROJECT)) as server:
        yield server


@pytest.fixture(scope="module")
def studio(
    langfuse: LangfuseServer, clickhouse: RunningServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Studio]:
    settings = {"HANSEI_CLICKHOUSE_URL": clickhouse.url("reader", PASSWORD, "acme"), **langfuse.settings}
    with served(tmp_path_factory.mktemp("writes"), settings) as running:
        yield running


def stopped(studio: Studio, first: int) -> tuple[str, Any]:
    """A thread that waits for an answer about two scores, and what it shows."""
    writes = [pending(number).write(PROJECT_ID, "run-a") for number in (first, first + 1)]
    plan = WritePlan(
        what="scores", where="Langfuse",
        writes=[PendingWrite(key=w.id, what="grounded", content={"kind": w.kind, "body": w.body}) for w in writes],
    )  # fmt: skip
    thread = studio.new_thread()
    studio.client.runs.wait(thread, "writes", input={"writes": plan.model_dump(mode="json")})
    (task,) = studio.client.threads.get_state(thread)["tasks"]
    return thread, task["interrupts"][0]["value"]


def answer(studio: Studio, thread: str, decision: dict[str, Any], **options: Any) -> Any:
    return studio.client.runs.wait(thread, "writes", command={"resume": decision}, **options)


def held(langfuse: LangfuseServer) -> set[str]:
    return {score["id"] for score in langfuse.state.scores.values()}


def test_what_is_shown_is_sent_as_it_is_approved_edited_or_rejected(studio: Studio, langfuse: LangfuseServer) -> None:
    thread, shown = stopped(studio, 0)
    assert shown["count"] == 2
    assert [write["content"]["body"]["trace_id"] for write in shown["sample"]] == ["trace-0000", "trace-0001"]
    assert held(langfuse) == set()
    # An answer that does not fit leaves the question open, and nothing is sent.
    answer(studio, thread, {"decision": "sure"}, raise_error=False)
    assert held(langfuse) == set()
    done = answer(studio, thread, {"decision": "approve", "preview_key": shown["key"]})
    assert sorted(done["outcome"]["written"]) == sorted(held(langfuse))
    assert len(held(langfuse)) == 2

    thread, shown = stopped(studio, 10)
    first, second = (write["key"] for write in shown["sample"])
    body = {**shown["sample"][0]["content"]["body"], "comment": "as a person wrote it"}
    edits = [{"key": first, "content": {"kind": "score", "body": body}}, {"key": second, "content": None}]
    done = answer(studio, thread, {"decision": "edit", "edits": edits})
    assert (done["outcome"]["written"], done["outcome"]["left_out"]) == ([first], [second])
    comments = {score["id"]: score.get("comment") for score in langfuse.state.scores.values()}
    assert comments[first] == "as a person wrote it"
    assert second not in comments

    before = held(langfuse)
    thread, shown = stopped(studio, 20)
    done = answer(studio, thread, {"decision": "reject", "reason": "not now"})
    assert (done["outcome"]["written"], len(done["outcome"]["left_out"])) == ([], 2)
    assert held(langfuse) == before

    # What the server sent stands in a journal, so that exactly that is taken back.
    assert done["outcome"]["runs"] == []
    gone = hansei_here(studio.log.parent, "undo", "run-a", "--yes", "--json", **langfuse.settings)
    assert (gone.returncode, set(json.loads(gone.stdout)["removed"])) == (0, before), gone.stderr
    assert held(langfuse) == set()

    log = studio.log.read_text()
    assert "BlockingError" not in log
    assert SECRET_KEY not in log


def test_a_message_in_a_chat_begins_a_write_that_waits_for_approval(studio: Studio, langfuse: LangfuseServer) -> None:
    thread = studio.new_thread()
    studio.run(thread, REQUEST)
    studio.run(thread, said("make a dataset called “from the chat” from the first finding"))
    (task,) = studio.client.threads.get_state(thread)["tasks"]
    shown = task["interrupts"][0]["value"]
    assert "from the chat" in shown["what"]
    assert not langfuse.state.items
    decision = {"decision": "approve", "preview_key": shown["key"]}
    done = studio.client.runs.wait(thread, "hansei", command={"resume": decision})
    assert len(langfuse.state.items) == shown["count"] - 1  # the dataset is one of them
    answer = studio.client.threads.get_state(thread)["values"]["answers"][-1]
    assert answer["text"] in done["messages"][-1]["content"].replace("\\", "")
    (run,) = answer["outcome"]["runs"]
    gone = hansei_here(studio.log.parent, "undo", run, "--yes", **langfuse.settings)
    assert (gone.returncode, langfuse.state.items) == (0, {}), gone.stderr
    log = studio.log.read_text()
    assert "BlockingError" not in log
    assert SECRET_KEY not in log


def test_the_forms_say_what_is_to_be_filled_in(studio: Studio) -> None:
    (assistant,) = studio.client.assistants.search(graph_id="writes")
    schemas = studio.client.assistants.get_schemas(assistant["assistant_id"])
    assert len(schemas["input_schema"]["properties"]["writes"]["description"]) > 20
