"""The way to a model, through the real langchain-openai client, to a server that does what the test says."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
from langgraph.graph import END, START, StateGraph
from pydantic import BaseModel, ConfigDict, Field, SecretStr
from tests.support.openai_server import (
    KEY,
    Answer,
    OpenAiServer,
    Request,
    Script,
    failing,
    says,
    structured,
    text,
    tool_call,
)
from tests.support.otlp_server import refusing_url

from hansei import Context
from hansei.context import ModelBudget, ModelPrices
from hansei.errors import ModelFailed
from hansei.tools.language_model import Endpoint, ModelMeter, Usage, ask, endpoint_of
from hansei.tools.language_model import calling as calling_module
from hansei.tools.language_model.calling import ATTEMPTS, Called, call
from hansei.tools.language_model.usage import SILENCES

READY = says({"ready": "yes"})
QUESTION = [("system", "Be brief."), ("user", "Which fruit?")]


class Fruit(BaseModel):
    """A fruit."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, description="In English.")
    ripe: bool = False


PEAR = {"name": "pear", "ripe": True}


pytestmark = pytest.mark.usefixtures("quick_model")


def endpoint(server: OpenAiServer, timeout: float = 20) -> Endpoint:
    return Endpoint("some-model", SecretStr(server.url), SecretStr(KEY), timeout)


def meter(**bounds: Any) -> ModelMeter:
    return ModelMeter(ModelBudget(**bounds))


def asked(script: Script, bounds: ModelMeter | None = None) -> tuple[Fruit | ModelFailed, OpenAiServer]:
    """What asking for a fruit gives, and the server that was asked."""
    with OpenAiServer(script) as server:
        try:
            return ask(endpoint(server), bounds or meter(), "planner", QUESTION, Fruit), server
        except ModelFailed as failure:
            return failure, server


@pytest.mark.parametrize(
    ("ways", "probes"), [(["json_schema"], 1), (["function"], 2), (["prompt"], 3), (["function", "prompt"], 2)]
)
def test_the_best_way_that_the_endpoint_knows_is_found_once_and_kept(ways: list[str], probes: int) -> None:
    with OpenAiServer(structured(PEAR, ways)) as server:
        answers = [ask(endpoint(server), meter(), "planner", QUESTION, Fruit) for _ in range(2)]
    assert answers == [Fruit(name="pear", ripe=True)] * 2
    assert [request.way for request in server.asked] == [ways[0]] * 2
    assert len(server.requests) - len(server.asked) == probes


def test_a_server_that_fails_at_a_way_that_it_does_not_know_is_asked_in_another() -> None:
    """As llama-cpp-python's does: HTTP 500 for a response format of a schema."""

    def failing_at_schemas(request: Request) -> Answer:
        return structured(PEAR)(request) if request.way == "prompt" else failing(500)

    found, server = asked(failing_at_schemas)
    assert found == Fruit(name="pear", ripe=True)
    assert [request.way for request in server.asked] == ["prompt"]
    gone, server = asked([failing(500)])
    assert isinstance(gone, ModelFailed)
    assert gone.status == 500
    assert server.asked == []


def test_a_server_that_ignores_the_schema_is_told_in_the_prompt() -> None:
    def chatty(request: Request) -> Answer:
        return text("Sure! " + ('{"name": "pear"} is what I think.' if "JSON object" in request.prompt else "A pear."))

    found, server = asked(chatty)
    assert found == Fruit(name="pear")
    assert server.asked[0].way == "prompt"


