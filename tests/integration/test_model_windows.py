"""Models with a small window: the answer is bound to be short, and what is told is cut until it fits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr
from tests.support.openai_server import KEY, Answer, OpenAiServer, Request, failing, structured
from tests.support.sample_report import sample_report

from hansei.context import ModelBudget
from hansei.errors import ModelFailed
from hansei.nodes.writing import write
from hansei.tools.language_model import Endpoint, ModelMeter, ask_fitting, close_models
from hansei.tools.language_model.endpoint import SHORT_ANSWER

REFUSALS = [
    failing(400, code="context_length_exceeded"),
    failing(413),
    *(
        Answer(status=400, error={"message": words, "type": kind, "code": code})
        for words, kind, code in (
            ("This model's maximum context length is 2048 tokens. However, you requested 9.", "BadRequestError", 400),
            ("the request exceeds the available context size, try increasing it", "exceed_context_size_error", 400),
            ("prompt is too long: 9999 tokens > 2048 maximum", "invalid_request_error", None),
        )
    ),
]


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    close_models()


class Fruit(BaseModel):
    """A fruit."""

    name: str


def size(request: Request) -> int:
    """Tokens of what is told."""
    return len(request.prompt) // 4


def bound(request: Request) -> int:
    """Tokens that the answer may have."""
    return int(request.body.get("max_tokens", 0) or request.body["max_completion_tokens"])


def small(tokens: int, data: Any, refusal: Answer = REFUSALS[0]) -> Callable[[Request], Answer]:
    """A model whose window has so many tokens, for question and answer together."""

    def answer(request: Request) -> Answer:
        return refusal if size(request) + bound(request) > tokens else structured(data)(request)

    return answer


def endpoint(server: OpenAiServer) -> Endpoint:
    return Endpoint("small-model", SecretStr(server.url), SecretStr(KEY), 10)


def told(letters: int) -> list[tuple[str, str]]:
    return [("system", "Be brief."), ("user", "pear " * (letters // 5))]


def asked(server: OpenAiServer, letters: int = 40_000) -> Fruit:
    return ask_fitting(endpoint(server), ModelMeter(ModelBudget()), "planner", told, letters, Fruit)


@pytest.mark.parametrize("refusal", REFUSALS)
def test_it_is_cut_by_half_until_it_fits_and_what_was_refused_is_not_sent_again(refusal: Answer) -> None:
    with OpenAiServer(small(3_000, {"name": "pear"}, refusal)) as server:
        assert asked(server) == Fruit(name="pear")
        last = server.requests[-1]
        assert (size(last) < 2_000, bound(last)) == (True, SHORT_ANSWER)
        before = len(server.requests)
        assert asked(server) == Fruit(name="pear")
    assert len(server.requests) == before + 1


def test_a_window_that_has_room_is_not_cut() -> None:
    with OpenAiServer(small(20_000, {"name": "pear"})) as server:
        asked(server)
    assert size(server.asked[0]) > 9_000
    assert len(server.asked) == 1


def test_one_that_can_read_nothing_is_given_up_with_a_remedy() -> None:
    with OpenAiServer(small(100, {"name": "pear"})) as server, pytest.raises(ModelFailed) as failed:
        asked(server)
    assert failed.value.reason == "too_long"
    assert failed.value.remedy
    assert len(server.requests) < 20


def test_the_writer_keeps_within_the_window() -> None:
    long = [one.model_copy(update={"summary": f"{one.summary} {'Very. ' * 60}"}) for one in sample_report().findings]
    report = sample_report().model_copy(update={"findings": long})
    title = report.findings[0].title
    data = {"sentences": [{"text": f"{title}.", "about": [1]}], "cause": [], "recommendation": [], "edit": None}

    def answer(request: Request) -> Answer:
        wanted = data if request.is_probe else {
            name: data[name] for name in request.body["response_format"]["json_schema"]["schema"]["properties"]
        }  # fmt: skip
        return small(1_900, wanted)(request)

    with OpenAiServer(answer) as server:
        written, notes = write(report, {}, endpoint(server), ModelMeter(ModelBudget()))
    assert (written.summary, notes) == (f"{title}.", [])
    assert any(size(one) + bound(one) > 1_900 for one in server.asked)
