"""Servers that are slow, or answer one question at a time, as llama.cpp's for Python does."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from pydantic import SecretStr
from tests.support.openai_server import KEY, Answer, OpenAiServer, Request, failing, text

from hansei.context import Context, ModelBudget
from hansei.errors import ModelFailed, UsageError
from hansei.tools.language_model import Endpoint, ModelMeter, close_models, endpoint_of
from hansei.tools.language_model import calling as calling_module
from hansei.tools.language_model.calling import call


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    close_models()


class OneAtATime:
    """Takes its time for each answer, and lets the others wait."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.most, self._inside = seconds, 0, 0
        self._count, self._turn = threading.Lock(), threading.Lock()

    def __call__(self, request: Request) -> Answer:
        with self._count:
            self._inside += 1
            self.most = max(self.most, self._inside)
        with self._turn:
            time.sleep(self.seconds)
        with self._count:
            self._inside -= 1
        return text("A pear.")


def asked(model: OneAtATime, at_once: int, meter: ModelMeter, questions: int = 6) -> list[str]:
    """What each of so many questions that are asked side by side gives: the answer, or why there is none."""

    def one(number: int) -> str:
        try:
            return call(endpoint, meter, "writer", [("user", f"Question {number}?")]).text
        except ModelFailed as failure:
            return failure.reason

    with OpenAiServer(model) as server, ThreadPoolExecutor(questions) as pool:
        endpoint = Endpoint("some-model", SecretStr(server.url), SecretStr(KEY), 1.5, at_once=at_once)
        return list(pool.map(one, range(questions)))


def test_questions_wait_for_their_turn_and_their_time_begins_with_it() -> None:
    model = OneAtATime(0.4)
    assert asked(model, 1, ModelMeter(ModelBudget())) == ["A pear."] * 6
    assert model.most == 1
    crowded = OneAtATime(0.4)
    assert "timeout" in asked(crowded, 32, ModelMeter(ModelBudget()))
    assert crowded.most > 1


def test_nobody_waits_for_a_turn_longer_than_the_run_may_wait() -> None:
    found = asked(OneAtATime(0.4), 1, ModelMeter(ModelBudget(seconds=0.6)))
    assert found.count("A pear.") == 1
    assert found.count("timeout") <= 1  # the one that was under way; the others were not asked, and that is said
    assert set(found) <= {"A pear.", "budget", "timeout"}


def test_after_an_answer_that_came_too_late_the_next_may_be_half_as_long() -> None:
    late = text("word " * 100, fault="stall")
    with OpenAiServer([late, late, late, text("A pear.")]) as server:
        endpoint = Endpoint("m", SecretStr(server.url), SecretStr(KEY), 0.4)
        for _ in range(3):
            with pytest.raises(ModelFailed, match="within"):
                call(endpoint, ModelMeter(ModelBudget()), "writer", [("user", "Which fruit?")])
        assert call(endpoint, ModelMeter(ModelBudget()), "writer", [("user", "Which fruit?")]).text == "A pear."
    assert [request.body["max_tokens"] for request in server.requests] == [4_000, 2_000, 1_000, 1_000]


def test_pauses_double_between_two_attempts(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(calling_module.time, "sleep", pauses.append)
    monkeypatch.setattr(calling_module.random, "uniform", lambda low, high: high)
    with OpenAiServer([failing(503)]) as server, pytest.raises(ModelFailed, match="HTTP 503"):
        call(
            Endpoint("m", SecretStr(server.url), SecretStr(KEY), 5),
            ModelMeter(ModelBudget()),
            "writer",
            [("user", "?")],
        )
    assert pauses == [0.5, 1, 2]


def test_a_bound_on_tokens_holds_where_none_are_told() -> None:
    meter = ModelMeter(ModelBudget(tokens=1_000))
    with OpenAiServer([text("word " * 600, usage=None)]) as server:
        endpoint = Endpoint("m", SecretStr(server.url), SecretStr(KEY), 5)
        call(endpoint, meter, "writer", [("user", "Which fruit?")])
        with pytest.raises(ModelFailed, match="may use 1,000 tokens"):
            call(endpoint, meter, "writer", [("user", "Which fruit?")])
    assert len(server.requests) == 1


def test_the_environment_names_what_a_slow_server_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (Context().model_timeout, Context().model_at_once) == (60, 32)
    monkeypatch.setenv("HANSEI_MODEL", "some-model")
    monkeypatch.setenv("HANSEI_MODEL_TIMEOUT", "300")
    monkeypatch.setenv("HANSEI_MODEL_AT_ONCE", "1")
    named = endpoint_of(Context())
    assert named is not None
    assert (named.timeout, named.at_once) == (300, 1)
    for name, wrong in (
        ("HANSEI_MODEL_TIMEOUT", "soon"), ("HANSEI_MODEL_TIMEOUT", "0"), ("HANSEI_MODEL_TIMEOUT", "inf"),
        ("HANSEI_MODEL_AT_ONCE", "0"), ("HANSEI_MODEL_AT_ONCE", "1.5"),
    ):  # fmt: skip
        with monkeypatch.context() as only:
            only.setenv(name, wrong)
            with pytest.raises(UsageError, match=name):
                Context()