def test_the_request_is_what_openai_takes_in_strict_mode() -> None:
    _, server = asked([READY, says(PEAR)])
    body = server.asked[0].body
    schema = body["response_format"]["json_schema"]["schema"]
    assert schema["required"] == ["name", "ripe"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["name"] == {"type": "string", "description": "In English."}  # without its bound
    assert (body["temperature"], body["max_tokens"]) == (0, 4000)
    assert server.asked[0].path == "/v1/chat/completions"
    assert server.asked[0].headers["authorization"] == f"Bearer {KEY}"


def test_a_schema_that_the_server_does_not_know_is_told_in_the_prompt() -> None:
    """Servers take some schemas and refuse others: the probe says nothing about those."""

    def choosy(request: Request) -> Answer:
        return structured(PEAR)(request) if request.is_probe or request.way == "prompt" else failing(400)

    found, server = asked(choosy)
    assert found == Fruit(name="pear", ripe=True)
    assert [request.way for request in server.asked] == ["json_schema", "prompt"]


@pytest.mark.parametrize("unfit", [text("no JSON"), text('{"name": '), says({"colour": "red"}), text("")])
def test_an_unfit_answer_may_be_repaired_once(unfit: Answer) -> None:
    found, server = asked([READY, unfit, says(PEAR)])
    assert found == Fruit(name="pear", ripe=True)
    assert "does not fit the schema" in server.asked[1].prompt
    found, server = asked([READY, unfit, unfit, says(PEAR)])
    assert isinstance(found, ModelFailed)
    assert found.reason in ("invalid", "empty")
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answer(refusal="I cannot help with that."), "refusal"),
        (text('{"name": "p', finish="length"), "truncated"),
        (text("", finish="content_filter"), "refusal"),
        (Answer(fault="not_json"), "invalid"),
        (Answer(fault="null"), "invalid"),
        (failing(400), "request"),
        (failing(401), "setup"),
        (failing(402), "setup"),
        (failing(404), "setup"),
        (failing(429, code="insufficient_quota"), "setup"),
    ],
)
def test_what_will_not_get_better_is_told_and_not_sent_again(answer: Answer, reason: str) -> None:
    with OpenAiServer([answer]) as server, pytest.raises(ModelFailed) as failed:
        call(endpoint(server), meter(), "planner", QUESTION)
    assert failed.value.reason == reason
    assert len(server.requests) == 1
    assert failed.value.status == (answer.status if answer.status != 200 else 0)
    assert KEY not in repr(failed.value) + str(failed.value.__cause__)


@pytest.mark.parametrize(
    "busy", [failing(429), failing(429, Retry_After="0.01"), failing(500), failing(503), Answer(fault="cut")]
)
def test_what_may_get_better_is_sent_again(busy: Answer) -> None:
    bounds = meter()
    with OpenAiServer([busy, busy, text("At last.")]) as server:
        assert call(endpoint(server), bounds, "planner", QUESTION).text == "At last."
    assert len(server.requests) == 3
    assert bounds.used == Usage(calls=1, input_tokens=100, output_tokens=20)


@pytest.mark.parametrize(("busy", "reason"), [(failing(429), "rate_limit"), (failing(502), "server")])
def test_it_is_given_up_in_the_end(busy: Answer, reason: str) -> None:
    with OpenAiServer([busy]) as server, pytest.raises(ModelFailed) as failed:
        call(endpoint(server), meter(), "planner", QUESTION)
    assert (failed.value.reason, len(server.requests)) == (reason, ATTEMPTS)


def test_the_servers_own_pause_is_kept_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(calling_module.time, "sleep", pauses.append)
    with OpenAiServer([failing(429, Retry_After="3"), failing(429, Retry_After="9999"), text("Yes.")]) as server:
        call(endpoint(server), meter(), "planner", QUESTION)
    assert pauses == [3, calling_module.LONGEST_PAUSE]


@pytest.mark.parametrize("fault", ["stall", "drip"])
def test_an_answer_that_does_not_end_is_a_timeout(fault: Any) -> None:
    with OpenAiServer([text("word " * 100, fault=fault)]) as server, pytest.raises(ModelFailed) as failed:
        call(endpoint(server, timeout=0.4), meter(), "planner", QUESTION)
    assert failed.value.reason == "timeout"
    assert len(server.requests) == 1


def test_a_run_waits_for_the_model_no_longer_than_it_may() -> None:
    counted = meter(seconds=0.6)
    with OpenAiServer([text("word " * 100, fault="stall")]) as server:
        for reason, said in (("timeout", "within 0.6 s"), ("budget", "the run may wait for it 0.6 s")):
            with pytest.raises(ModelFailed, match=said) as failed:
                call(endpoint(server), counted, "planner", QUESTION)
            assert failed.value.reason == reason
    assert len(server.requests) == 1


def test_a_pause_that_is_longer_than_the_run_may_wait_is_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calling_module.time, "sleep", lambda seconds: pytest.fail("it paused"))
    with OpenAiServer([failing(429, Retry_After="15")]) as server, pytest.raises(ModelFailed, match="HTTP 429"):
        call(endpoint(server), meter(seconds=10), "planner", QUESTION)


