"""ClickHouse's HTTP protocol, spoken over an embedded engine: what clickhouse-connect talks to in the tests.

Run as a program (see `clickhouse_http.start_server`). Real: the SQL engine, error codes and texts, bound parameters,
per-query settings, read-only users, grants, row policies, insert formats, compression, errors in the middle of a
stream, query ids and KILL QUERY by them. Not there: sessions, quotas.
"""

from __future__ import annotations

import argparse
import email
import email.policy
import gzip
import hashlib
import io
import json
import os
import re
import ssl
import sys
import threading
import uuid
import zlib
from base64 import b64decode
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

# Consumed by the HTTP interface itself; every other URL parameter is a setting.
NOT_SETTINGS = {
    "query", "database", "user", "password", "query_id", "session_id", "session_timeout", "session_check",
    "default_format", "compress", "decompress", "enable_http_compression", "http_zlib_compression_level",
    "wait_end_of_query", "buffer_size", "quota_key", "client_protocol_version", "send_progress_in_http_headers",
    "http_headers_progress_interval_ms", "role", "stacktrace", "cancel_http_readonly_queries_on_client_close",
}  # fmt: skip
ENDLESS = "SELECT count() FROM numbers(9000000000) WHERE sipHash64(number) = 1"
STREAMABLE = {"Native", "TabSeparated", "TSV", "CSV", "RowBinary", "JSONEachRow"}
STATUS = {516: 403, 497: 403, 60: 404, 81: 404, 47: 404, 46: 404, 62: 400, 115: 404, 159: 408, 202: 503, 456: 400}
INSERT = re.compile(rb"^\s*INSERT\s", re.I)
INSERT_FORMAT = re.compile(rb"\bFORMAT\s+([A-Za-z0-9]+)[ \t]*(?:\r?\n|$)", re.I)
LAST_FORMAT = re.compile(r"\bFORMAT\s+(\w+)\s*$", re.I)
HAS_ROWS = re.compile(r"\s*(?:SELECT|WITH|\(|SHOW|DESCRIBE|DESC|EXISTS|EXPLAIN|KILL)\b|^\s*\(", re.I)
COMMENT = re.compile(rb"/\*.*?\*/", re.S)
CODE = re.compile(r"Code:\s*(\d+)")
KILL = re.compile(rb"\s*KILL QUERY WHERE query_id = '([\w-]+)' ASYNC\s*(?:FORMAT \w+\s*)?")


class Refused(Exception):
    """An error in ClickHouse's own wording."""

    def __init__(self, code: int, text: str, name: str) -> None:
        super().__init__(f"Code: {code}. DB::Exception: {text}. ({name})")


