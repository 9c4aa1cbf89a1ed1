"""One run's own way to Langfuse: a client that is isolated, bounded, silent, and counts what it lost.

The SDK does the tracing (its callback handler, its spans, its batches). What is ours is around it:

- **isolated**: a tracer provider of its own, a client that the SDK's registry does not hand to anyone else, and a
  handler that runs in an empty context, so that a host's spans never become parents of ours nor ours of the host's;
- **bounded and silent**: the exporter reports instead of logging, and closing never waits longer than it is told;
- **counting**: it knows how many observations were made and how many arrived.

Importing this module takes more than a second: only `hansei.tools.langfuse.tracing` does, when both keys are set.
"""

from __future__ import annotations

import base64
import gzip
import os
import ssl
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus

import httpx
from langfuse import Langfuse, LangfuseOtelSpanAttributes
from langfuse import __version__ as sdk_version
from langfuse._client.resource_manager import LangfuseResourceManager
from langfuse.langchain import CallbackHandler
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

from hansei.tools.langfuse.tracing_handlers import keep_quiet
from hansei.tools.langfuse.tracing_redaction import redact

_REQUEST_BYTES = 4_000_000
"""Aim for one request before compression: a batch above it is halved. (Servers and proxies limit a body.)"""

_PAUSES = (0.5, 1.0, 2.0)
"""Seconds between attempts while the run goes on."""

_TRANSIENT = frozenset({429, 502, 503, 504})
_LONGEST_ATTRIBUTE = 200
"""Langfuse drops a session, tag or name that is longer (in characters)."""


@dataclass(frozen=True)
class Problem:
    """Why something could not be sent: words for a sentence that begins with “Langfuse”, and whether to try again."""

    words: str
    transient: bool


@dataclass(frozen=True)
class Server:
    """Where Langfuse is and who we are there."""

    base_url: str
    public_key: str
    secret_key: str

    def headers(self) -> dict[str, str]:
        """What the SDK's own exporter sends, so that Langfuse treats these spans as the SDK's."""
        token = base64.b64encode(f"{self.public_key}:{self.secret_key}".encode()).decode()
        return {
            "Authorization": f"Basic {token}",
            "x-langfuse-sdk-name": "python",
            "x-langfuse-sdk-version": sdk_version,
            "x-langfuse-public-key": self.public_key,
            "x-langfuse-ingestion-version": "4",
        }

    def http(self) -> httpx.Client:
        """A client with the SDK's timeout and the certificates and proxies that the environment names."""
        authority = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE") or os.environ.get(
            "OTEL_EXPORTER_OTLP_CERTIFICATE"
        )
        verify: ssl.SSLContext | bool = ssl.create_default_context(cafile=authority) if authority else True
        return httpx.Client(timeout=float(os.environ.get("LANGFUSE_TIMEOUT") or 5), verify=verify)


class Exporter(SpanExporter):
    """Sends batches of spans to Langfuse over OTLP, and remembers instead of logging.

    `sent` counts spans that Langfuse took; `problem` is why the last failed batch failed. Secrets are taken out of
    what is sent. After `hurry()` a failed attempt is not repeated.
    """

    def __init__(self, server: Server, http: httpx.Client, secrets: Sequence[str]) -> None:
        path = os.environ.get("LANGFUSE_OTEL_TRACES_EXPORT_PATH") or "api/public/otel/v1/traces"
        self._url = f"{server.base_url}/{path.lstrip('/')}"
        self._headers = server.headers() | {"Content-Type": "application/x-protobuf", "Content-Encoding": "gzip"}
        self._http = http
        self._secrets = secrets
        self._hurry = threading.Event()
        self.sent = 0
        self.problem: Problem | None = None

    def hurry(self) -> None:
        self._hurry.set()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        body = self._encode(spans)
        if len(spans) > 1 and (body is None or len(body) > _REQUEST_BYTES):
            half = len(spans) // 2
            results = (self.export(spans[:half]), self.export(spans[half:]))
            return SpanExportResult.FAILURE if SpanExportResult.FAILURE in results else SpanExportResult.SUCCESS
        if body is None:
            problem: Problem | None = Problem("was not told of an observation that cannot be encoded", transient=False)
        else:
            problem = self._deliver(gzip.compress(body, compresslevel=5))
        if problem is not None:
            self.problem = problem
            return SpanExportResult.FAILURE
        self.sent += len(spans)
        return SpanExportResult.SUCCESS

    def _encode(self, spans: Sequence[ReadableSpan]) -> bytes | None:
        """The spans as an OTLP request; None when one of them holds text that is no text, such as half a surrogate."""
        try:
            request = encode_spans(spans)
            redact(request, self._secrets)
            return bytes(request.SerializeToString())
        except (ValueError, TypeError):
            return None

    def _deliver(self, body: bytes) -> Problem | None:
        for pause in _PAUSES:
            problem = self._post(body)
            if problem is None or not problem.transient or self._hurry.wait(pause):
                break
        return problem

    def _post(self, body: bytes) -> Problem | None:
        try:
            answer = self._http.post(self._url, content=body, headers=self._headers)
        except httpx.TimeoutException:
            return Problem("did not answer in time", transient=True)
        except (httpx.HTTPError, httpx.InvalidURL, OSError):
            return Problem("cannot be reached (check LANGFUSE_BASE_URL)", transient=True)
        if answer.is_success:
            return None
        words = f"answered {answer.status_code}"
        if answer.status_code in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            words += " (check LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY)"
        elif answer.is_redirect or answer.status_code == HTTPStatus.NOT_FOUND:
            words += " (check LANGFUSE_BASE_URL)"
        return Problem(words, transient=answer.status_code in _TRANSIENT)


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
        self._looked_up = threading.Event()
        threading.Thread(target=self._look_up_project, name="hansei-langfuse-project", daemon=True).start()

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
        worker = threading.Thread(target=self._shut_down, name="hansei-langfuse-close", daemon=True)
        worker.start()
        worker.join(seconds)
        lost = self._stamp.made - self._exporter.sent
        if lost <= 0:
            return None
        problem = self._exporter.problem.words if self._exporter.problem else f"did not answer within {seconds:.0f} s"
        return f"{problem}; {lost} of {self._stamp.made} observations were not stored"

    def _shut_down(self) -> None:
        if self._sdk._resources is not None:
            self._sdk._resources.prompt_cache._task_manager.shutdown()  # a thread that the SDK leaves running
        self._sdk.shutdown()  # first takes back the SDK's hook at the process's exit, then sends what is left
        self._provider.shutdown()
        self._http.close()
