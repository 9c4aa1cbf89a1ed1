"""The writer with a model behind it: its words are kept where the report bears them out."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pydantic import SecretStr
from tests.support.openai_server import KEY, Answer, OpenAiServer, Request, Script, failing, says, structured, text
from tests.support.sample_report import empty_report, sample_report

from hansei.context import ModelBudget
from hansei.nodes.writing import summarise
from hansei.tools.language_model import Endpoint, ModelMeter, close_models
from hansei.tools.language_model import calling as calling_module


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(calling_module, "FIRST_PAUSE", 0.01)
    yield
    close_models()


def summary(script: Script) -> tuple[str, list[str], OpenAiServer]:
    with OpenAiServer(script) as server:
        endpoint = Endpoint("some-model", SecretStr(server.url), SecretStr(KEY), 10)
        return *summarise(sample_report(), endpoint, ModelMeter(ModelBudget())), server


def writes(*answers: list[str]) -> Script:
    """A model that writes these sentences: the first time, and when it is asked to write some anew."""

    def answer(request: Request) -> Answer:
        data = answers[min("anew" in request.prompt, len(answers) - 1)]
        return structured({"sentences": data})(request)

    return answer


def test_what_the_findings_say_is_kept() -> None:
    title = sample_report().findings[0].title
    told, notes, server = summary(writes([f"{title}.", "Look at this first."]))
    assert told == f"{title}. Look at this first."
    assert notes == []
    assert title[:30] in server.asked[0].prompt


def test_an_invented_sentence_is_written_anew_once_or_dropped() -> None:
    invented = [
        "Look at the errors first.",
        "It costs $987654.",
        "See https://evil.example now.",
        "Users of Globexia suffer.",
    ]
    told, notes, server = summary(writes(invented, ["It costs money.", "See www.evil.example now."]))
    assert told == "Look at the errors first. It costs money."
    assert "1 sentences were written anew and 2 dropped" in notes[0]
    assert len(server.asked) == 2


@pytest.mark.parametrize("answer", [failing(401), failing(500), text(""), says({"verdict": "all is well"})])
def test_when_the_model_fails_the_rules_words_stand(answer: Answer) -> None:
    told, notes, _ = summary([answer])
    assert told == ""
    assert notes[0].startswith("Summarised by rules: the model")
    assert len(notes) == 1


def test_without_findings_nobody_is_asked() -> None:
    with OpenAiServer([failing(500)]) as server:
        endpoint = Endpoint("some-model", SecretStr(server.url), SecretStr(KEY), 10)
        assert summarise(empty_report(), endpoint, ModelMeter(ModelBudget())) == ("", [])
    assert server.requests == []
