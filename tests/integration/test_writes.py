"""The gate before every write: shown, decided, done. What is written here are scores, to a server on this machine."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import httpx
import pytest
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.types import Command
from pydantic import ValidationError
from tests.support.stand_in import StandIn

from hansei.context import Context
from hansei.contracts.writes import PendingWrite, WriteDecision, WritePlan, WritePreview, WriteResult
from hansei.errors import ConnectionFailed
from hansei.graph.writes import build_writes_graph, write_if_approved


@dataclass
class ScoreServer(StandIn):
    """Keeps scores by their id, as Langfuse does; counts the requests; refuses scores of one name."""

    scores: dict[str, dict[str, Any]] = field(default_factory=dict)
    requests: int = 0
    dies_after: int | None = None
    away: bool = False
    """Nothing is where it was."""

    def serve(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        score = json.loads(body)
        self.requests += 1
        if score["name"] != "refused":
            self.scores[score["id"]] = score
        handler.send_response(400 if score["name"] == "refused" else 200)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    def send(self, writes: Sequence[PendingWrite], context: Context) -> Iterator[WriteResult]:
        with httpx.Client(trust_env=False) as client:
            for write in writes:
                if self.dies_after is not None and self.requests >= self.dies_after:
                    raise RuntimeError("the process is gone")
                try:
                    place = "http://127.0.0.1:1" if self.away else self.url
                    answer = client.post(f"{place}/api/public/scores", json={"id": write.key, **write.content})
                except httpx.TransportError:
                    raise ConnectionFailed("Langfuse is not reached.", "Is it up?") from None
                yield WriteResult(key=write.key, error=None if answer.is_success else f"HTTP {answer.status_code}")


@pytest.fixture
def server() -> Iterator[ScoreServer]:
    with ScoreServer() as running:
        yield running


def plan_of(count: int, name: str = "hansei.error") -> WritePlan:
    writes = [
        PendingWrite(
            key=f"score-{n}", what=f"{name} = 1 on trace t{n}", content={"traceId": f"t{n}", "name": name, "value": 1}
        )
        for n in range(count)
    ]
    return WritePlan(what=f"scores named {name}", where="Langfuse, project acme", writes=writes)


def is_score(write: PendingWrite) -> None:
    if not isinstance(write.content.get("value"), int):
        raise ValueError("a score has a value")


def test_the_preview_says_what_where_and_how_many_and_nothing_is_written_before_the_answer(server: ScoreServer) -> None:
    seen: list[WritePreview] = []

    def look(preview: WritePreview) -> WriteDecision:
        seen.append(preview)
        assert server.requests == 0
        return WriteDecision(decision="approve", reason="looks right")

    outcome = write_if_approved(plan_of(12), server.send, look)
    (preview,) = seen
    assert (preview.what, preview.where, preview.count) == ("scores named hansei.error", "Langfuse, project acme", 12)
    assert [write.key for write in preview.sample] == [f"score-{n}" for n in range(5)]
    assert len(outcome.written) == len(server.scores) == 12
    assert (outcome.decision, outcome.reason, outcome.failed, outcome.left_out) == ("approve", "looks right", [], [])


def test_what_is_rejected_is_not_written(server: ScoreServer) -> None:
    outcome = write_if_approved(plan_of(3), server.send, lambda preview: WriteDecision(decision="reject"))
    assert server.requests == 0
    assert outcome.left_out == ["score-0", "score-1", "score-2"]
    assert outcome.written == []


def test_what_is_edited_is_written_as_edited(server: ScoreServer) -> None:
    edits = [
        {"key": "score-0", "content": {"traceId": "t0", "name": "hansei.error", "value": 0}},
        {"key": "score-2", "content": None},
    ]
    decision = WriteDecision.model_validate({"decision": "edit", "edits": edits})
    outcome = write_if_approved(plan_of(3), server.send, lambda preview: decision, check=is_score)
    assert outcome.written == ["score-0", "score-1"]
    assert outcome.left_out == ["score-2"]
    assert {key: score["value"] for key, score in server.scores.items()} == {"score-0": 0, "score-1": 1}


def test_nobody_is_asked_when_there_is_nothing_to_write(server: ScoreServer) -> None:
    outcome = write_if_approved(plan_of(0), server.send, lambda preview: pytest.fail("asked"))
    assert (outcome.written, server.requests) == ([], 0)


@pytest.mark.parametrize(
    "answer",
    [
        "yes",
        {"decision": "sure"},
        {"decision": "edit"},
        {"decision": "approve", "edits": [{"key": "score-0", "content": None}]},
        {"decision": "edit", "edits": [{"key": "score-9", "content": {"value": 1}}]},
        {"decision": "edit", "edits": [{"key": "score-0", "content": None}, {"key": "score-0", "content": None}]},
        {"decision": "edit", "edits": [{"key": "score-0", "content": {"value": "much"}}]},
        {"decision": "approve", "preview_key": "another"},
    ],
)
def test_an_answer_that_does_not_fit_leaves_the_question_open(
    server: ScoreServer, tmp_path: Path, answer: object
) -> None:
    config: Any = {"configurable": {"thread_id": "1"}}
    with SqliteSaver.from_conn_string(str(tmp_path / "threads.sqlite")) as saver:
        graph = build_writes_graph(server.send, check=is_score, checkpointer=saver)
        (stop,) = graph.invoke({"writes": plan_of(2).model_dump()}, config)["__interrupt__"]
        assert set(stop.response_schema["properties"]) == {"decision", "edits", "preview_key", "reason"}
        with pytest.raises(ValidationError):
            graph.invoke(Command(resume=answer), config)
        assert server.requests == 0
        good = {"decision": "approve", "preview_key": stop.value["key"]}
        assert graph.invoke(Command(resume=good), config)["outcome"]["written"] == ["score-0", "score-1"]


def test_another_process_may_answer_and_a_delivery_that_was_cut_off_writes_nothing_twice(
    server: ScoreServer, tmp_path: Path
) -> None:
    config: Any = {"configurable": {"thread_id": "1"}}
    file = str(tmp_path / "threads.sqlite")
    with SqliteSaver.from_conn_string(file) as saver:
        build_writes_graph(server.send, checkpointer=saver).invoke({"writes": plan_of(4).model_dump()}, config)
    server.dies_after = 2
    with SqliteSaver.from_conn_string(file) as saver:
        graph = build_writes_graph(server.send, checkpointer=saver)
        with pytest.raises(RuntimeError, match="gone"):
            graph.invoke(Command(resume={"decision": "approve"}), config)
    server.dies_after = None
    with SqliteSaver.from_conn_string(file) as saver:
        outcome = build_writes_graph(server.send, checkpointer=saver).invoke(None, config)["outcome"]
    assert outcome["written"] == sorted(server.scores) == [f"score-{n}" for n in range(4)]
    assert server.requests == 6


def test_each_failure_is_told_and_one_that_ends_it_all_leaves_none_unmentioned(server: ScoreServer) -> None:
    mixed = plan_of(3)
    mixed.writes[1].content["name"] = "refused"
    outcome = write_if_approved(mixed, server.send, lambda preview: WriteDecision(decision="approve"))
    assert outcome.written == ["score-0", "score-2"]
    assert [(one.key, one.error) for one in outcome.failed] == [("score-1", "HTTP 400")]
    server.away = True
    outcome = write_if_approved(plan_of(2), server.send, lambda preview: WriteDecision(decision="approve"))
    said = "Langfuse is not reached. Is it up?"
    assert [(one.key, one.error) for one in outcome.failed] == [("score-0", said), ("score-1", said)]


def test_equal_plans_have_equal_keys_and_no_plan_has_a_key_twice() -> None:
    assert plan_of(3).key == plan_of(3).key != plan_of(4).key
    with pytest.raises(ValidationError, match="same key"):
        WritePlan(what="a", where="b", writes=[*plan_of(1).writes, *plan_of(1).writes])
