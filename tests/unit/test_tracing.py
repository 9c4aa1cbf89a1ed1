"""Tracing without a server: off without keys, one handler per invocation, no stray spans, no secrets."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler, CallbackManager
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from tests.support.otlp_server import OtlpServer
from tests.support.traced_graph import broken_critic, leaking_critic, small_graph

from hansei.errors import QueryFailed
from hansei.tools.langfuse.connection import Server
from hansei.tools.langfuse.tracing import query_span, start_trace, trace_url, traced
from hansei.tools.langfuse.tracing_redaction import LONGEST_TEXT, redact, secrets_in

KEYS = ("LANGFUSE_PUBLIC_KEY", "LANGFUSE_SECRET_KEY", "LANGFUSE_BASE_URL", "LANGFUSE_HOST", "LANGFUSE_TIMEOUT",
        "LANGFUSE_TRACING_ENABLED", "LANGFUSE_TRACING_ENVIRONMENT", "OTEL_SDK_DISABLED")  # fmt: skip


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in KEYS:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANGFUSE_PUBLIC_KEY", "pk-lf-1")
    monkeypatch.setenv("LANGFUSE_SECRET_KEY", "sk-lf-1")


class Listener(BaseCallbackHandler):
    """A host's handler of another make: remembers the tool events."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Any]] = []

    def on_tool_start(self, serialized: dict[str, Any], input_str: str, **kwargs: Any) -> None:
        self.events.append((serialized["name"], kwargs["inputs"]))

    def on_tool_end(self, output: Any, **kwargs: Any) -> None:
        self.events.append(("end", output))

    def on_tool_error(self, error: BaseException, **kwargs: Any) -> None:
        self.events.append(("error", str(error)))


def start(run_id: str = "run-1") -> Any:
    return start_trace(run_id, session_id="thread-1", tags=["cli"], version="1.2.3")


@pytest.mark.parametrize("only", ["LANGFUSE_PUBLIC_KEY", "LANGFUSE_SECRET_KEY", None])
def test_without_both_keys_it_is_off_and_says_nothing(monkeypatch: pytest.MonkeyPatch, only: str | None) -> None:
    if only:
        monkeypatch.setenv(only, "x")
    trace = start()
    assert trace.config({"tags": ["mine"]}) == {"tags": ["mine"]}
    assert trace.config() == {}
    assert (trace.handler, trace.trace_id, trace.url, trace.close()) == (None, None, None, None)


@pytest.mark.parametrize(("name", "value"), [("LANGFUSE_TRACING_ENABLED", "false"), ("OTEL_SDK_DISABLED", "true")])
@pytest.mark.usefixtures("keys")
def test_the_sdks_own_switches_turn_it_off(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    trace = start()
    assert (trace.handler, trace.close()) == (None, None)


@pytest.mark.usefixtures("keys")
def test_a_setting_that_the_sdk_cannot_read_costs_one_line_and_not_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANGFUSE_TIMEOUT", "soon")
    trace = start()
    assert small_graph().invoke({"question": "q"}, trace.config())["report"] == "a report in words"
    assert trace.close() == "Tracing was lost: it could not be started (ValueError)."
    assert trace.close() is None


def test_without_keys_nothing_of_langfuse_is_imported() -> None:
    program = (
        "import sys\n"
        "from hansei.tools.langfuse.tracing import start_trace, query_span, trace_url, traced\n"
        "assert 'langchain_core' not in sys.modules\n"
        "trace = start_trace('r', session_id=None, tags=[], version='1')\n"
        "with query_span('q', purpose='p', sql='SELECT 1') as span:\n"
        "    span.answered(rows_read=1, row_count=1, seconds=0.1)\n"
        "assert trace_url() is None and trace.close() is None\n"
        "assert 'langchain_core' not in sys.modules\n"
        "from tests.support.traced_graph import small_graph\n"
        "graph = traced(small_graph(), version='1')\n"
        "assert graph.invoke({'question': 'q'}, trace.config())['link'] is None\n"
        "assert not [name for name in sys.modules if name.split('.')[0] == 'langfuse']\n"
    )
    environment = {name: value for name, value in os.environ.items() if name not in KEYS}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment | {"PYTHONPATH": "."}, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("as_manager", [False, True])
def test_a_config_that_has_a_handler_of_langfuse_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, keys: None, as_manager: bool
) -> None:
    with OtlpServer() as server:
        monkeypatch.setenv("LANGFUSE_BASE_URL", server.url)
        trace, other = start("a"), start("b")
        host = trace.handler._inner  # Langfuse's own handler, as a host would pass it
        for present in (host, other.handler):
            callbacks = CallbackManager([present]) if as_manager else [present]
            config = trace.config({"callbacks": callbacks})
            assert config == {"callbacks": callbacks}
        assert (trace.close(), other.close()) == (None, None)


