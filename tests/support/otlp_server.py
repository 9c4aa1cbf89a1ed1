"""A local stand-in for Langfuse's ingestion: decodes the spans that arrive over HTTP, or misbehaves on purpose.

with OtlpServer() as server:
    ...                                     # LANGFUSE_BASE_URL=server.url
server.spans                                # what arrived, decoded
"""

from __future__ import annotations

import base64
import gzip
import json
import socket
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any, Literal

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from tests.support.stand_in import StandIn

Mode = Literal["ok", "unauthorized", "broken", "hanging", "slow", "dripping"]
"""ok; answers 401; answers 500; takes the request and never answers; answers after a second; a byte now and then."""

TRACES = "/api/public/otel/v1/traces"
PROJECTS = "/api/public/projects"
PROJECT_ID = "project-of-the-keys"


@dataclass(frozen=True)
class Span:
    """One span as it was sent. Identifiers are hexadecimal; `parent_id` is empty for a root."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    attributes: dict[str, Any]
    resource: dict[str, Any]
    scope: dict[str, Any]
    status: str
    start: int
    end: int

    @property
    def type(self) -> str:
        return str(self.attributes["langfuse.observation.type"])

    def payload(self, which: Literal["input", "output"]) -> Any:
        """The observation's input or output as Python data, None when it has none."""
        text = self.attributes.get(f"langfuse.observation.{which}")
        return None if text is None else json.loads(text)


@dataclass
class Request:
    """One request: where to, with which headers (names in lower case), and its decompressed body."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def credentials(self) -> str:
        """`public key:secret key` of the Authorization header."""
        return base64.b64decode(self.headers.get("authorization", "").removeprefix("Basic ")).decode()


@dataclass
class OtlpServer(StandIn):
    """Serves Langfuse's ingestion on a free port of 127.0.0.1 while the context is open."""

    mode: Mode = "ok"
    requests: list[Request] = field(default_factory=list)

    @property
    def spans(self) -> list[Span]:
        """Every span that arrived, by start time."""
        found = [span for request in self.requests if request.path == TRACES for span in decode(request.body)]
        return sorted(found, key=lambda span: (span.start, span.end))

    def serve(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        if handler.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        headers = {name.lower(): value for name, value in handler.headers.items()}
        self.requests.append(Request(handler.path, headers, body))
        if self.mode == "hanging":
            self.released.wait(60)
            handler.close_connection = True
            return
        if self.mode == "slow":
            self.released.wait(1)
        status = {"unauthorized": 401, "broken": 500}.get(self.mode, 200)
        answer: dict[str, Any] = {} if status == 200 else {"message": f"answered {status} on purpose"}
        if handler.path == PROJECTS and status == 200:
            answer = {"data": [{"id": PROJECT_ID, "name": "a project"}]}
        text = json.dumps(answer).encode()
        handler.send_response(status)
        handler.send_header("content-type", "application/json")
        handler.send_header("content-length", str(len(text)))
        handler.end_headers()
        if self.mode != "dripping":
            handler.wfile.write(text)
            return
        for byte in text:
            if self.released.wait(1):
                return
            handler.wfile.write(bytes([byte]))
            handler.wfile.flush()


def refusing_url() -> str:
    """An address on this machine where nothing listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def decode(body: bytes) -> list[Span]:
    """The spans in an OTLP request."""
    spans = []
    for batch in ExportTraceServiceRequest.FromString(body).resource_spans:
        resource = {pair.key: _plain(pair.value) for pair in batch.resource.attributes}
        for scope_spans in batch.scope_spans:
            scope = {pair.key: _plain(pair.value) for pair in scope_spans.scope.attributes}
            scope["name"] = scope_spans.scope.name
            for span in scope_spans.spans:
                spans.append(
                    Span(
                        name=span.name,
                        trace_id=span.trace_id.hex(),
                        span_id=span.span_id.hex(),
                        parent_id=span.parent_span_id.hex(),
                        attributes={pair.key: _plain(pair.value) for pair in span.attributes},
                        resource=resource,
                        scope=scope,
                        status=span.status.message,
                        start=span.start_time_unix_nano,
                        end=span.end_time_unix_nano,
                    )
                )
    return spans


def _plain(value: AnyValue) -> Any:
    match value.WhichOneof("value"):
        case "array_value":
            return [_plain(item) for item in value.array_value.values]
        case "kvlist_value":
            return {pair.key: _plain(pair.value) for pair in value.kvlist_value.values}
        case None:
            return None
        case kind:
            return getattr(value, kind)
