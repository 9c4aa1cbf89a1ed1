"""A local stand-in for Langfuse's public API on a real socket, strict about what the API's published types say.

with LangfuseServer() as server:            # LANGFUSE_BASE_URL=server.url, LANGFUSE_PUBLIC_KEY=PUBLIC_KEY …
    server.fault("scores", Fault(status=429, headers={"Retry-After": "0"}), times=2)
    ...
server.state.scores                         # what it holds
server.named("create_scores")               # the requests to one endpoint
server.spans                                # what was traced

Each request and each answer (of a long page some rows) is checked against the installed SDK's types: what does not fit
is answered with 400, and fails the test when the context is left.
"""

from __future__ import annotations

import base64
import gzip
import json
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from types import TracebackType
from typing import Any, Literal
from urllib.parse import parse_qs, unquote, urlsplit

from tests.support import langfuse_endpoints
from tests.support.langfuse_state import PROJECT_ID, Refused, State, observation
from tests.support.langfuse_types import ROUTES, Route, problems
from tests.support.otlp_server import TRACES, Span, decode
from tests.support.stand_in import StandIn

__all__ = ["KEYS", "PROJECT_ID", "PUBLIC_KEY", "SECRET_KEY", "Fault", "LangfuseServer", "Request", "observation"]

PUBLIC_KEY = "pk-lf-11111111-2222-3333-4444-555555555555"
SECRET_KEY = "sk-lf-99999999-8888-7777-6666-555555555555"
KEYS = {"LANGFUSE_PUBLIC_KEY": PUBLIC_KEY, "LANGFUSE_SECRET_KEY": SECRET_KEY}


@dataclass(frozen=True)
class Request:
    """One request, decoded. `name` is the endpoint's, "" when there is none."""

    verb: str
    path: str
    name: str
    query: dict[str, list[str]]
    body: Any


@dataclass(frozen=True)
class Fault:
    """What the server does instead of answering."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    cut: Literal["", "before", "after"] = ""
    """Hangs up before anything is done, or in the middle of its answer when all is done."""
    stall: bool = False
    """Never answers."""
    text: str = ""
    """Answers with this in place of JSON."""


@dataclass
class _Planned:
    endpoint: str
    fault: Fault
    after: int
    times: int


@dataclass
class LangfuseServer(StandIn):
    """Serves Langfuse's public API on a free port of 127.0.0.1 while the context is open."""

    state: State = field(default_factory=State)
    requests: list[Request] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    _exports: list[bytes] = field(default_factory=list)
    _planned: list[_Planned] = field(default_factory=list)
    _lock: threading.RLock = field(default_factory=threading.RLock)
    verbs = ("GET", "POST", "PATCH", "PUT", "DELETE")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        if error is None:
            assert not self.violations, self.violations

    @property
    def settings(self) -> dict[str, str]:
        """The environment of a process that is to reach this server."""
        return {"LANGFUSE_BASE_URL": self.url, **KEYS}

    @property
    def spans(self) -> list[Span]:
        """Every span that arrived, by start time."""
        return sorted((span for export in self._exports for span in decode(export)), key=lambda span: span.start)

    def named(self, name: str) -> list[Request]:
        with self._lock:
            return [request for request in self.requests if request.name == name]

    def fault(self, endpoint: str, fault: Fault, *, after: int = 0, times: int = 1) -> None:
        """Plans a fault: `endpoint` misbehaves `times` times ("" is any), after it was fine `after` times."""
        with self._lock:
            self._planned.append(_Planned(endpoint, fault, after, times))

    def heal(self) -> None:
        """Forgets the planned faults."""
        with self._lock:
            self._planned.clear()

    def _fault_of(self, name: str) -> Fault | None:
        for planned in self._planned:
            if planned.endpoint in ("", name):
                if planned.after > 0:
                    planned.after -= 1
                    continue
                if planned.times > 0:
                    planned.times -= 1
                    return planned.fault
        return None

    def serve(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        if handler.path == TRACES:
            self._exports.append(gzip.decompress(body))
            self._send(handler, 200, {}, Fault())
            return
        parts = urlsplit(handler.path)
        route, ids = _route(handler.command, parts.path)
        decoded = json.loads(body) if body else None
        request = Request(handler.command, parts.path, route.name if route else "", parse_qs(parts.query), decoded)
        with self._lock:
            self.requests.append(request)
            fault = self._fault_of(request.name)
            if fault is not None and fault.cut != "after":
                status, answer = fault.status, {"message": f"a fault that names {SECRET_KEY}"}
            else:
                status, answer = self._answer(handler, request, route, ids)
        self._send(handler, status, answer, fault or Fault())

    def _answer(
        self, handler: BaseHTTPRequestHandler, request: Request, route: Route | None, ids: Sequence[str]
    ) -> tuple[int, Any]:
        token = base64.b64encode(f"{PUBLIC_KEY}:{SECRET_KEY}".encode()).decode()
        if handler.headers.get("authorization") != f"Basic {token}":
            return 401, {"message": "Invalid credentials"}
        if route is None:
            self.violations.append(f"{request.verb} {request.path} is no endpoint")
            return 404, {"message": "no such endpoint"}
        wrong = [f"query: {name} is not declared" for name in set(request.query) - route.queries]
        wrong += [f"body: {problem}" for problem in problems(route.body, request.body)] if route.body else []
        if wrong:
            self.violations += [f"{route.name}: {problem}" for problem in wrong]
            return 400, {"message": "Invalid request data"}
        try:
            status, answer = getattr(langfuse_endpoints, route.name)(self.state, ids, request.query, request.body)
        except Refused:
            error = [{"code": "custom", "path": ["limit"], "message": f"refused, says {SECRET_KEY}"}]
            return 400, {"message": "Invalid request data", "error": error}
        if status < 300:
            self.violations += [
                f"answer of {route.name}: {problem}" for problem in problems(route.answer, _sample(answer))
            ]
        return status, answer

    def _send(self, handler: BaseHTTPRequestHandler, status: int, answer: Any, fault: Fault) -> None:
        if fault.stall:
            self.released.wait(60)
        if fault.stall or fault.cut == "before":
            self.hang_up(handler)
            return
        payload = fault.text.encode() or json.dumps(answer).encode()
        handler.send_response(200 if fault.text else status)
        handler.send_header("content-type", "text/html" if fault.text else "application/json")
        handler.send_header("content-length", str(len(payload)))
        for name, value in fault.headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        if fault.cut == "after":
            handler.wfile.write(payload[: len(payload) // 2])
            handler.wfile.flush()
            self.hang_up(handler)
        else:
            handler.wfile.write(payload)


def _sample(answer: Any) -> Any:
    """An answer with some 20 of a long page's rows: the SDK takes milliseconds to check each."""
    rows = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(rows, list) or len(rows) <= 40:
        return answer
    return {**answer, "data": rows[:: len(rows) // 20]}


def _route(verb: str, path: str) -> tuple[Route | None, list[str]]:
    for route in ROUTES:
        pattern = "/api/public/" + route.path.replace("{}", "([^/]+)")
        found = re.fullmatch(pattern, path)
        if found and route.verb == verb:
            return route, [unquote(part) for part in found.groups()]
    return None, []