@pytest.mark.parametrize("as_manager", [False, True])
def test_other_handlers_and_settings_of_a_config_stay(
    monkeypatch: pytest.MonkeyPatch, keys: None, as_manager: bool
) -> None:
    with OtlpServer() as server:
        monkeypatch.setenv("LANGFUSE_BASE_URL", server.url)
        trace, listener = start(), Listener()
        callbacks = CallbackManager([listener]) if as_manager else [listener]
        base = {"callbacks": callbacks, "run_name": "nightly", "configurable": {"thread_id": "t"}}
        config = trace.config(base)
        assert base["callbacks"] is callbacks
        handlers = config["callbacks"].handlers if as_manager else config["callbacks"]
        assert handlers == [listener, trace.handler]
        assert (callbacks.handlers if as_manager else callbacks) == [listener]
        assert (config["run_name"], config["configurable"]) == ("nightly", {"thread_id": "t"})
        assert trace.config()["run_name"] == "hansei"
        assert trace.close() is None


def test_a_query_is_told_to_whatever_handler_the_run_has() -> None:
    listener = Listener()
    small_graph().invoke({"question": "q"}, {"callbacks": [listener]})
    sql = "SELECT count() FROM traces WHERE kind = 'error'"
    assert ("query error", {"purpose": "measure error", "sql": sql}) in listener.events
    assert ("end", {"rows_read": 1000, "row_count": 3, "seconds": 0.25}) in listener.events
    assert len(listener.events) == 8


@pytest.mark.parametrize(
    ("critic", "error", "told"),
    [
        (broken_critic, QueryFailed, "ClickHouse stopped the query. Make the window smaller."),
        (leaking_critic, RuntimeError, "RuntimeError"),
    ],
)
def test_a_failed_query_leaves_its_message_only_if_it_is_ours(critic: Any, error: type[Exception], told: str) -> None:
    listener = Listener()
    with pytest.raises(error):
        small_graph(critic).invoke({"question": "q"}, {"callbacks": [listener]})
    assert listener.events[-1] == ("error", told)


def test_a_query_outside_of_a_run_is_told_to_nobody() -> None:
    with query_span("alone", purpose="p", sql="SELECT 1") as span:
        span.answered(rows_read=5, row_count=1, seconds=0.1234567)
        assert span.answer == {"rows_read": 5, "row_count": 1, "seconds": 0.123457}
        span.answered(rows_read=None, row_count=1, seconds=0.5)
    assert span.answer == {"row_count": 1, "seconds": 0.5}
    assert trace_url() is None


def test_binding_to_a_graph_makes_a_copy_that_works_without_keys() -> None:
    graph = small_graph()
    bound = traced(graph, version="1")
    assert graph.config is None or not graph.config.get("callbacks")
    assert type(bound) is type(graph)
    assert bound.invoke({"question": "q"})["link"] is None


def test_an_event_that_cannot_be_recorded_is_counted_and_harms_nothing(
    monkeypatch: pytest.MonkeyPatch, keys: None
) -> None:
    with OtlpServer() as server:
        monkeypatch.setenv("LANGFUSE_BASE_URL", server.url)
        trace = start()
        trace.handler.on_chain_start(None, {}, run_id="no id of a run", parent_run_id=[])
        trace.handler.on_tool_start({"name": "no run at all"}, "SELECT 1")
        assert small_graph().invoke({"question": "q"}, trace.config())["report"] == "a report in words"
        assert trace.close() == "Tracing was lost in part: 2 of the run's events could not be recorded."
        assert len(server.spans) == 13


