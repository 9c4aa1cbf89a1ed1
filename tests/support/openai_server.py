"""A scripted OpenAI-compatible server on a real socket: what a model answers is written by the test.

with OpenAiServer([text('{"a": 1}')]) as server:    # OPENAI_BASE_URL=server.url
    ...
server.requests[0].body["messages"]

Each request takes the next answer; the last one is given again and again. A script may also be a function of the
request. It streams when the request asks for a stream.
"""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any, Literal

from tests.support.stand_in import StandIn

KEY = "sk-test-0123456789abcdef0123456789"
"""The key of the tests; no error may repeat it."""

Fault = Literal["", "stall", "drip", "cut", "not_json", "null"]
"""None; begins an answer and stops; sends a byte now and then; hangs up in the middle; HTML; a JSON null."""


@dataclass(frozen=True)
class Request:
    """One request: its path, headers (names in lower case) and body."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def prompt(self) -> str:
        """Everything that the model is told."""
        return "\n".join(str(message["content"]) for message in self.body["messages"])

    @property
    def way(self) -> str:
        """How a structured answer is asked for."""
        if "response_format" in self.body:
            return "json_schema"
        return "function" if "tools" in self.body else "prompt"

    @property
    def tools(self) -> list[str]:
        """Names of the tools that are offered."""
        return [tool["function"]["name"] for tool in self.body.get("tools", [])]

    @property
    def is_probe(self) -> bool:
        return "test of the connection" in self.prompt


@dataclass(frozen=True)
class Answer:
    """What the server does with one request."""

    content: str | None = None
    calls: Sequence[tuple[str, str]] = ()
    """Tool calls: (name, arguments as text)."""
    refusal: str | None = None
    finish: str = "stop"
    usage: tuple[int, int] | None = (100, 20)
    """Tokens read and written; None: the server tells none."""
    cost: float | None = None
    thought: int = 0
    """Of the tokens written, those that the model thought."""
    still: bool = False
    """Answers as a whole even where a stream is asked for."""
    status: int = 200
    error: dict[str, Any] | None = None
    headers: dict[str, str] = field(default_factory=dict)
    fault: Fault = ""

    def usage_data(self) -> dict[str, Any] | None:
        if self.usage is None:
            return None
        read, written = self.usage
        used: dict[str, Any] = {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}
        if self.thought:
            used["completion_tokens_details"] = {"reasoning_tokens": self.thought}
        return used if self.cost is None else {**used, "cost": self.cost}

    def message(self) -> dict[str, Any]:
        out: dict[str, Any] = {"role": "assistant", "content": self.content}
        if self.refusal is not None:
            out["refusal"] = self.refusal
        if self.calls:
            out["tool_calls"] = [
                {"id": f"call_{i}", "type": "function", "function": {"name": name, "arguments": arguments}}
                for i, (name, arguments) in enumerate(self.calls)
            ]
        return out


def text(content: str, **more: Any) -> Answer:
    """The model says this."""
    return Answer(content=content, **more)


def says(data: Any, **more: Any) -> Answer:
    """The model answers with this as JSON."""
    return Answer(content=json.dumps(data), **more)


def tool_calls(*calls: tuple[str, Any], **more: Any) -> Answer:
    """The model calls tools, each with these arguments."""
    return Answer(calls=[(name, json.dumps(data)) for name, data in calls], finish="tool_calls", **more)


def tool_call(name: str, data: Any) -> Answer:
    """The model calls a tool."""
    return Answer(calls=[(name, data if isinstance(data, str) else json.dumps(data))], finish="tool_calls")


def failing(status: int, code: str = "", param: str | None = None, **headers: str) -> Answer:
    """The server answers with an error, in whose text the key stands as some servers do."""
    error = {"message": f"Refused: {KEY}", "type": "error", "code": code or None, "param": param}
    return Answer(status=status, error=error, headers={k.replace("_", "-"): v for k, v in headers.items()})


def structured(data: Any, ways: Sequence[str] = ("json_schema", "function", "prompt")) -> Callable[[Request], Answer]:
    """A model that passes the probe in these ways, refuses the others with HTTP 400, and answers with `data`."""

    def answer(request: Request) -> Answer:
        if request.way not in ways:
            return failing(400)
        found = {"ready": "yes"} if request.is_probe else data
        if request.way == "function":
            return tool_call(request.body["tools"][0]["function"]["name"], found)
        return says(found)

    return answer


Script = Sequence[Answer] | Callable[[Request], Answer]


@dataclass
class OpenAiServer(StandIn):
    """Serves chat completions on a free port of 127.0.0.1 while the context is open."""

    script: Script
    requests: list[Request] = field(default_factory=list)
    models: list[dict[str, Any]] | None = None
    """What it tells of its models; None: nothing."""
    tls: ssl.SSLContext | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        return f"{super().url}/v1"

    @property
    def asked(self) -> list[Request]:
        """The requests but for the probes."""
        return [request for request in self.requests if not request.is_probe]

    def _next(self, request: Request) -> Answer:
        with self._lock:
            self.requests.append(request)
            place = len(self.requests)
        if callable(self.script):
            return self.script(request)  # side by side, as the requests come
        return self.script[min(place, len(self.script)) - 1]

    def _tell_models(self, handler: BaseHTTPRequestHandler) -> None:
        known = handler.path == "/v1/models" and self.models is not None
        payload = json.dumps({"object": "list", "data": self.models} if known else {}).encode()
        handler.send_response(200 if known else 404)
        handler.send_header("content-type", "application/json")
        handler.send_header("content-length", str(len(payload)))
        handler.end_headers()
        handler.wfile.write(payload)

    def serve(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        if handler.command == "GET":
            self._tell_models(handler)
            return
        headers = {name.lower(): value for name, value in handler.headers.items()}
        request = Request(handler.path, headers, json.loads(body))
        answer = self._next(request)
        streaming = bool(request.body.get("stream")) and answer.status == 200 and not answer.still
        payload = _events(answer, request) if streaming else _whole(answer, request)
        handler.send_response(answer.status)
        handler.send_header("content-type", "text/event-stream" if streaming else "application/json")
        handler.send_header("content-length", str(len(payload)))
        for name, value in answer.headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        self._write(handler, payload, answer.fault)

    def _write(self, handler: BaseHTTPRequestHandler, payload: bytes, fault: Fault) -> None:
        half = len(payload) // 2
        if fault == "drip":
            for byte in payload:
                handler.wfile.write(bytes([byte]))
                handler.wfile.flush()
                if self.released.wait(0.05):
                    return
        elif fault in ("stall", "cut"):
            handler.wfile.write(payload[:half])
            handler.wfile.flush()
            if fault == "stall":
                self.released.wait(60)
            self.hang_up(handler)
        else:
            handler.wfile.write(payload)


def _whole(answer: Answer, request: Request) -> bytes:
    if answer.fault == "not_json":
        return b"<html><body>Welcome to the proxy</body></html>"
    if answer.fault == "null":
        return b"null"
    if answer.status != 200:
        return json.dumps({"error": answer.error}).encode()
    choice = {"index": 0, "message": answer.message(), "finish_reason": answer.finish}
    body = {**_head(request, "chat.completion"), "choices": [choice], "usage": answer.usage_data()}
    return json.dumps(body).encode()


def _events(answer: Answer, request: Request) -> bytes:
    head = _head(request, "chat.completion.chunk")
    message = answer.message()
    content = message.pop("content") or ""
    deltas = [{"role": "assistant", "content": ""}]
    deltas += [{"content": content[i : i + 7]} for i in range(0, len(content), 7)]
    if calls := message.pop("tool_calls", None):
        deltas.append({"tool_calls": [{"index": i, **one} for i, one in enumerate(calls)]})
    chunks = [{**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    chunks.append({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": answer.finish}]})
    if (request.body.get("stream_options") or {}).get("include_usage"):
        chunks.append({**head, "choices": [], "usage": answer.usage_data()})
    return b"".join(f"data: {json.dumps(chunk)}\n\n".encode() for chunk in chunks) + b"data: [DONE]\n\n"


def _head(request: Request, kind: str) -> dict[str, Any]:
    return {"id": "chatcmpl-1", "object": kind, "created": 1, "model": request.body["model"]}
