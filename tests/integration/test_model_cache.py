"""Answers that are kept: through the real client, and in a file of its own for each test."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from langchain_core.messages import ToolMessage
from pydantic import BaseModel, ConfigDict, SecretStr
from tests.support.openai_server import KEY, OpenAiServer, Request, failing, says, structured, text, tool_call

from hansei import Context
from hansei.context import ModelBudget, ModelPrices
from hansei.contracts.spent import Usage
from hansei.errors import ModelFailed, UsageError
from hansei.tools.language_model import Endpoint, ModelMeter, ask, close_models, endpoint_of
from hansei.tools.language_model import answers as answers_module
from hansei.tools.language_model.calling import call

QUESTION = [("system", "Be brief."), ("user", "Which fruit does ann@example.com like?")]


class Fruit(BaseModel):
    """A fruit."""

    model_config = ConfigDict(extra="forbid")

    name: str


pytestmark = pytest.mark.usefixtures("quick_model")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "of its own?x=%20" / "answers.sqlite"


def endpoint(server: OpenAiServer, file: Path | None) -> Endpoint:
    return Endpoint("some-model", SecretStr(server.url), SecretStr(KEY), 20, file)


def meter(calls: int = 100) -> ModelMeter:
    return ModelMeter(ModelBudget(calls=calls))


def test_the_same_question_is_answered_once_and_costs_nothing_again(file: Path) -> None:
    with OpenAiServer(structured({"name": "pear"})) as server:
        first, again = meter(), meter(calls=1)  # one call for the probe, which is not kept
        assert ask(endpoint(server, file), first, "writer", QUESTION, Fruit).name == "pear"
        close_models()
        assert ask(endpoint(server, file), again, "writer", QUESTION, Fruit).name == "pear"
        assert ask(endpoint(server, file), again, "critic", QUESTION, Fruit).name == "pear"
    assert len(server.asked) == 1
    assert first.used.calls == 2
    assert again.by_node["critic"] == Usage(cached=1)
    assert again.used.tokens <= 120


def test_what_differs_is_asked(file: Path) -> None:
    with OpenAiServer([text("pear")]) as server:
        one = endpoint(server, file)
        others = [
            replace(one, model="another-model"),
            replace(one, key=SecretStr("another-key")),
            replace(one, key=None),
            replace(one, url=SecretStr(server.url + "/")),
        ]
        for asked in (one, *others):
            assert call(asked, meter(), "writer", QUESTION).text == "pear"
        call(one, meter(), "writer", QUESTION[:1])
        call(one, meter(), "writer", QUESTION, tool={"name": "fruit", "parameters": {"type": "object"}})
        count = len(server.requests)
        assert count == 7
        for asked in (one, *others):
            call(asked, meter(), "writer", QUESTION)
        assert len(server.requests) == count


def test_a_conversation_with_tools_goes_the_same_way_again(file: Path) -> None:
    answers = [tool_call("look", {"at": "pears"}), text("They are ripe.")]
    with OpenAiServer(answers) as server:
        for _ in range(2):
            tools = [{"name": "look", "parameters": {"type": "object"}}]
            first = call(endpoint(server, file), meter(), "analyst", QUESTION, tools=tools)
            assert first.message is not None
            seen = [*QUESTION, first.message, ToolMessage("ripe", tool_call_id=first.calls[0].id)]
            assert call(endpoint(server, file), meter(), "analyst", seen, tools=tools).text == "They are ripe."
        assert len(server.requests) == 2


def test_it_is_for_its_owner_alone_and_holds_no_prompt_and_no_key(file: Path) -> None:
    with OpenAiServer([text("A pear, I think.")]) as server:
        call(endpoint(server, file), meter(), "writer", QUESTION)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    held = file.read_bytes()
    assert b"A pear, I think." in held
    for secret in (KEY.encode(), b"ann@example.com", b"127.0.0.1"):
        assert secret not in held
    file.chmod(0o644)
    again = file.with_name("copy.sqlite")
    again.write_bytes(held)
    with OpenAiServer([text("pear")]) as server:
        call(endpoint(server, again), meter(), "writer", QUESTION)
    assert stat.S_IMODE(again.stat().st_mode) == 0o600


def test_what_failed_or_does_not_fit_is_not_kept(file: Path) -> None:
    def answers(request: Request) -> object:
        return structured({"name": "pear"} if len(server.asked) > 3 else {"colour": "green"})(request)

    with OpenAiServer(answers) as server:  # type: ignore[arg-type]
        with pytest.raises(ModelFailed):
            ask(endpoint(server, file), meter(), "writer", QUESTION, Fruit)
        asked = len(server.asked)
        assert asked == 2
        with pytest.raises(ModelFailed):
            call(endpoint(server, file), meter(calls=0), "writer", QUESTION)
        ask(endpoint(server, file), meter(), "writer", QUESTION, Fruit)
        assert len(server.asked) > asked
    with OpenAiServer([failing(400), text("pear")]) as server:
        with pytest.raises(ModelFailed):
            call(endpoint(server, file), meter(), "writer", QUESTION)
        assert call(endpoint(server, file), meter(), "writer", QUESTION).text == "pear"


def test_a_model_that_takes_no_temperature_is_asked_each_time(file: Path) -> None:
    def warm(request: Request) -> object:
        return failing(400, param="temperature") if "temperature" in request.body else text("pear")

    with OpenAiServer(warm) as server:  # type: ignore[arg-type]
        for _ in range(2):
            call(endpoint(server, file), meter(), "writer", QUESTION)
        assert len(server.requests) == 3


def test_a_cache_that_cannot_be_used_costs_nothing_but_time(tmp_path: Path) -> None:
    broken, link, folder = tmp_path / "broken", tmp_path / "link", tmp_path / "folder"
    broken.write_bytes(b"no database" * 1_000)
    link.symlink_to(tmp_path / "elsewhere")
    folder.mkdir()
    with OpenAiServer([text("pear")]) as server:
        for file in (broken, link, folder, broken / "below", None):
            for _ in range(2):
                assert call(endpoint(server, file), meter(), "writer", QUESTION).text == "pear"
        assert len(server.requests) == 10
    assert not (tmp_path / "elsewhere").exists()


def test_what_is_kept_stays_below_a_bound_and_the_oldest_go_first(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers_module, "MOST_BYTES", 80_000)
    with OpenAiServer([text("pear " * 1_000)]) as server:
        one = endpoint(server, file)
        for number in range(30):
            call(one, meter(), "writer", [("user", f"Question {number}")])
        assert 40_000 < file.stat().st_size <= 90_000
        call(one, meter(), "writer", [("user", "Question 29")])
        assert len(server.requests) == 30
        call(one, meter(), "writer", [("user", "Question 0")])
        assert len(server.requests) == 31


def test_an_answer_that_others_put_there_becomes_no_object(file: Path) -> None:
    with OpenAiServer([text("pear")]) as server:
        call(endpoint(server, file), meter(), "writer", QUESTION)
        with sqlite3.connect(file) as database:
            database.execute("UPDATE full_llm_cache SET response = ?", ('{"lc": 1, "id": ["os", "system"]}',))
        database.close()
        assert call(endpoint(server, file), meter(), "writer", QUESTION).text == "pear"
        assert len(server.requests) == 2


def test_many_threads_share_it(file: Path) -> None:
    with OpenAiServer([text("pear")]) as server, ThreadPoolExecutor(8) as pool:
        one = endpoint(server, file)
        asked = [pool.submit(call, one, meter(), "writer", [("user", f"Question {i % 4}")]) for i in range(40)]
        assert {done.result().text for done in asked} == {"pear"}


def test_it_is_on_by_default_in_the_users_cache_and_can_be_switched_off(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("HANSEI_MODEL_CACHE")
    monkeypatch.setenv("HANSEI_MODEL", "some-model")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    on, off = endpoint_of(Context()), endpoint_of(Context(model_cache=False))
    assert on is not None
    assert off is not None
    assert (on.cache, off.cache) == (tmp_path / "hansei" / "model-answers.sqlite", None)
    monkeypatch.setenv("HANSEI_MODEL_CACHE", "off")
    assert not Context().model_cache


def test_the_prices_and_the_masking_can_be_named_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Context().masking
    monkeypatch.setenv("HANSEI_MASKING", "off")
    monkeypatch.setenv("HANSEI_MODEL_PRICES", "0.25/2")
    assert not Context().masking
    assert Context().model_prices == ModelPrices(input=0.25, output=2)
    monkeypatch.setenv("HANSEI_MODEL_PRICES", "cheap")
    with pytest.raises(UsageError, match="HANSEI_MODEL_PRICES"):
        Context()


def test_a_run_without_a_model_loads_nothing_of_it() -> None:
    code = (
        "import sys, hansei.graph.workflow; print({'langchain_community', 'sqlalchemy', 'openai'} & set(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"


def test_nothing_is_said_about_the_libraries_behind_it(file: Path) -> None:
    with OpenAiServer([says({"name": "pear"})]) as server:
        code = (
            "from pathlib import Path; from pydantic import SecretStr\n"
            "from hansei.context import ModelBudget; from hansei.tools.language_model import Endpoint, ModelMeter\n"
            "from hansei.tools.language_model.calling import call\n"
            f"where = Endpoint('m', SecretStr({server.url!r}), None, 20, Path({str(file)!r}))\n"
            "for _ in range(2): print(call(where, ModelMeter(ModelBudget()), 'writer', [('user', 'hi')]).text)"
        )
        proxied = os.environ | {"HTTPS_PROXY": "http://127.0.0.1:9", "no_proxy": "127.0.0.1"}
        command = [sys.executable, "-W", "always::DeprecationWarning", "-c", code]
        found = subprocess.run(command, env=proxied, capture_output=True, text=True, check=True)
    assert found.stdout.count("pear") == 2
    assert len(server.requests) == 1
    assert "sunset" not in found.stderr
    assert "langchain-openai" not in found.stderr  # which would warn of the proxy