@pytest.mark.parametrize("silent", [text("word " * 100, fault="stall"), failing(500)])
def test_a_model_that_never_answers_is_not_asked_for_ever(silent: Answer) -> None:
    counted = meter()
    with OpenAiServer([silent]) as server:
        for _ in range(SILENCES + 1):
            with pytest.raises(ModelFailed) as failed:
                call(endpoint(server, timeout=0.3), counted, "planner", QUESTION)
        once = ATTEMPTS if silent.status == 500 else 1
    assert failed.value.reason == "budget"
    assert f"it gave no answer {SILENCES} times in a row" in failed.value.message
    assert len(server.requests) == SILENCES * once


def test_one_answer_in_between_is_enough_to_be_asked_again() -> None:
    counted = meter()
    silent, no = failing(500), Answer(refusal="No.")
    with OpenAiServer([*[silent] * 3 * ATTEMPTS, no, *[silent] * 3 * ATTEMPTS, text("Yes.")]) as server:
        for reason in ("server", "server", "server", "refusal", "server", "server", "server"):
            with pytest.raises(ModelFailed) as failed:
                call(endpoint(server), counted, "planner", QUESTION)
            assert failed.value.reason == reason
        assert call(endpoint(server), counted, "planner", QUESTION).text == "Yes."


@pytest.mark.parametrize(
    ("base", "path"), [("/v1", "/v1"), ("/v1/", "/v1"), ("/deployments/some model", "/deployments/some%20model")]
)
def test_any_address_is_asked_as_it_is_named(base: str, path: str) -> None:
    with OpenAiServer([text("Yes.")]) as server:
        asked = replace(endpoint(server), url=SecretStr(server.url.removesuffix("/v1") + base))
        assert call(asked, meter(), "planner", QUESTION).text == "Yes."
    assert server.requests[0].path == f"{path}/chat/completions"


def test_nobody_there() -> None:
    nowhere = Endpoint("some-model", SecretStr(f"{refusing_url()}/v1"), None, 5)
    with pytest.raises(ModelFailed) as failed:
        call(nowhere, meter(), "planner", QUESTION)
    assert failed.value.reason == "connection"


def test_without_a_key_openai_is_not_asked() -> None:
    with pytest.raises(ModelFailed) as failed:
        call(Endpoint("gpt-5", None, None, 5), meter(), "planner", QUESTION)
    assert failed.value.reason == "setup"


def test_a_model_that_chooses_its_own_temperature_is_asked_without() -> None:
    def thinking(request: Request) -> Answer:
        return failing(400, param="temperature") if "temperature" in request.body else text("Yes.")

    with OpenAiServer(thinking) as server:
        for _ in range(2):
            assert call(endpoint(server), meter(), "planner", QUESTION).text == "Yes."
    assert len(server.requests) == 3


@pytest.mark.parametrize("told", [{"param": "max_tokens"}, {"words": "Unsupported parameter: 'max_tokens' here."}])
def test_a_model_that_names_the_limit_in_another_way_is_asked_so(told: dict[str, str]) -> None:
    def newer(request: Request) -> Answer:
        if "max_tokens" in request.body:
            refused = failing(400, param=told.get("param"))
            return replace(refused, error={**(refused.error or {}), "message": told.get("words", "No.")})
        return text("Yes.")

    with OpenAiServer(newer) as server:
        for _ in range(2):
            assert call(endpoint(server), meter(), "planner", QUESTION).text == "Yes."
    assert len(server.requests) == 3
    assert server.requests[-1].body["max_completion_tokens"] == 4000


def test_a_model_that_was_cut_off_while_it_thought_may_think_longer() -> None:
    def thoughtful(request: Request) -> Answer:
        short = request.body["max_tokens"] < 10_000
        return text("", finish="length", thought=15) if short else text("Yes.", thought=15)

    counted = meter()
    with OpenAiServer(thoughtful) as server:
        assert call(endpoint(server), counted, "planner", QUESTION).text == "Yes."
    assert counted.used.calls == 2
    with OpenAiServer([text("", finish="length", thought=15)]) as server, pytest.raises(ModelFailed) as failed:
        call(endpoint(server), meter(), "planner", QUESTION)
    assert (failed.value.reason, len(server.requests)) == ("truncated", 2)


