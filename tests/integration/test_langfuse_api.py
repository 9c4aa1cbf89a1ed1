"""The client for Langfuse's public API against a server on a real socket: what it sends again, and what it says."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from langfuse.api import CreateScoreRequest
from tests.support.langfuse_api import KEYS, PROJECT_ID, PUBLIC_KEY, SECRET_KEY, Fault, LangfuseServer, observation
from tests.support.otlp_server import refusing_url

from hansei.errors import LangfuseFailed
from hansei.tools.langfuse.api import Api, Patience, in_path, open_api, pages
from hansei.tools.langfuse.connection import Server

QUICK = Patience(attempts=4, first_pause=0.001, longest_pause=0.002, longest_told=0.01)
SCORE = CreateScoreRequest(id="s1", name="correct", value=1, data_type="BOOLEAN", trace_id="t1")
NOW = datetime(2026, 10, 1, tzinfo=UTC)


@pytest.fixture
def server() -> Iterator[LangfuseServer]:
    with LangfuseServer() as running:
        yield running


@pytest.fixture
def api(server: LangfuseServer) -> Iterator[Api]:
    with open_api(Server(server.url, PUBLIC_KEY, SECRET_KEY), patience=QUICK) as opened:
        yield opened


def test_scores_are_written_read_and_deleted(server: LangfuseServer, api: Api) -> None:
    api.ask(api.client.scores.create, request=[SCORE])
    found = api.ask(api.client.scores.get_many, id="s1", fields="details,subject").data
    assert [(score.id, score.value, score.subject.id if score.subject else "") for score in found] == [
        ("s1", True, "t1")
    ]
    api.ask(api.client.scores.delete, "s1")
    assert not server.state.scores


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=429, headers={"Retry-After": "0"}),
        Fault(status=429, headers={"Retry-After": format_datetime(datetime.now(UTC) + timedelta(seconds=1))}),
        Fault(status=500),
        Fault(status=503, headers={"Retry-After": "soon"}),
        Fault(cut="before"),
        Fault(cut="after"),
    ],
)
def test_what_may_pass_is_sent_again_and_is_there_once(server: LangfuseServer, api: Api, fault: Fault) -> None:
    server.fault("create_scores", fault, times=3)
    api.ask(api.client.scores.create, request=[SCORE])
    assert len(server.named("create_scores")) == 4
    assert len(server.state.scores) == 1


def test_a_refused_request_is_sent_once(server: LangfuseServer, api: Api) -> None:
    with pytest.raises(LangfuseFailed, match="answered 400 to limit") as caught:
        api.ask(api.client.scores.get_many, limit=1000)
    assert (caught.value.reason, caught.value.status, caught.value.passing) == ("refused", 400, False)
    assert len(server.requests) == 1


def test_what_would_be_done_twice_is_not_sent_again_when_it_may_have_been_done(
    server: LangfuseServer, api: Api
) -> None:
    from langfuse.api.prompts.types.create_text_prompt_request import CreateTextPromptRequest

    prompt = CreateTextPromptRequest(name="answer", prompt="Be brief.", type="text")
    server.fault("create_prompt", Fault(cut="after"))
    with pytest.raises(LangfuseFailed, match="hung up"):
        api.ask(api.client.prompts.create, request=prompt)
    assert [one["version"] for one in server.state.prompts] == [1]
    server.fault("create_prompt", Fault(status=429, headers={"Retry-After": "0"}))
    api.ask(api.client.prompts.create, request=prompt)
    assert [one["version"] for one in server.state.prompts] == [1, 2]


def test_every_endpoint_speaks_as_the_sdk_expects(server: LangfuseServer, api: Api) -> None:
    """The server checks each answer against the SDK's types, and the context's end fails when one does not fit."""
    from langfuse.api.prompts.types.create_chat_prompt_request import CreateChatPromptRequest

    client = api.client
    api.ask(client.datasets.create, name="failures of 1 / 2", metadata={"by": "hansei"})
    api.ask(client.dataset_items.create, dataset_name="failures of 1 / 2", id="i1", input="a", expected_output="b")
    api.ask(client.dataset_items.create, dataset_name="failures of 1 / 2", id="i1", input="a", expected_output="c")
    assert api.ask(client.dataset_items.get, "i1").expected_output == "c"
    assert api.ask(client.dataset_items.list, dataset_name="failures of 1 / 2").meta.total_items == 1
    assert api.ask(client.datasets.get, in_path("failures of 1 / 2")).name == "failures of 1 / 2"
    assert len(api.ask(client.datasets.list).data) == 1
    api.ask(client.dataset_items.delete, "i1")
    with pytest.raises(LangfuseFailed, match="answered 404") as caught:
        api.ask(client.dataset_items.get, "i1")
    assert caught.value.reason == "not_found"

    chat = CreateChatPromptRequest.model_validate(
        {"name": "answer", "prompt": [{"role": "system", "content": "Be brief."}], "type": "chat", "labels": ["new"]}
    )
    api.ask(client.prompts.create, request=chat)
    api.ask(client.prompt_version.update, "answer", 1, new_labels=["production"])
    assert api.ask(client.prompts.get, "answer").labels == ["new", "latest", "production"]
    assert api.ask(client.prompts.list).data[0].versions == [1]

    config = api.ask(client.score_configs.create, name="correct", data_type="BOOLEAN")  # type: ignore[arg-type]
    assert api.ask(client.score_configs.get_by_id, config.id).name == "correct"
    assert len(api.ask(client.score_configs.get).data) == 1
    queue = api.ask(client.annotation_queues.create_queue, name="to label", score_config_ids=[config.id])
    item = api.ask(
        client.annotation_queues.create_queue_item,
        queue.id,
        object_id="t1",
        object_type="TRACE",  # type: ignore[arg-type]
    )
    assert len(api.ask(client.annotation_queues.list_queue_items, queue.id).data) == 1
    api.ask(client.annotation_queues.delete_queue_item, queue.id, item.id)
    assert api.ask(client.annotation_queues.get_queue, queue.id).name == "to label"
    assert len(api.ask(client.annotation_queues.list_queues).data) == 1
    assert api.ask(client.experiments.list, from_start_time=NOW).data == []
    assert api.ask(client.experiments.list_items, from_start_time=NOW).data == []


def test_a_server_that_stays_down_is_told_with_what_to_do(server: LangfuseServer, api: Api) -> None:
    server.fault("create_scores", Fault(status=502), times=100)
    with pytest.raises(LangfuseFailed, match=r"answered 502 \(POST scores\)") as caught:
        api.ask(api.client.scores.create, request=[SCORE])
    assert caught.value.passing
    assert caught.value.remedy
    assert len(server.requests) == QUICK.attempts


def test_nobody_there() -> None:
    with (
        open_api(Server(refusing_url(), PUBLIC_KEY, SECRET_KEY), patience=QUICK) as api,
        pytest.raises(LangfuseFailed, match="cannot be reached") as caught,
    ):
        api.ask(api.client.health.health)
    assert (caught.value.reason, caught.value.status) == ("unreachable", 0)


def test_wrong_keys_and_another_server(server: LangfuseServer) -> None:
    with open_api(Server(server.url, PUBLIC_KEY, "sk-wrong"), patience=QUICK) as api:
        with pytest.raises(LangfuseFailed, match="answered 401") as caught:
            api.ask(api.client.scores.get_many)
        assert caught.value.reason == "credentials"
        server.fault("health", Fault(text="<html>a proxy</html>"))
        with pytest.raises(LangfuseFailed, match="cannot read") as caught:
            api.ask(api.client.health.health)
        assert caught.value.reason == "unreadable"
    assert len(server.requests) == 2


def test_no_key_is_needed_to_be_told_that_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in KEYS:
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(LangfuseFailed, match="no keys") as caught:
        open_api()
    assert "LANGFUSE_SECRET_KEY" in caught.value.remedy


@pytest.mark.parametrize("fault", [Fault(status=403), Fault(status=500), Fault(status=418), Fault(cut="before")])
def test_no_error_holds_a_key_or_an_id(server: LangfuseServer, api: Api, fault: Fault) -> None:
    server.fault("", fault, times=100)
    with pytest.raises(LangfuseFailed) as caught:
        api.ask(api.client.scores.delete, "id-out-of-a-trace")
    told = f"{caught.value!r} {caught.value.__cause__!r} {caught.value}"
    assert not any(secret in told for secret in (SECRET_KEY, PUBLIC_KEY, "out-of-a-trace"))
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.reason, again.status) == (str(caught.value), caught.value.reason, caught.value.status)


def test_all_pages_come_once_in_order(server: LangfuseServer, api: Api) -> None:
    server.state.observations = [
        observation(id=f"o{n:03}", trace_id=f"t{n % 7}", start_time=(NOW + timedelta(minutes=n)).isoformat())
        for n in range(103)
    ]
    server.fault("list_observations", Fault(cut="after"), after=2)
    found = pages(
        lambda cursor: api.ask(
            api.client.observations.get_many, limit=10, cursor=cursor, fields="core,basic,io,metadata,trace_context"
        )
    )
    ids = [row.id for page in found for row in page.data]
    assert ids == [f"o{n:03}" for n in reversed(range(103))]


def test_the_project_is_asked_once(server: LangfuseServer, api: Api) -> None:
    assert (api.project_id(), api.project_id()) == (PROJECT_ID, PROJECT_ID)
    assert len(server.requests) == 1


def test_requests_keep_to_a_rate(server: LangfuseServer, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr("hansei.tools.langfuse.api.time.sleep", waited.append)
    with open_api(Server(server.url, PUBLIC_KEY, SECRET_KEY), per_minute=30) as api:
        for _ in range(3):
            api.ask(api.client.health.health)
    assert waited[0] == 0
    assert all(seconds > 1 for seconds in waited[1:])
