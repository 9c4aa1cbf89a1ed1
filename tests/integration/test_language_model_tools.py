"""A model that looks around with tools, over a real socket: corrections, bounds, and models without tools."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.tools import BaseTool, StructuredTool, ToolException
from pydantic import BaseModel, SecretStr
from tests.support.openai_server import (
    KEY,
    Answer,
    OpenAiServer,
    Request,
    Script,
    failing,
    structured,
    text,
    tool_call,
    tool_calls,
)  # fmt: skip

from hansei.context import ModelBudget
from hansei.errors import ModelFailed
from hansei.tools.language_model import Endpoint, ModelMeter
from hansei.tools.language_model.looping import LEFT_OUT, Looks, LoopBounds, look_around


class Fetch(BaseModel):
    shelf: int


def fetch(shelf: int) -> tuple[str, list[str]]:
    if shelf > 9:
        raise ToolException("There are shelves 0 to 9.")
    return f"shelf {shelf} holds " + "apples " * 10, [f"q{shelf}"]


def kit() -> list[BaseTool]:
    return [
        StructuredTool.from_function(
            func=fetch, name="fetch", description="What a shelf holds.", args_schema=Fetch,
            response_format="content_and_artifact", handle_tool_error=True,
            handle_validation_error="No such arguments.",
        )
    ]  # fmt: skip


def opening(room: int) -> list[tuple[str, str]]:
    return [("system", "Look at the shelves."), ("user", "Where are the apples?")]


pytestmark = pytest.mark.usefixtures("quick_model")


def looked(script: Script, **bounds: Any) -> tuple[Looks | ModelFailed, OpenAiServer]:
    with OpenAiServer(script) as server:
        endpoint = Endpoint("some-model", SecretStr(server.url), SecretStr(KEY), 10)
        try:
            return look_around(
                endpoint, ModelMeter(ModelBudget()), "analyst", opening, kit(), LoopBounds(**bounds)
            ), server
        except ModelFailed as failure:
            return failure, server


def seen(script: Script, **bounds: Any) -> tuple[Looks, OpenAiServer]:
    found, server = looked(script, **bounds)
    assert isinstance(found, Looks), found
    return found, server


def test_several_calls_in_one_answer_and_a_correction() -> None:
    answers = [
        tool_calls(("fetch", {"shelf": 1}), ("fetch", {"shelf": 99})),
        tool_call("fetch", {"shelf": 2}),
        text("Enough."),
    ]
    found, server = seen(answers)
    assert [(look.ok, look.ids) for look in found.looks] == [(True, ("q1",)), (False, ()), (True, ("q2",))]
    assert (found.stopped, found.last_words) == ("", "Enough.")
    roles = [message["role"] for message in server.requests[1].body["messages"]]
    assert roles == ["system", "user", "assistant", "tool", "tool"]
    assert "There are shelves 0 to 9." in server.requests[1].prompt


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (tool_call("drop_table", {"shelf": 1}), "There is no such tool. Tools are: fetch."),
        (tool_call("fetch", "{broken"), "The arguments are no JSON object."),
        (tool_call("fetch", {"shelf": "first", "x": 1}), "No such arguments."),
    ],
)
def test_what_cannot_be_called_is_told_and_does_nothing(call: Answer, said: str) -> None:
    found, server = seen([call, tool_call("fetch", {"shelf": 3}), text("Enough.")])
    assert said in server.requests[1].prompt
    assert [look.ok for look in found.looks] == [False, True]


def test_an_endless_loop_ends_at_its_bounds() -> None:
    endless = [tool_call("fetch", {"shelf": 1})]
    found, server = seen(endless, looks=5)
    assert (len(found.looks), len(server.requests)) == (5, 5)
    assert found.stopped == "It ended after 5 looks at the data."
    many = [tool_calls(*[("fetch", {"shelf": n}) for n in range(10)] * 3)]
    found, server = seen(many, looks=5)
    assert (len(found.looks), len(server.requests)) == (5, 1)
    assert seen(endless, turns=3)[0].stopped == "It ended after 3 answers of the model."
    assert seen(endless, tokens=240)[0].stopped == "It ended after 240 tokens."
    assert len(seen(endless, tokens=240)[1].requests) == 2
    assert len(seen(endless, seconds=0.0)[1].requests) == 0


def test_an_answer_is_not_waited_for_when_the_time_of_the_question_is_over() -> None:
    """The endpoint's own patience is ten seconds; what was seen before counts."""
    script = [tool_call("fetch", {"shelf": 1}), text("word " * 100, fault="stall")]
    found, server = seen(script, seconds=1.0)
    assert ([look.ids for look in found.looks], len(server.requests)) == ([("q1",)], 2)
    assert found.stopped.startswith("The model did not answer within 0.")


def choosing(*choices: dict[str, Any]) -> Callable[[Request], Answer]:
    left = list(choices)

    def answer(request: Request) -> Answer:
        return structured(None)(request) if request.is_probe else text(json.dumps(left.pop(0)))

    return answer


@pytest.mark.parametrize(
    "unable",
    [
        failing(400), failing(404), text("I have no tools. Apples are on shelf 4."),
        text("Tools are tools are tools are", finish="length"), text(""),  # as a small model answers
    ],
)  # fmt: skip
def test_a_model_without_tools_chooses_them_in_words(unable: Answer) -> None:
    chosen = choosing(
        {"tool": "fetch", "arguments": {"shelf": 99}}, {"tool": "fetch", "arguments": {"shelf": 4}}, {"tool": "done"}
    )

    def answer(request: Request) -> Answer:
        return unable if request.tools == ["fetch"] else chosen(request)

    found, server = seen(answer)
    assert [(look.ok, look.ids) for look in found.looks] == [(False, ()), (True, ("q4",))]
    assert '"shelf"' in server.asked[1].prompt
    assert "There are shelves 0 to 9." in server.asked[2].prompt
    wanted = server.asked[1].body["response_format"]["json_schema"]
    assert wanted["strict"] is False  # strict mode knows no object of any properties, as arguments are


def test_a_small_window_gets_less_and_goes_on() -> None:
    def small(request: Request) -> Answer:
        if len(request.prompt) > 340:
            return failing(400, code="context_length_exceeded")
        return tool_call("fetch", {"shelf": len(server_calls)}) if len(server_calls) < 4 else text("Enough.")

    server_calls: list[Request] = []

    def answer(request: Request) -> Answer:
        found = small(request)
        if found.status == 200:
            server_calls.append(request)
        return found

    found, server = seen(answer, room=300)
    assert [look.ids for look in found.looks] == [(f"q{n}",) for n in range(4)]
    assert found.stopped == ""
    assert LEFT_OUT in server.requests[-1].prompt
    assert "shelf 3 holds" in server.requests[-1].prompt


def test_what_was_seen_counts_when_the_model_fails_later() -> None:
    found, _ = seen([tool_call("fetch", {"shelf": 1}), failing(401)])
    assert len(found.looks) == 1
    assert found.stopped == "The model answered with HTTP 401."
    failed, _ = looked([failing(401)])
    assert isinstance(failed, ModelFailed)


def test_what_was_seen_is_told_newest_whole() -> None:
    found, _ = seen([tool_call("fetch", {"shelf": 1}), tool_call("fetch", {"shelf": 2}), text("Enough.")])
    told = found.told(150)
    assert told.startswith(f'1. fetch {{"shelf": 1}}\n{LEFT_OUT}')
    assert "shelf 2 holds" in told