def test_usage_is_counted_by_node_and_priced() -> None:
    priced = ModelMeter(ModelBudget(), ModelPrices(input=2.0, output=10.0))
    answers = [text("Yes."), text("Yes.", cost=0.5), text("Yes.", usage=None), text("Yes.")]
    with OpenAiServer(answers) as server:
        for node in ("planner", "planner", "planner", "writer"):
            call(endpoint(server), priced, node, QUESTION)
    assert priced.by_node == {
        "planner": Usage(calls=3, input_tokens=207, output_tokens=42, usd=0.500434),  # of the third they are guessed
        "writer": Usage(calls=1, input_tokens=100, output_tokens=20, usd=0.0004),
    }
    assert priced.used.tokens == 369


@pytest.mark.parametrize("bounds", [{"calls": 1}, {"tokens": 120}, {"usd": 0.1}])
def test_a_call_beyond_the_budget_is_not_made(bounds: dict[str, Any]) -> None:
    bounded = meter(**bounds)
    with OpenAiServer([text("Yes.", cost=0.2)]) as server:
        call(endpoint(server), bounded, "planner", QUESTION)
        with pytest.raises(ModelFailed) as failed:
            call(endpoint(server), bounded, "planner", QUESTION)
    assert failed.value.reason == "budget"
    assert len(server.requests) == 1


@pytest.mark.parametrize("unable", [Answer(content="Yes.", still=True), failing(400, param="stream")])
def test_a_server_that_does_not_stream_is_asked_without(unable: Answer) -> None:
    def answer(request: Request) -> Answer:
        return unable if request.body.get("stream") else text("Yes.")

    found: list[str] = []

    def node(state: dict[str, Any]) -> dict[str, Any]:
        found.append(call(endpoint(server), meter(), "planner", QUESTION).text)
        return {}

    graph = StateGraph(dict)
    graph.add_node("node", node)
    graph.add_edge(START, "node")
    graph.add_edge("node", END)
    with OpenAiServer(answer) as server:
        for _ in range(2):
            list(graph.compile().stream({}, stream_mode="messages"))
    assert found == ["Yes.", "Yes."]
    assert len(server.requests) == 3


@pytest.mark.parametrize("fault", ["", "stall", "cut"])
def test_a_host_that_streams_gets_the_same(fault: Any) -> None:
    found: list[str] = []
    counted = meter()

    def node(state: dict[str, Any]) -> dict[str, Any]:
        try:
            found.append(call(endpoint(server, timeout=0.5), counted, "planner", QUESTION).text)
        except ModelFailed as failure:
            found.append(failure.reason)
        return {}

    graph = StateGraph(dict)
    graph.add_node("node", node)
    graph.add_edge(START, "node")
    graph.add_edge("node", END)
    with OpenAiServer([text("A sentence of some length.", fault=fault)]) as server:
        list(graph.compile().stream({}, stream_mode="messages"))
    assert server.requests[0].body["stream"] is True
    assert found == [{"": "A sentence of some length.", "stall": "timeout", "cut": "connection"}[fault]]
    if not fault:
        assert counted.used.tokens == 120


def test_tools_are_called() -> None:
    with OpenAiServer([tool_call("fruit", PEAR), tool_call("fruit", "{broken")]) as server:
        tool = {"name": "fruit", "parameters": {"type": "object"}}
        assert call(endpoint(server), meter(), "analyst", QUESTION, tool=tool).calls == [
            Called("call_0", "fruit", PEAR)
        ]
        broken = call(endpoint(server), meter(), "analyst", QUESTION, tool=tool)
    assert broken.calls == [Called("call_0", "fruit", None)]


def test_a_run_without_a_model_names_no_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HANSEI_MODEL", raising=False)
    monkeypatch.setenv("OPENAI_BASE_URL", "https://me:secret@models.example/v1")
    assert endpoint_of(Context()) is None
    monkeypatch.setenv("HANSEI_MODEL", "some-model")
    named = endpoint_of(Context())
    assert named is not None
    assert named.foreign
    assert "secret" not in repr(named)


def test_the_package_loads_no_client_before_it_is_asked() -> None:
    clients = "{'langchain_openai', 'openai'}"
    code = f"import sys, hansei.tools.language_model, hansei.graph.workflow; print({clients} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"
