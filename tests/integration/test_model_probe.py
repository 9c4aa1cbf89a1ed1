"""What `hansei doctor` asks a model, and what is kept of it for later runs."""

from __future__ import annotations

import json
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel, SecretStr
from tests.support.certificates import signed_by_itself
from tests.support.cli import hansei_here
from tests.support.openai_server import KEY, Answer, OpenAiServer, Request, failing, says, structured, text, tool_call
from tests.support.otlp_server import refusing_url

from hansei.context import Context, ModelBudget
from hansei.tools.langfuse.health import Health
from hansei.tools.language_model import Endpoint, ModelMeter, ask, close_models
from hansei.tools.language_model import calling as calling_module
from hansei.tools.language_model import examining as examining_module
from hansei.tools.language_model import habits as habits_module
from hansei.tools.language_model.examining import examine_model
from hansei.tools.language_model.remembered import FRESH, NAME

NOBODY = "clickhouse://me:s3cret@127.0.0.1:1/langfuse"


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A cache of its own, short pauses, and nothing known from other tests."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setattr(calling_module, "FIRST_PAUSE", 0.01)
    habits_module._known.clear()
    yield
    close_models()


class Fruit(BaseModel):
    """A fruit."""

    name: str


Model = Callable[[Request], Answer]


def able(request: Request) -> Answer:
    """A model that can do all that it is asked here."""
    if request.tools == ["look"]:
        return tool_call("look", {"at": "here"})
    if "with the word yes" in request.prompt and request.way == "prompt":
        return text("yes")
    return structured({"name": "pear"})(request)


def plain(request: Request) -> Answer:
    """A model that knows nothing but text, and whole answers."""
    if request.way != "prompt":
        return failing(400)
    return text('{"ready": "yes"}' if request.is_probe else '{"name": "pear"}', still=True)


def thinking(request: Request) -> Answer:
    """A model that chooses its own temperature and names the limit in another way."""
    for name in ("temperature", "max_tokens"):
        if name in request.body:
            return failing(400, param=name)
    return able(request)


def examined(server: OpenAiServer, monkeypatch: pytest.MonkeyPatch) -> dict[str, Health]:
    monkeypatch.setenv("OPENAI_BASE_URL", server.url.replace("://", "://me:p4ssword@"))
    context = Context(model="some-model", model_cache=True, model_timeout=5)
    return {one.name: one for one in examine_model(context)}


def endpoint(server: OpenAiServer, tmp_path: Path) -> Endpoint:
    url = server.url.replace("://", "://me:p4ssword@")
    return Endpoint("some-model", SecretStr(url), SecretStr(KEY), 5, tmp_path / "hansei" / "model-answers.sqlite")


def asked(server: OpenAiServer, tmp_path: Path) -> list[str]:
    """The ways in which a later process asks for a fruit, its probes included."""
    habits_module._known.clear()
    before = len(server.requests)
    assert ask(endpoint(server, tmp_path), ModelMeter(ModelBudget()), "planner", [("user", "Which?")], Fruit).name
    return [request.way for request in server.requests[before:]]


def test_what_a_model_can_do_is_told_and_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with OpenAiServer(able, models=[{"id": "some-model", "object": "model", "max_model_len": 32_768}]) as server:
        found = examined(server, monkeypatch)
        assert [one.status for one in found.values()] == ["ok"] * 6, found
        assert found["structured answers"].detail == "by a JSON schema"
        assert found["window"].detail == "32,768 tokens"
        assert f"some-model at {server.url} answers" == found["model"].detail
        assert asked(server, tmp_path) == ["json_schema"]
    file = tmp_path / "hansei" / NAME
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    held = file.read_text("utf-8")
    for secret in (KEY, "p4ssword", "127.0.0.1", "some-model"):
        assert secret not in held


