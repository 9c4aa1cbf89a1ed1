"""One run's own way to Langfuse: a client that is isolated, bounded, silent, and counts what it lost.

The SDK does the tracing (its callback handler, its spans, its batches). What is ours is around it:

- **isolated**: a tracer provider of its own, a client that the SDK's registry does not hand to anyone else, and a
  handler that runs in an empty context, so that a host's spans never become parents of ours nor ours of the host's;
- **bounded and silent**: the exporter reports instead of logging (tracing_export.py), and closing never waits longer
  than it is told;
- **counting**: it knows how many observations were made and how many arrived.

Importing this module takes more than a second: only `hansei.tools.langfuse.tracing` does, when both keys are set.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

import httpx
from langfuse import Langfuse, LangfuseOtelSpanAttributes
from langfuse._client.resource_manager import LangfuseResourceManager
from langfuse.langchain import CallbackHandler
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

from hansei.tools.langfuse.connection import Server
from hansei.tools.langfuse.tracing_export import Exporter
from hansei.tools.langfuse.tracing_handlers import keep_quiet

_LONGEST_ATTRIBUTE = 200
"""Langfuse drops a session, tag or name that is longer (in characters)."""


class Stamp(SpanProcessor):
    """Writes what belongs to the trace onto each of its spans, and counts the spans that were made.

    The handler passes these down through context variables, which do not reach the spans of an asynchronous run.
    """

    def __init__(self, attributes: dict[str, str | list[str]]) -> None:
        self._attributes = attributes
        self._lock = threading.Lock()
        self.made = 0

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        span.set_attributes(self._attributes)

    def on_end(self, span: ReadableSpan) -> None:
        with self._lock:
            self.made += 1


class OneTrace(RandomIdGenerator):
    """Gives every root span the same trace id, so that an interrupted run and its continuation are one trace."""

    def __init__(self, trace_id: str) -> None:
        self._trace_id = int(trace_id, 16)

    def generate_trace_id(self) -> int:
        return self._trace_id


class TraceClient:
    """Everything that one traced run needs; made when it starts, closed when it ends.

    `handler` is Langfuse's callback handler. `project_id` becomes known a moment after the start, if Langfuse answers.
    """

    def __init__(
        self,
        server: Server,
        *,
        run_id: str,
        name: str,
        session_id: str | None,
        tags: Sequence[str],
        version: str,
        environment: str,
        secrets: Sequence[str],
    ) -> None:
        self.server = server
        self.trace_id = Langfuse.create_trace_id(seed=run_id)
        self.project_id: str | None = None
        self._http = server.http()
        self._exporter = Exporter(server, self._http, [server.secret_key, *secrets])
        self._provider = TracerProvider(
            sampler=ALWAYS_ON,
            id_generator=OneTrace(self.trace_id),
            resource=Resource.create(
                {
                    "service.name": "hansei",
                    LangfuseOtelSpanAttributes.ENVIRONMENT: environment,
                    LangfuseOtelSpanAttributes.RELEASE: version,
                }
            ),
            shutdown_on_exit=False,  # it would wait for a hanging server; close() and its own exit hook take its place
        )
        attributes: dict[str, str | list[str]] = {
            LangfuseOtelSpanAttributes.TRACE_NAME: name[:_LONGEST_ATTRIBUTE],
            LangfuseOtelSpanAttributes.TRACE_TAGS: [tag[:_LONGEST_ATTRIBUTE] for tag in tags],
            LangfuseOtelSpanAttributes.VERSION: version,
        }
        if session_id:
            attributes[LangfuseOtelSpanAttributes.TRACE_SESSION_ID] = session_id[:_LONGEST_ATTRIBUTE]
        self._stamp = Stamp(attributes)
        self._sdk, self.handler = self._sdk_client(environment, version)
        self._provider.add_span_processor(self._stamp)  # after the SDK's own, so that these values stand
        keep_quiet("langfuse", "opentelemetry.sdk.trace", "opentelemetry.sdk._shared_internal")
        self._looked_up, self._closing, self._closed = threading.Event(), threading.Event(), threading.Event()
        # Both start now: from Python 3.12 on, no thread can start once the process has begun to exit.
        threading.Thread(target=self._look_up_project, name="hansei-langfuse-project", daemon=True).start()
        threading.Thread(target=self._shut_down, name="hansei-langfuse-close", daemon=True).start()

    def _sdk_client(self, environment: str, version: str) -> tuple[Langfuse, CallbackHandler]:
        """A client and its handler, which nothing else in this process can come upon.

        The SDK keeps its clients by public key and hands them out: `get_client()` would give a host ours, or, with two
        of them registered, a disabled one; and we would be given a host's. So ours is registered only while the
        handler looks it up, under the lock that every look-up takes.
        """
        registry = LangfuseResourceManager._instances
        key = self.server.public_key
        with LangfuseResourceManager._lock:
            hosts = registry.pop(key, None)
            try:
                client = Langfuse(
                    public_key=key,
                    secret_key=self.server.secret_key,
                    base_url=self.server.base_url,
                    environment=environment,
                    release=version,
                    sample_rate=1.0,
                    httpx_client=self._http,
                    tracer_provider=self._provider,
                    span_exporter=self._exporter,
                )
                handler = CallbackHandler(public_key=key)
            finally:
                registry.pop(key, None)
                if hosts is not None:
                    registry[key] = hosts
        if client._resources is not None:
            # Text in a trace that looks like a file (data:…;base64,…) stays text: it is not ours to upload.
            client._resources._media_manager._enabled = False
        return client, handler

    def wait_for_project(self, seconds: float) -> str | None:
        """The id of the project that the keys belong to, waiting for the answer at most so long."""
        self._looked_up.wait(seconds)
        return self.project_id

    def _look_up_project(self) -> None:
        try:
            answer = self._http.get(f"{self.server.base_url}/api/public/projects", headers=self.server.headers())
            if answer.is_success:
                self.project_id = str(answer.json()["data"][0]["id"])
        except (httpx.HTTPError, httpx.InvalidURL, OSError, RuntimeError, ValueError, LookupError, TypeError):
            self.project_id = None  # then the report has no link, which is all that follows
        finally:
            self._looked_up.set()

    def close(self, seconds: float) -> str | None:
        """Sends what is left, waiting at most so long, and ends every thread.

        Returns:
            What was lost, as words after “Langfuse at …”; None when everything arrived.
        """
        self._exporter.hurry()
        self._closing.set()
        self._closed.wait(seconds)
        lost = self._stamp.made - self._exporter.sent
        if lost <= 0:
            return None
        problem = self._exporter.problem.words if self._exporter.problem else f"did not answer within {seconds:.0f} s"
        return f"{problem}; {lost} of {self._stamp.made} observations were not accepted"

    def _shut_down(self) -> None:
        self._closing.wait()
        try:
            if self._sdk._resources is not None:
                self._sdk._resources.prompt_cache._task_manager.shutdown()  # a thread that the SDK leaves running
            self._sdk.shutdown()  # first takes back the SDK's hook at the process's exit, then sends what is left
            self._provider.shutdown()
        finally:
            self._closed.set()
            self._looked_up.wait()  # nobody waits for this thread any more
            self._http.close()