@pytest.mark.parametrize("as_manager", [False, True])
def test_a_callers_handler_of_langfuse_takes_the_place_of_the_bound_one(
    monkeypatch: pytest.MonkeyPatch, keys: None, as_manager: bool
) -> None:
    with OtlpServer() as server:
        monkeypatch.setenv("LANGFUSE_BASE_URL", server.url)
        bound, trace, listener = traced(small_graph(), version="1"), start(), Listener()
        callbacks = [listener, trace.handler]
        given = CallbackManager(callbacks, inheritable_handlers=list(callbacks)) if as_manager else callbacks
        assert bound.invoke({"question": "q"}, {"callbacks": given})["link"] == trace.url
        assert trace.close() is None
        assert len(server.spans) == 13
        assert {span.trace_id for span in server.spans} == {trace.trace_id}
        assert len(listener.events) == 8


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://user:s3cret@langfuse.example/base", "https://langfuse.example/base"),
        ("http://localhost:3000", "http://localhost:3000"),
        ("user:s3cret@langfuse", "langfuse"),
        ("langfuse", "langfuse"),
    ],
)
def test_an_address_is_shown_without_its_password(url: str, shown: str) -> None:
    server = Server(url, "pk-lf-1", "sk-lf-1")
    assert server.address == shown
    assert "sk-lf-1" not in repr(server)


def test_secrets_are_found_in_the_settings_and_in_urls() -> None:
    environment = {
        "LANGFUSE_SECRET_KEY": "sk-lf-1", "OPENAI_API_KEY": "sk-2", "HANSEI_CLICKHOUSE_URL": "clickhouse://u:p%40ss@h/d",
        "OPENAI_BASE_URL": "http://u:model@h/v1",
    }  # fmt: skip
    found = secrets_in(environment, ["clickhouse://u:other@h/d", "chdb:///data", "clickhouse://[broken"])
    assert found == ["clickhouse://[broken", "model", "other", "p%40ss", "sk-2", "sk-lf-1"]


@pytest.mark.parametrize("written", ['p%40s"s', 'p@s"s', 'p@s\\"s', 'p@s\\\\\\"s', "p%40s%22s"])
def test_a_secret_is_taken_out_however_it_is_written(written: str) -> None:
    request = ExportTraceServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add()
    span.name = "analyst"
    span.status.message = f"cannot reach clickhouse://reader:{written}@db"
    span.attributes.add(key="langfuse.observation.input").value.string_value = f'{{"url": "{written}"}}'
    span.attributes.add(key="list").value.array_value.values.add().string_value = written
    span.attributes.add(key="map").value.kvlist_value.values.add(key="k").value.string_value = written
    span.events.add().attributes.add(key="exception.message").value.string_value = written
    redact(request, ['p%40s"s'])
    assert written.encode() not in request.SerializeToString()
    assert span.status.message == "cannot reach clickhouse://reader:[secret]@db"


def test_a_password_that_is_a_word_does_not_rename_the_trace() -> None:
    request = ExportTraceServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add()
    span.attributes.add(key="langfuse.environment").value.string_value = "hansei"
    span.attributes.add(key="langfuse.observation.input").value.string_value = "the word hansei"
    redact(request, ["hansei"])
    assert [pair.value.string_value for pair in span.attributes] == ["hansei", "the word [secret]"]


def test_a_text_that_is_too_long_is_cut_and_says_so() -> None:
    request = ExportTraceServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add()
    span.attributes.add(key="langfuse.observation.input").value.string_value = "x" * (LONGEST_TEXT + 1)
    redact(request, [])
    text = span.attributes[0].value.string_value
    assert text == "x" * LONGEST_TEXT + f" … (cut: {LONGEST_TEXT + 1} characters)"