@pytest.mark.parametrize(
    ("model", "told"),
    [
        (plain, {"structured answers": "as told", "tools": "calls none", "streaming": "does not stream"}),
        (thinking, {"parameters": "max_completion_tokens; it chooses its own temperature"}),
    ],
)
def test_what_it_cannot_do_is_noted_and_no_failure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, model: Model, told: dict[str, str]
) -> None:
    with OpenAiServer(model) as server:
        found = examined(server, monkeypatch)
        for name, words in told.items():
            assert words in found[name].detail
            assert found[name].status == "note"
        assert "failed" not in {one.status for one in found.values()}
        assert "not told by the server" in found["window"].detail
        # A later run asks at once as this model wants it: nothing is refused.
        assert asked(server, tmp_path) == ["prompt" if model is plain else "json_schema"]


def test_a_small_window_that_is_told_is_kept_to(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with OpenAiServer(able, models=[{"id": "some-model", "object": "model", "meta": {"n_ctx": 4096}}]) as server:
        found = examined(server, monkeypatch)
        assert found["window"].status == "note"
        asked(server, tmp_path)
    assert server.asked[-1].body["max_tokens"] == 1024


@pytest.mark.parametrize(
    ("answer", "words", "remedy"),
    [
        (failing(401), "HTTP 401", "OPENAI_API_KEY"),
        (failing(402), "HTTP 402", "balance"),
        (failing(404), "HTTP 404", "Name one that is there (pear, plum)."),
        (failing(400), "HTTP 400", "Name one that is there (pear, plum)."),
        (failing(429), "HTTP 429", "later"),
        (Answer(content="yes", fault="stall"), "did not answer within", "has loaded the model"),
        (Answer(fault="not_json"), "no chat completion", "OPENAI_BASE_URL"),
    ],
)
def test_what_is_wrong_is_one_line_with_a_remedy(
    monkeypatch: pytest.MonkeyPatch, answer: Answer, words: str, remedy: str
) -> None:
    monkeypatch.setattr(examining_module, "PATIENCE", 0.4)
    models = [{"id": name, "object": "model"} for name in ("pear", "plum")]
    with OpenAiServer([answer], models=models) as server:
        [found] = examined(server, monkeypatch).values()
    assert (found.name, found.status) == ("model", "failed")
    assert words in found.detail
    assert remedy in found.remedy
    for line in (found.detail, found.remedy):
        assert "\n" not in line
        assert KEY not in line
        assert "p4ssword" not in line


def test_nobody_there_and_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", f"{refusing_url()}/v1")
    [found] = examine_model(Context(model="some-model"))
    assert (found.status, "cannot be reached" in found.detail) == ("failed", True)
    monkeypatch.delenv("OPENAI_BASE_URL")
    monkeypatch.delenv("OPENAI_API_KEY")
    [found] = examine_model(Context(model="some-model"))
    assert (found.status, "OPENAI_API_KEY" in found.remedy) == ("failed", True)
    [found] = examine_model(Context(model=None))
    assert found.status == "skipped"


@pytest.mark.parametrize(
    ("url", "key", "words"),
    [
        ("localhost:8000/v1", KEY, "(OPENAI_BASE_URL) is none of a server"),
        ("me:p4ssword@host/v1", KEY, "(OPENAI_BASE_URL) is none of a server"),
        ("http://me:p4ssword/x@host/v1", KEY, "(OPENAI_BASE_URL) is none of a server"),
        ("http://[::1/v1", KEY, "(OPENAI_BASE_URL) is none of a server"),
        ("http://127.0.0.1:99999/v1", KEY, "(OPENAI_BASE_URL) is none of a server"),
        ("ftp://127.0.0.1/v1", KEY, "(OPENAI_BASE_URL) is none of a server"),
        ("http://127.0.0.1:1/v1", f"“{KEY}”", "(OPENAI_API_KEY) holds"),
        ("http://127.0.0.1:1/v1", f"{KEY}\nOPENAI", "(OPENAI_API_KEY) holds"),
    ],
)
def test_what_cannot_be_sent_is_told_and_not_tried(
    monkeypatch: pytest.MonkeyPatch, url: str, key: str, words: str
) -> None:
    monkeypatch.setattr(calling_module, "_sent", lambda *_: pytest.fail("it was tried"))
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    monkeypatch.setenv("OPENAI_API_KEY", key)
    [found] = examine_model(Context(model="some-model", model_cache=True))
    assert (found.status, words in found.detail, bool(found.remedy)) == ("failed", True, True)
    assert "p4ss" not in found.detail + found.remedy
    assert KEY not in found.detail + found.remedy


def test_blanks_around_an_address_and_a_key_are_no_part_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    with OpenAiServer(able) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", f" {server.url}?api-version=preview\n")
        monkeypatch.setenv("OPENAI_API_KEY", f"{KEY}\r\n")
        found = {one.name: one for one in examine_model(Context(model="some-model", model_cache=False))}
    assert found["model"].detail == f"some-model at {server.url} answers"
    assert {request.path for request in server.requests} == {"/v1/chat/completions?api-version=preview"}
    assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"


def test_tls_that_does_not_fit_is_told_and_not_tried_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def told(url: str) -> Health:
        monkeypatch.setenv("OPENAI_BASE_URL", url)
        return next(examine_model(Context(model="some-model", model_cache=False)))

    monkeypatch.setattr(calling_module.time, "sleep", lambda seconds: pytest.fail("it was tried again"))
    with OpenAiServer(able) as server:
        found = told(server.url.replace("http://", "https://"))
    assert "does not speak TLS" in found.detail
    assert "http://" in found.remedy
    tls, certificate = signed_by_itself(tmp_path)
    with OpenAiServer(able, tls=tls) as server:
        url = server.url.replace("127.0.0.1", "localhost")
        found = told(url)
        assert "certificate" in found.detail
        assert "SSL_CERT_FILE" in found.remedy
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert "certificate" in told(server.url).detail  # trusted, but of another host
        close_models()
        assert told(url).status == "ok"


def spoil(how: str, file: Path) -> None:
    held = json.loads(file.read_text("utf-8"))
    [(key, entry)] = held.items()
    if how == "expired":
        entry["at"] = time.time() - FRESH - 1
    elif how == "of the future":
        entry["at"] = time.time() + 1_000
    elif how == "another version":
        entry["hansei"] = "0.0.1"
    elif how == "another shape":
        entry["kept"]["way"] = "by telepathy"
    text = "{" * 100_000 if how == "no JSON" else "[]" if how == "a list" else json.dumps({key: entry})
    file.write_text(text, encoding="utf-8")


@pytest.mark.parametrize("how", ["expired", "of the future", "another version", "another shape", "no JSON", "a list"])
def test_what_cannot_be_believed_is_found_out_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, how: str) -> None:
    with OpenAiServer(able) as server:
        examined(server, monkeypatch)
        spoil(how, tmp_path / "hansei" / NAME)
        assert asked(server, tmp_path) == ["json_schema"] * 2  # the probe, and the question