def literal(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def id_comment(query_id: str) -> str:  # the engine has no query ids: a comment stands for it
    return f"/* query_id: {re.sub(r'[^0-9A-Za-z-]', '', query_id)} */"


def decompress(body: bytes, encoding: str) -> bytes:
    match encoding:
        case "" | "identity":
            return body
        case "gzip":
            return gzip.decompress(body)
        case "deflate":
            return zlib.decompress(body)
        case "zstd":
            import zstandard

            with zstandard.ZstdDecompressor().stream_reader(io.BytesIO(body), read_across_frames=True) as frames:
                return bytes(frames.read())
        case "lz4":  # clickhouse-connect sends one frame per block; decompressing one frame would lose the others
            import lz4.frame

            return bytes(lz4.frame.open(io.BytesIO(body)).read())
    raise Refused(48, f"Unknown content encoding {encoding}", "NOT_IMPLEMENTED")


class Engine:
    """The embedded engine behind the server: a fresh handle per request, so no setting outlives its query."""

    def __init__(self, path: str, config: str, users: dict[str, Any]) -> None:
        import chdb

        self._connect = chdb.connect
        self._address = f"{path}?config-file={config}"
        self._anchor = self._connect(self._address)
        self.users = users
        self.version, self.timezone = str(self._anchor.query("SELECT version(), timezone()", "TSV")).split()

    def handle(self, user: str) -> Any:
        handle = self._connect(self._address)
        for statement in (f"SET ROLE `{user}`", *self.users[user]["init"]):
            handle.query(statement)
        return handle

    def close(self) -> None:
        self._anchor.close()

    def normalised(self, sql: str) -> str:
        """The statement as the engine's own parser prints it, in one line. Raises for several statements in one."""
        handle = self._connect(self._address)
        try:
            escaped = sql.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")
            answer = handle.query("SELECT formatQuerySingleLine({q:String})", "TSVRaw", params={"q": escaped})
            return bytes(answer.bytes()).decode("utf-8", "replace").rstrip("\n")
        except RuntimeError as error:
            raise Refused(62, str(error).partition("DB::Exception: ")[2][:300], "SYNTAX_ERROR") from None
        finally:
            handle.close()


class Faults:
    """Misbehaviour ordered for the next requests, and counts of the queries that came and of the faults among them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._next: list[str] = []
        self._matching = b""
        self.committed = 0
        self.asked: list[str] = []  # hashes of the queries' texts without comments, and of what was bound to them

    def order(self, kind: str, times: int, matching: str) -> None:
        with self._lock:
            self._next, self._matching = [kind] * times, matching.encode()

    def take(self, request: bytes, options: dict[str, str]) -> str:
        bound = sorted(one for one in options.items() if one[0].startswith("param_"))
        with self._lock:
            self.asked.append(hashlib.sha256(COMMENT.sub(b"", request) + repr(bound).encode()).hexdigest()[:16])
            if not self._next or self._matching not in request:
                return ""
            self.committed += 1
            return self._next.pop(0)


class Handler(BaseHTTPRequestHandler):
    """One request: authenticate, apply the settings, run the statement, answer in its format."""

    protocol_version = "HTTP/1.1"
    wbufsize = 65536
    engine: Engine
    faults: Faults
    stopping: threading.Event

    def log_message(self, format: str, *args: object) -> None:
        """Silent."""

    def do_HEAD(self) -> None:
        self._start(200, [], 0)

    def _serve(self) -> None:
        options = dict(parse_qsl((address := urlsplit(self.path)).query, keep_blank_values=True))
        self._streaming = self._is_endless = False
        try:
            body = self._body()
            if address.path == "/-/fault":
                self.faults.order(options["kind"], int(options["times"]), options.get("matching", ""))
                self._send(b"Ok.\n")
            elif address.path == "/-/queries":
                self._send(json.dumps({"asked": self.faults.asked, "faults": self.faults.committed}).encode())
            elif address.path == "/ping":
                self._send(b"Ok.\n")
            elif not self._misbehaves(self.faults.take(options.get("query", "").encode() + body, options)):
                self._query(options, body)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        except (Refused, RuntimeError, ValueError) as error:
            self.close_connection = self._streaming
            if not self._streaming:
                with suppress(BrokenPipeError, ConnectionResetError):
                    self._fail(str(error))

    do_GET = do_POST = _serve

    def _misbehaves(self, fault: str) -> bool:
        match fault:
            case "" | "endless":
                self._is_endless = bool(fault)
                return False
            case "hang":
                self.stopping.wait(30)
                self.close_connection = True
            case "drop":
                self.close_connection = True
            case "cut":  # the connection ends in the middle of the answer
                self._start(200, [("X-ClickHouse-Format", "Native")], 1000)
                self.wfile.write(b"\1\1\1x\5UInt8")
                self.close_connection = True
            case "busy":
                self._fail("Code: 202. DB::Exception: Too many simultaneous queries. (TOO_MANY_SIMULTANEOUS_QUERIES)")
            case "denied":
                self._fail(
                    "Code: 497. DB::Exception: default: Not enough privileges. To execute this query, it's necessary "
                    "to have the grant SELECT(input) ON langfuse.observations. (ACCESS_DENIED)"
                )
            case _:  # an HTTP status, as a proxy in front of ClickHouse sends it
                self._start(int(fault), [("Content-Type", "text/html")], 15)
                self.wfile.write(b"<html>no</html>")
        return True

    def _query(self, options: dict[str, str], body: bytes) -> None:
        user = self._authenticate(options)
        body = decompress(body, self.headers.get("Content-Encoding") or "")
        if (self.headers.get("Content-Type") or "").startswith("multipart/form-data"):
            options |= self._form(body)
            body = b""
        prefix = options.get("query", "").encode()
        statement = prefix + (b"\n" if prefix and body else b"") + body
        parameters = {name[6:]: value for name, value in options.items() if name.startswith("param_")}
        settings = {k: v for k, v in options.items() if k not in NOT_SETTINGS and not k.startswith("param_")}
        handle = self.engine.handle(user)
        try:
            if database := options.get("database") or self.headers.get("X-ClickHouse-Database"):
                handle.query(f"USE `{database.replace('`', '``')}`")
            # A server applies all settings of a request at once; here readonly, which blocks the others, goes last.
            readonly = settings.pop("readonly", None)
            for name, value in settings.items():
                if not re.fullmatch(r"[A-Za-z_]\w*", name):
                    raise Refused(115, f"Unknown setting {name}", "UNKNOWN_SETTING")
                handle.query(f"SET {name} = {literal(value)}")
            if readonly is None and self.command == "GET":
                current = bytes(handle.query("SELECT getSetting('readonly')", "TSV").bytes()).strip()
                readonly = "2" if current == b"0" else None
            if readonly is not None:
                handle.query(f"SET readonly = {literal(readonly)}")
            if kill := KILL.fullmatch(statement):
                marker = id_comment(kill[1].decode())
                handle.query(f"KILL QUERY WHERE query LIKE '%{marker}%' AND query NOT LIKE 'KILL%' ASYNC")
                self._send(b"")
            elif INSERT.match(statement):
                self._insert(handle, prefix, body, statement, parameters)
            else:
                self._select(handle, statement.decode("utf-8", "surrogateescape"), options, parameters)
        finally:
            handle.close()

    def _authenticate(self, options: dict[str, str]) -> str:
        user = options.get("user") or self.headers.get("X-ClickHouse-User") or "default"
        password = options.get("password") or self.headers.get("X-ClickHouse-Key") or ""
        header = self.headers.get("Authorization") or ""
        if header.startswith("Basic "):
            user, _, password = b64decode(header[6:]).decode().partition(":")
        known = self.engine.users.get(user)
        if known is None or known["password"] != password:
            text = f"{user}: Authentication failed: password is incorrect, or there is no user with such name"
            raise Refused(516, text, "AUTHENTICATION_FAILED")
        return user

    def _insert(self, handle: Any, prefix: bytes, body: bytes, statement: bytes, parameters: dict[str, str]) -> None:
        first = prefix or statement
        match = INSERT_FORMAT.search(first)
        if match is None:
            done = handle.query(statement.decode("utf-8", "surrogateescape"), "TSV", params=parameters)
            written = int(done.rows_written())
        else:
            data = first[match.end() :] + (body if prefix else b"")
            inserter = handle.send_insert(first[: match.start()].decode(), match[1].decode())
            for start in range(0, len(data), 1 << 20):
                inserter.append(data[start : start + (1 << 20)])
            written = int(inserter.finish().rows_written)
        self._send(b"", [self._summary(written_rows=written)])

    def _select(self, handle: Any, sql: str, options: dict[str, str], parameters: dict[str, str]) -> None:
        text = self.engine.normalised(sql)
        if self._is_endless:
            sql = ENDLESS
        match = LAST_FORMAT.search(text)
        format_ = match[1] if match else options.get("default_format") or "TabSeparated"
        headers = [("X-ClickHouse-Format", format_)] if HAS_ROWS.match(text) else []
        if "query_id" in options:
            headers.append(("X-ClickHouse-Query-Id", options["query_id"]))
            sql = f"{id_comment(options['query_id'])} {sql}"
        waits = options.get("wait_end_of_query") in ("1", "true")
        if format_ in STREAMABLE and not waits and re.match(r"\s*(SELECT|WITH)\b", text, re.I):
            self._stream(handle.send_query(sql, format_, params=parameters), headers)
            return
        answer = handle.query(sql, format_, params=parameters)
        body = bytes(answer.bytes() or b"")
        headers.append(
            self._summary(read_rows=answer.storage_rows_read(), read_bytes=answer.storage_bytes_read(),
                          result_rows=answer.rows_read())
        )  # fmt: skip
        if options.get("enable_http_compression") == "1" and "gzip" in (self.headers.get("Accept-Encoding") or ""):
            body = gzip.compress(body, 1)
            headers.append(("Content-Encoding", "gzip"))
        self._send(body, headers)

    def _stream(self, blocks: Any, headers: list[tuple[str, str]]) -> None:
        tag = uuid.uuid4().hex[:16]
        try:
            block = next(blocks, None)
            self._start(200, [*headers, ("X-ClickHouse-Exception-Tag", tag), self._summary()], None)
            self._streaming = True
            while block is not None:
                self._chunk(block.bytes())
                block = next(blocks, None)
        except RuntimeError as error:
            if not self._streaming:
                raise
            text = str(error).encode()
            size = str(len(text) + 1).encode()
            frame = b"\r\n__exception__\r\n"
            self._chunk(frame + tag.encode() + b"\r\n" + text + b"\n" + size + b" " + tag.encode() + frame)
        finally:
            blocks.close()
        self.wfile.write(b"0\r\n\r\n")

    def _body(self) -> bytes:
        if "chunked" not in (self.headers.get("Transfer-Encoding") or "").lower():
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        chunks = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline() not in (b"\r\n", b"\n", b""):
            pass
        return b"".join(chunks)

    def _form(self, body: bytes) -> dict[str, str]:
        head = b"Content-Type: " + self.headers["Content-Type"].encode() + b"\r\n\r\n"
        message: Any = email.message_from_bytes(head + body, policy=email.policy.HTTP)
        return {
            part.get_param("name", header="content-disposition"): part.get_payload(decode=True).decode()
            for part in message.iter_parts()
        }

    def _fail(self, text: str) -> None:
        start = text.find("Code: ")
        match = CODE.search(text)
        code = int(match[1]) if match else 1002
        text = text[max(start, 0) :] if match else f"Code: 1002. DB::Exception: {text}. (UNKNOWN_EXCEPTION)"
        body = f"{text} (version {self.engine.version})\n".encode()
        self._send(body, [("X-ClickHouse-Exception-Code", str(code))], STATUS.get(code, 500))

    def _summary(self, **numbers: int) -> tuple[str, str]:
        return "X-ClickHouse-Summary", json.dumps({name: str(number) for name, number in numbers.items()})

    def _send(self, body: bytes, headers: list[tuple[str, str]] | None = None, status: int = 200) -> None:
        self._start(status, headers or [], len(body))
        self.wfile.write(body)

    def _start(self, status: int, headers: list[tuple[str, str]], length: int | None) -> None:
        self.send_response(status)
        self.send_header("X-ClickHouse-Server-Display-Name", "emulator")
        self.send_header("X-ClickHouse-Timezone", self.engine.timezone)
        for name, value in headers:
            self.send_header(name, value)
        if length is None:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def _chunk(self, body: bytes) -> None:
        if body:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(body), body))


class EmulatedServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """Silent: a client that hangs up is part of the tests."""


def main() -> None:
    """Serves until stdin is closed. Prints its port in one line once it can be reached."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--path", required=True)
    parser.add_argument("--config", required=True)
    parser.add_argument("--users", required=True, type=Path)
    parser.add_argument("--certificate", help="certificate and key in one PEM file: speak TLS")
    arguments = parser.parse_args()
    stopping, users = threading.Event(), json.loads(arguments.users.read_text())
    engine = Engine(arguments.path, arguments.config, users)
    members = {"engine": engine, "faults": Faults(), "stopping": stopping}
    server = EmulatedServer(("127.0.0.1", 0), type("BoundHandler", (Handler,), members))
    if arguments.certificate:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(arguments.certificate)
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    os.write(1, f"{server.server_address[1]}\n".encode())
    sys.stdin.read()  # until the parent closes it, or is gone
    stopping.set()
    server.shutdown()
    engine.close()
    os._exit(0)  # the engine's own threads may keep a regular exit waiting


if __name__ == "__main__":
    main()
