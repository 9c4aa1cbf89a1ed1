"""Sending a run's spans to Langfuse: over OTLP, without a word on the terminal, and with the losses counted."""

from __future__ import annotations

import gzip
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus

import httpx
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from hansei.tools.langfuse.connection import Server
from hansei.tools.langfuse.tracing_redaction import redact

_REQUEST_BYTES = 4_000_000
"""Aim for one request before compression: a batch above it is halved. (Servers and proxies limit a body.)"""

_PAUSES = (0.5, 1.0, 2.0)
"""Seconds between attempts while the run goes on."""

_TRANSIENT = frozenset({429, 502, 503, 504})


@dataclass(frozen=True)
class Problem:
    """Why something could not be sent: words for a sentence that begins with “Langfuse”, and whether to try again."""

    words: str
    transient: bool


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
