"""Tracing of Hansei's own runs with Langfuse's callback handler.

    trace = start_trace(run_id, session_id=thread_id, tags=["cli"], version=__version__)
    try:
        graph.invoke(request, trace.config({"configurable": {"thread_id": thread_id}}), context=context)
    finally:
        lost = trace.close()          # one line for the user, or None

Inside a node, around a query: ``with query_span("measure", purpose=…, sql=…) as span: … span.answered(…)``; and
`trace_url()` is the link to the run's trace. Without LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY all of it does
nothing, and nothing of Langfuse is imported. docs/tracing.md tells it from the user's side.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from hansei.errors import HanseiError
from hansei.tools.langfuse.connection import Server

if TYPE_CHECKING:
    from langchain_core.callbacks import CallbackManager
    from langchain_core.runnables import RunnableConfig
    from langgraph.pregel import Pregel

    from hansei.tools.langfuse.tracing_client import TraceClient
    from hansei.tools.langfuse.tracing_handlers import RunHandler

    Graph = TypeVar("Graph", bound=Pregel[Any, Any, Any, Any])

ENVIRONMENT = "hansei"
"""Langfuse environment of the traces, unless LANGFUSE_TRACING_ENVIRONMENT names another."""

PATIENCE = 3.0
"""Longest wait for Langfuse in one run, in seconds: for the link and at the end together. Loading the SDK adds one or
two, so that a run is slowed by less than 5 s whatever Langfuse does."""

LINK_PATIENCE = 1.0
"""How much of it the link to the trace may take."""

_log = logging.getLogger("hansei.tracing")


class RunTrace:
    """The trace of one run of the graph. Made by `start_trace`; a trace that is off answers like one that is on."""

    def __init__(self, client: TraceClient | None = None, *, lost: str | None = None) -> None:
        self._client = client
        self._lost = lost
        self._lock = threading.Lock()
        self._closed = False
        self._patience = PATIENCE
        self.handler: RunHandler | None = None
        """What `config` adds to the callbacks; None when the trace is off."""
        if client is not None:
            from hansei.tools.langfuse.tracing_handlers import RunHandler

            self.handler = RunHandler(client.handler, lambda: self.url)
            atexit.register(self._close_at_exit)

    def config(self, base: RunnableConfig | None = None) -> RunnableConfig:
        """`base` with this trace's handler added, for one invocation of the graph.

        A config that already has a handler of Langfuse (a host's own, or one of ours) is returned as it is: two of
        them would write every span twice.
        """
        config: RunnableConfig = {**base} if base else {}
        if self.handler is None or _has_handler(config):
            return config
        callbacks = config.get("callbacks")
        if callbacks is None or isinstance(callbacks, list):
            config["callbacks"] = [*(callbacks or []), self.handler]
        else:
            manager = callbacks.copy()
            manager.add_handler(self.handler, inherit=True)
            config["callbacks"] = manager
        config.setdefault("run_name", "hansei")
        return config

    @property
    def trace_id(self) -> str | None:
        """32 hexadecimal digits, the same for the same run id; None when the trace is off."""
        return self._client.trace_id if self._client else None

    @property
    def url(self) -> str | None:
        """Link to the trace in Langfuse, None when the trace is off or Langfuse does not answer.

        It needs the id of the project that the keys belong to, which was asked for when the trace started: the first
        call may wait for that answer, `LINK_PATIENCE` at most.
        """
        if self._client is None:
            return None
        with self._lock:
            seconds = max(0.0, self._patience - (PATIENCE - LINK_PATIENCE))
            started = time.monotonic()
            project = self._client.wait_for_project(seconds)
            self._patience -= time.monotonic() - started
        return f"{self._client.server.address}/project/{project}/traces/{self.trace_id}" if project else None

    def close(self) -> str | None:
        """Sends what is left, waiting for what remains of `PATIENCE`; nothing of the SDK waits after that.

        Returns:
            One line when tracing was lost, the first time it is called; else None.
        """
        with self._lock:
            if self._closed:
                return None
            self._closed = True
        if self._client is None:
            return self._lost
        atexit.unregister(self._close_at_exit)
        lost = self._client.close(self._patience)
        if lost:
            return f"Tracing was lost: Langfuse at {self._client.server.address} {lost}."
        if self.handler is not None and self.handler.failed:
            return f"Tracing was lost in part: {self.handler.failed} of the run's events could not be recorded."
        return None

    def _close_at_exit(self) -> None:
        lost = self.close()
        if lost:
            _log.warning(lost)


def start_trace(
    run_id: str,
    *,
    session_id: str | None,
    tags: Sequence[str],
    version: str,
    name: str = "hansei",
    clickhouse_url: str | None = None,
) -> RunTrace:
    """Starts tracing a run. Never raises and never waits for Langfuse.

    Args:
        run_id: the run's own id; the same id continues the same trace, also from another process.
        session_id: the conversation that the run belongs to: its thread id.
        tags: labels of the trace.
        version: Hansei's version: the release and version of every observation.
        name: name of the trace.
        clickhouse_url: the run's connection, if HANSEI_CLICKHOUSE_URL does not hold it: its password is kept out of
            the trace wherever it might turn up.

    Returns:
        The trace: off when a key is missing, or when LANGFUSE_TRACING_ENABLED or OTEL_SDK_DISABLED turn tracing off.
    """
    server = Server.from_environment()
    if server is None or _turned_off():
        return RunTrace()
    try:
        from hansei.tools.langfuse.tracing_client import TraceClient
        from hansei.tools.langfuse.tracing_redaction import secrets_in

        return RunTrace(
            TraceClient(
                server,
                run_id=run_id,
                name=name,
                session_id=session_id,
                tags=tags,
                version=version,
                environment=os.environ.get("LANGFUSE_TRACING_ENVIRONMENT") or ENVIRONMENT,
                secrets=secrets_in(os.environ, [clickhouse_url] if clickhouse_url else []),
            )
        )
    except Exception as error:  # noqa: BLE001 - a broken setting or SDK must not cost the run
        return RunTrace(lost=f"Tracing was lost: it could not be started ({type(error).__name__}).")


def traced(graph: Graph, *, version: str, tags: Sequence[str] = ()) -> Graph:
    """A copy of a compiled graph that traces each of its runs: for the graph that a server exports.

    Inside ``langgraph dev`` nobody can hand in a handler, so this binds one that wakes up when a run starts: then it
    reads the keys, makes the run's trace (session: the thread), and closes it in the background after the run. Binding
    does no I/O and imports nothing of Langfuse. A caller who does bring a handler of Langfuse takes its place.
    """
    from hansei.tools.langfuse.tracing_handlers import ServerHandler, YieldingCallbacks

    def start(run_id: UUID, metadata: dict[str, Any]) -> RunTrace:
        thread = metadata.get("thread_id")
        return start_trace(str(run_id), session_id=str(thread) if thread else None, tags=tags, version=version)

    return graph.with_config(callbacks=YieldingCallbacks.holding(ServerHandler(start)), run_name="hansei")


class QuerySpan:
    """What a query answered, to be filled in while its span is open. It has no room for rows."""

    def __init__(self) -> None:
        self.answer: dict[str, int | float] = {}

    def answered(self, *, rows_read: int | None, row_count: int, seconds: float) -> None:
        """Rows that ClickHouse read (None: not known), rows that it returned, and how long it took."""
        self.answer = {"row_count": row_count, "seconds": round(seconds, 6)}
        if rows_read is not None:
            self.answer["rows_read"] = rows_read


@contextmanager
def query_span(name: str, *, purpose: str, sql: str) -> Iterator[QuerySpan]:
    """An observation of type tool around one ClickHouse query, below the node that runs it.

    It goes through LangChain's callbacks, so it is there for whatever handler the run has (ours, a host's) and for
    none otherwise. An exception passes through; in the trace it leaves its message only if it is a `HanseiError`,
    since ClickHouse's own messages may quote data.
    """
    span = QuerySpan()
    callbacks = _current_callbacks()
    if callbacks is None:
        yield span
        return
    inputs = {"purpose": purpose, "sql": sql}
    run = callbacks.on_tool_start({"name": name}, sql, inputs=inputs)
    try:
        yield span
    except BaseException as error:
        run.on_tool_error(error if isinstance(error, HanseiError) else RuntimeError(type(error).__name__))
        raise
    run.on_tool_end(span.answer)


def trace_url() -> str | None:
    """Link to the trace of the run that the calling node belongs to; None when Hansei does not trace it."""
    callbacks = _current_callbacks()
    if callbacks is None:
        return None
    from hansei.tools.langfuse.tracing_handlers import TracingHandler

    for handler in callbacks.handlers:
        if isinstance(handler, TracingHandler):
            return handler.url_of(callbacks.parent_run_id)
    return None


def _current_callbacks() -> CallbackManager | None:
    """The callbacks of the node that is running in this thread or task, None outside of one or without a handler."""
    if "langchain_core.runnables.config" not in sys.modules:
        return None
    from langchain_core.callbacks import CallbackManager
    from langchain_core.runnables.config import var_child_runnable_config

    config = var_child_runnable_config.get()
    if not config or not config.get("callbacks"):
        return None
    manager = CallbackManager.configure(inheritable_callbacks=config.get("callbacks"))
    return manager if manager.handlers else None


def _has_handler(config: RunnableConfig) -> bool:
    """Whether a config brings a handler of Langfuse, or its invocation inherits one from the node that makes it."""
    from langchain_core.runnables.config import ensure_config

    from hansei.tools.langfuse.tracing_handlers import writes_to_langfuse

    callbacks = ensure_config(config).get("callbacks")
    handlers = callbacks if isinstance(callbacks, list) else getattr(callbacks, "handlers", [])
    return any(writes_to_langfuse(handler) for handler in handlers)


def _turned_off() -> bool:
    return (
        os.environ.get("LANGFUSE_TRACING_ENABLED", "true").lower() == "false"
        or os.environ.get("OTEL_SDK_DISABLED", "false").lower() == "true"
    )
