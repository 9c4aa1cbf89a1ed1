"""A bucket on a real socket: enough of S3's protocol for a client that lists and reads objects.

with S3Server({"a/b.json": b"[]"}) as server:      # AWS_ENDPOINT_URL=server.url, bucket “exports”
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

from tests.support.stand_in import StandIn

BUCKET = "exports"


@dataclass
class S3Server(StandIn):
    """Serves objects of one bucket, by key. Keeps the Authorization headers that it saw."""

    objects: Mapping[str, bytes]
    authorizations: list[str] = field(default_factory=list)

    verbs = ("GET", "HEAD")

    def serve(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        is_whole = handler.command == "GET"
        self.authorizations.append(handler.headers.get("authorization", ""))
        parts = urlsplit(handler.path)
        bucket, _, key = unquote(parts.path).lstrip("/").partition("/")
        query = parse_qs(parts.query)
        if bucket != BUCKET or (key and key not in self.objects):
            self._send(handler, 404, b"<Error><Code>NoSuchKey</Code></Error>", body=is_whole)
        elif not key:
            self._send(handler, 200, self._listing(query.get("prefix", [""])[0]), body=is_whole)
        else:
            self._object(handler, self.objects[key], body=is_whole)

    def _listing(self, prefix: str) -> bytes:
        contents = "".join(
            f"<Contents><Key>{escape(key)}</Key><LastModified>2026-10-01T00:00:00.000Z</LastModified>"
            f"<ETag>&quot;{len(data)}&quot;</ETag><Size>{len(data)}</Size><StorageClass>STANDARD</StorageClass></Contents>"
            for key, data in sorted(self.objects.items())
            if key.startswith(prefix)
        )
        head = (
            '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        )
        return f"{head}<Name>{BUCKET}</Name><IsTruncated>false</IsTruncated>{contents}</ListBucketResult>".encode()

    def _object(self, handler: BaseHTTPRequestHandler, data: bytes, *, body: bool) -> None:
        asked = handler.headers.get("range", "")
        if not asked.startswith("bytes="):
            self._send(handler, 200, data, body=body)
            return
        first, _, last = asked.removeprefix("bytes=").partition("-")
        start, end = int(first), min(int(last) if last else len(data) - 1, len(data) - 1)
        more = {"Content-Range": f"bytes {start}-{end}/{len(data)}"}
        self._send(handler, 206, data[start : end + 1], body=body, more=more)

    def _send(
        self,
        handler: BaseHTTPRequestHandler,
        status: int,
        data: bytes,
        *,
        body: bool,
        more: Mapping[str, str] | None = None,
    ) -> None:
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(data)))
        handler.send_header("ETag", f'"{len(data)}"')
        handler.send_header("Last-Modified", "Thu, 01 Oct 2026 00:00:00 GMT")
        for name, value in (more or {}).items():
            handler.send_header(name, value)
        handler.end_headers()
        if body:
            handler.wfile.write(data)
