"""What Langfuse receives of a traced run, over a real socket: names, nesting, attributes, and nothing else."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from langfuse import Langfuse
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command, interrupt
from opentelemetry import trace as otel
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from tests.support.otlp_server import PROJECT_ID, OtlpServer, Span
from tests.support.traced_graph import State, broken_critic, leaking_critic, small_graph

from hansei.errors import QueryFailed
from hansei.tools.langfuse.tracing import RunTrace, start_trace

TREE = Counter(
    {
        ("hansei", ""): 1,
        ("planner", "hansei"): 1,
        ("fan_out", "planner"): 1,
        ("analyst", "hansei"): 3,
        ("query error", "analyst"): 1,
        ("query latency", "analyst"): 1,
        ("query cost", "analyst"): 1,
        ("critic", "hansei"): 1,
        ("rederive", "critic"): 1,
        ("writer", "hansei"): 1,
        ("FakeListChatModel", "writer"): 1,
    }
)
"""(name, name of the parent) of every observation of one run of the small graph."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[OtlpServer]:
    with OtlpServer() as server:
        for name in ("LANGFUSE_TRACING_ENABLED", "LANGFUSE_TRACING_ENVIRONMENT", "OTEL_SDK_DISABLED"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("LANGFUSE_BASE_URL", server.url)
        monkeypatch.setenv("LANGFUSE_PUBLIC_KEY", "pk-lf-hansei")
        monkeypatch.setenv("LANGFUSE_SECRET_KEY", "sk-lf-hansei")
        yield server


def start(run_id: str = "run-1", session_id: str | None = "thread-1", **options: Any) -> RunTrace:
    return start_trace(run_id, session_id=session_id, tags=["cli", "nightly"], version="1.2.3", **options)


def run(graph: Any = None, trace: RunTrace | None = None) -> dict[str, Any]:
    """One traced run of the small graph from its start to the end of its trace."""
    trace = trace or start()
    try:
        result: dict[str, Any] = (graph or small_graph()).invoke({"question": "why?"}, trace.config())
    finally:
        assert trace.close() is None
    return result


def tree(spans: list[Span]) -> Counter[tuple[str, str]]:
    """(name, name of the parent) of every span; a parent that is not among them is named by its id."""
    names = {span.span_id: span.name for span in spans}
    return Counter((span.name, names.get(span.parent_id, span.parent_id)) for span in spans)


def only(spans: list[Span], name: str) -> Span:
    (found,) = [span for span in spans if span.name == name]
    return found


@pytest.mark.parametrize("asynchronous", [False, True])
def test_every_step_is_there_nested_as_it_ran_in_one_trace(server: OtlpServer, asynchronous: bool) -> None:
    trace = start()
    if asynchronous:
        asyncio.run(small_graph().ainvoke({"question": "why?"}, trace.config()))
    else:
        small_graph().invoke({"question": "why?"}, trace.config())
    assert trace.close() is None
    spans = server.spans
    assert tree(spans) == TREE
    assert {span.trace_id for span in spans} == {trace.trace_id} == {Langfuse.create_trace_id(seed="run-1")}
    for span in spans:
        assert span.attributes["langfuse.trace.name"] == "hansei"
        assert span.attributes["session.id"] == "thread-1"
        assert span.attributes["langfuse.trace.tags"] == ["cli", "nightly"]
        assert span.attributes["langfuse.version"] == span.attributes["langfuse.release"] == "1.2.3"
        assert span.attributes["langfuse.environment"] == span.resource["langfuse.environment"] == "hansei"
        assert span.start <= span.end
    types = {span.name: span.type for span in spans}
    assert types["hansei"] == types["planner"] == types["analyst"] == types["critic"] == types["writer"] == "chain"
    assert types["query error"] == types["rederive"] == "tool"
    assert types["FakeListChatModel"] == "generation"
    assert only(spans, "hansei").attributes["langfuse.internal.is_app_root"] is True
    assert {tuple(sorted(span.scope.items())) for span in spans} == {
        (("name", "langfuse-sdk"), ("public_key", "pk-lf-hansei"))
    }


def test_each_query_belongs_to_the_analyst_that_ran_it(server: OtlpServer) -> None:
    run()
    spans = {span.span_id: span for span in server.spans}
    queries = [span for span in spans.values() if span.name.startswith("query ")]
    for query in queries:
        task = spans[query.parent_id].payload("input")["task"]
        assert query.name == f"query {task}"
        sql = f"SELECT count() FROM traces WHERE kind = '{task}'"
        assert query.payload("input") == {"purpose": f"measure {task}", "sql": sql}
        assert query.payload("output") == {"rows_read": 1000, "row_count": 3, "seconds": 0.25}
    assert len({query.parent_id for query in queries}) == 3


def test_the_requests_are_those_of_the_sdk(server: OtlpServer) -> None:
    run()
    assert {request.credentials for request in server.requests} == {"pk-lf-hansei:sk-lf-hansei"}
    (sent,) = [request for request in server.requests if request.path == "/api/public/otel/v1/traces"]
    assert sent.headers["x-langfuse-public-key"] == "pk-lf-hansei"
    assert sent.headers["x-langfuse-ingestion-version"] == "4"
    assert (sent.headers["content-type"], sent.headers["content-encoding"]) == ("application/x-protobuf", "gzip")


def test_the_link_names_the_project_of_the_keys(server: OtlpServer) -> None:
    trace = start()
    link = f"{server.url}/project/{PROJECT_ID}/traces/{trace.trace_id}"
    assert run(trace=trace)["link"] == link
    assert trace.url == link


def test_the_users_environment_wins(server: OtlpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANGFUSE_TRACING_ENVIRONMENT", "staging")
    run()
    assert {span.attributes["langfuse.environment"] for span in server.spans} == {"staging"}


def test_a_trace_needs_no_session_and_may_have_another_name(server: OtlpServer) -> None:
    run(trace=start(session_id=None, name="hansei chat"))
    assert all("session.id" not in span.attributes for span in server.spans)
    assert {span.attributes["langfuse.trace.name"] for span in server.spans} == {"hansei chat"}


def test_an_error_in_a_node_is_told_and_what_ran_before_is_kept(server: OtlpServer) -> None:
    with pytest.raises(QueryFailed):
        run(small_graph(broken_critic))
    spans = server.spans
    assert tree(spans) == TREE - Counter([("writer", "hansei"), ("FakeListChatModel", "writer")])
    for name in ("rederive", "critic", "hansei"):
        attributes = only(spans, name).attributes
        assert attributes["langfuse.observation.level"] == "ERROR"
        assert attributes["langfuse.observation.status_message"] == (
            "ClickHouse stopped the query. Make the window smaller."
        )


def test_no_secret_leaves_the_process(server: OtlpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-a-model")

    def careless(state: State) -> dict[str, Any]:
        return {"verdict": 'sk-lf-hansei, sk-of-a-model and the password "s3cret-p@ss"'}

    with pytest.raises(RuntimeError):
        run(small_graph(leaking_critic), start("a", clickhouse_url="clickhouse://reader:s3cret-p%40ss@db/default"))
    run(small_graph(careless), start("b", clickhouse_url="clickhouse://reader:s3cret-p%40ss@db/default"))
    sent = b"".join(request.body for request in server.requests)
    for secret in (b"sk-lf-hansei", b"sk-of-a-model", b"s3cret"):
        assert secret not in sent
    assert sent.count(b"[secret]") >= 5
    errors = {span.attributes.get("langfuse.observation.status_message") for span in server.spans}
    assert "RuntimeError" in errors  # of the query: ClickHouse's own words may quote data


def test_an_interrupted_run_continues_in_the_same_trace(server: OtlpServer) -> None:
    def asking(state: State) -> dict[str, Any]:
        return {"verdict": interrupt("go on?")}

    graph = small_graph(asking, checkpointer=InMemorySaver())
    thread = {"configurable": {"thread_id": "thread-1"}}
    first = start("run-7")
    assert "__interrupt__" in graph.invoke({"question": "why?"}, first.config(thread))
    assert first.close() is None
    second = start("run-7")  # as another process would
    assert graph.invoke(Command(resume="yes"), second.config(thread))["verdict"] == "yes"
    assert second.close() is None
    spans = server.spans
    assert {span.trace_id for span in spans} == {Langfuse.create_trace_id(seed="run-7")}
    assert Counter(span.name for span in spans)["analyst"] == 3
    assert [span.name for span in spans if span.parent_id == ""] == ["hansei", "hansei"]
    assert not [span for span in spans if span.attributes.get("langfuse.observation.level") == "ERROR"]


@pytest.mark.parametrize("way", ["batch", "threads"])
def test_runs_side_by_side_do_not_mix(server: OtlpServer, way: str) -> None:
    traces = [start(f"run-{number}", f"thread-{number}") for number in range(4)]
    graph = small_graph()
    if way == "batch":
        graph.batch([{"question": "why?"}] * 4, [trace.config() for trace in traces])
    else:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda trace: graph.invoke({"question": "why?"}, trace.config()), traces))
    assert [trace.close() for trace in traces] == [None] * 4
    for number, trace in enumerate(traces):
        spans = [span for span in server.spans if span.trace_id == trace.trace_id]
        assert tree(spans) == TREE
        assert {span.attributes["session.id"] for span in spans} == {f"thread-{number}"}


def test_a_hosts_opentelemetry_and_ours_do_not_touch(server: OtlpServer) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("host")

    def instrumented(state: State) -> dict[str, Any]:
        with tracer.start_as_current_span("inside"):
            return {"verdict": "confirmed"}

    with tracer.start_as_current_span("outside"):
        run(small_graph(instrumented))
        with tracer.start_as_current_span("after"):
            pass
    assert not otel.get_current_span().get_span_context().is_valid
    inside, after, outside = exporter.get_finished_spans()
    assert [span.name for span in (inside, after, outside)] == ["inside", "after", "outside"]
    assert inside.parent is not None
    assert after.parent is not None
    assert inside.parent.span_id == after.parent.span_id == outside.context.span_id
    assert tree(server.spans) == TREE - Counter([("rederive", "critic")])


@pytest.mark.parametrize("public_key", ["pk-lf-hansei", "pk-lf-of-the-host"])
def test_a_hosts_own_client_stays_its_own(server: OtlpServer, public_key: str) -> None:
    with OtlpServer() as hosts:
        provider = TracerProvider(shutdown_on_exit=False)
        Langfuse(public_key=public_key, secret_key="sk-host", base_url=hosts.url, tracer_provider=provider)
        try:
            program_of_the_host = small_graph()
            trace = start()
            from langfuse import get_client

            with get_client().start_as_current_observation(name="of the host"):
                program_of_the_host.invoke({"question": "why?"}, trace.config())
            get_client().flush()
            assert trace.close() is None
            assert tree(hosts.spans) == Counter([("of the host", "")])
            assert {request.credentials for request in hosts.requests} == {f"{public_key}:sk-host"}
            assert tree(server.spans) == TREE
        finally:
            forget_clients()
            provider.shutdown()


def test_with_a_hosts_handler_there_is_exactly_one_and_it_gets_the_queries(server: OtlpServer) -> None:
    with OtlpServer() as hosts:
        provider = TracerProvider(shutdown_on_exit=False)
        client = Langfuse(
            public_key="pk-lf-of-the-host", secret_key="sk-host", base_url=hosts.url, tracer_provider=provider
        )
        try:
            from langfuse.langchain import CallbackHandler

            handler = CallbackHandler()
            trace = start()
            config = trace.config({"callbacks": [handler], "run_name": "nightly"})
            assert small_graph().invoke({"question": "why?"}, config)["link"] is None
            client.flush()
            assert trace.close() is None
            assert tree(hosts.spans) == Counter(
                {
                    (name.replace("hansei", "nightly"), parent.replace("hansei", "nightly")): n
                    for (name, parent), n in TREE.items()
                }
            )
            assert server.spans == []
        finally:
            forget_clients()
            provider.shutdown()


def forget_clients() -> None:
    """Takes the host's clients of a test back, as the end of its process would."""
    from langfuse._client.resource_manager import LangfuseResourceManager

    for manager in LangfuseResourceManager._instances.values():
        manager.prompt_cache._task_manager.shutdown()
    LangfuseResourceManager.reset()


def test_runs_leave_no_thread_and_no_client_behind(server: OtlpServer) -> None:
    from langfuse._client.resource_manager import LangfuseResourceManager

    before = set(threading.enumerate())
    for number in range(3):
        run(trace=start(f"run-{number}"))
    gc.collect()
    for thread in set(threading.enumerate()) - before:
        thread.join(30)
        assert not thread.is_alive(), thread.name
    assert LangfuseResourceManager._instances == {}
    assert isinstance(otel.get_tracer_provider(), otel.ProxyTracerProvider)


def test_nothing_of_the_sdk_is_written_to_the_terminal(server: OtlpServer, capfd: pytest.CaptureFixture[str]) -> None:
    """The SDK warns on stderr about a model whose name it cannot find, and about metadata that is too long."""
    trace = start()
    config = trace.config({"metadata": {"note": "x" * 300, "none": None}})
    small_graph().invoke({"question": "why?"}, config)
    assert trace.close() is None
    assert capfd.readouterr() == ("", "")


def test_a_file_inside_a_traced_text_is_not_uploaded(server: OtlpServer) -> None:
    run_with = {"question": "data:image/png;base64,iVBORw0KGgo="}
    trace = start()
    small_graph().invoke(run_with, trace.config())
    assert trace.close() is None
    assert {request.path for request in server.requests} == {"/api/public/projects", "/api/public/otel/v1/traces"}
    assert only(server.spans, "hansei").payload("input") == run_with


def test_a_large_state_goes_in_several_requests(server: OtlpServer) -> None:
    trace = start()
    for _ in range(8):
        small_graph().invoke({"question": "y" * 199_000}, trace.config())
    assert trace.close() is None
    bodies = [len(request.body) for request in server.requests if request.path == "/api/public/otel/v1/traces"]
    assert len(bodies) > 1
    assert max(bodies) < 4_000_000
    assert len(server.spans) == 8 * sum(TREE.values())


def test_text_that_is_no_text_loses_nothing_else(server: OtlpServer) -> None:
    """Half a surrogate pair, as a broken application may have stored it."""

    def strange(state: State) -> dict[str, Any]:
        raise QueryFailed("The value \ud800 cannot be shown.")

    trace = start()
    with pytest.raises(QueryFailed):
        small_graph(strange).invoke({"question": "half \ud800"}, trace.config())
    assert trace.close() is None
    told = only(server.spans, "critic").attributes["langfuse.observation.status_message"]
    assert told == "The value \\ud800 cannot be shown."
    assert only(server.spans, "hansei").payload("input") == {"question": "half \ud800"}
