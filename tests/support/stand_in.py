"""What the tests' stand-ins for HTTP services share: a free port of 127.0.0.1, threads, and silence."""

from __future__ import annotations

import socket
import ssl
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, ClassVar, Self


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):  # a client that hangs up is part of the tests
            super().handle_error(request, client_address)


class StandIn:
    """Serves on a free port of 127.0.0.1 while the context is open; `serve` answers each request."""

    verbs: ClassVar[tuple[str, ...]] = ("GET", "POST")
    tls: ssl.SSLContext | None = None
    """With what it speaks TLS; None: it speaks none."""

    def serve(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        """Answers a request, in a thread of its own."""
        raise NotImplementedError

    def hang_up(self, handler: BaseHTTPRequestHandler) -> None:
        handler.close_connection = True
        handler.connection.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                try:
                    owner.serve(self, body)
                except ConnectionError:
                    self.close_connection = True  # the client lost patience, as it should

            def log_message(self, format: str, *args: Any) -> None:
                """Says nothing: the requests are recorded."""

        for verb in self.verbs:
            setattr(Handler, f"do_{verb}", Handler.answer)
        self.released = threading.Event()
        """Set when the context is left: whoever never answers stops waiting."""
        self._http = _Server(("127.0.0.1", 0), Handler)
        if self.tls is not None:
            self._http.socket = self.tls.wrap_socket(self._http.socket, server_side=True)
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.released.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    @property
    def port(self) -> int:
        return self._http.server_port

    @property
    def url(self) -> str:
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self.port}"