def test_a_server_that_was_replaced_is_asked_as_it_wants(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ways = ["json_schema"]

    def model(request: Request) -> Answer:
        return structured({"name": "pear"}, ways)(request)

    with OpenAiServer(model) as server:
        examined(server, monkeypatch)
        ways[:] = ["prompt"]
        assert asked(server, tmp_path)[-1] == "prompt"
        assert asked(server, tmp_path) == []  # an answer that was kept


def test_where_no_answers_are_kept_nothing_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with OpenAiServer(able) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        list(examine_model(Context(model="some-model", model_cache=False)))
    assert not (tmp_path / "hansei").exists()


def test_doctor_shows_it(tmp_path: Path) -> None:
    arguments = ("doctor", "--clickhouse", NOBODY, "--model", "some-model")
    with OpenAiServer([says({"ready": "yes"})]) as server:
        settings = {"OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": KEY, "XDG_CACHE_HOME": str(tmp_path)}
        shown = hansei_here(tmp_path, *arguments, **settings)
        data = json.loads(hansei_here(tmp_path, *arguments, "--json", **settings).stdout)
        none = json.loads(hansei_here(tmp_path, *arguments, "--no-llm", "--json", **settings).stdout)
    assert "some-model at http://127.0.0.1" in shown.stdout
    names = [check["name"] for check in data["checks"]]
    assert names[-6:] == ["model", "structured answers", "tools", "streaming", "parameters", "window"]
    assert none["checks"][-1]["status"] == "skipped"
    assert KEY not in shown.stdout + shown.stderr
