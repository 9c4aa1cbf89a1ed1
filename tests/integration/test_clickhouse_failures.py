"""Connections that fail: each gives one line with one remedy, and never the password."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import quote

import pytest
from tests.integration.conftest import PASSWORD
from tests.support.clickhouse_http import Fault, RunningServer, User, start_server
from tests.support.failures import failure_of
from tests.support.stand_in import StandIn

from hansei.context import Limits
from hansei.errors import ConnectionFailed, PermissionMissing, QueryFailed
from hansei.tools.clickhouse import calls, open_reader, open_writer, server

CERTIFICATE = Path(__file__).parents[1] / "support" / "localhost.pem"
SECRETS = (PASSWORD, quote(PASSWORD, safe=""), "hunter2")


@pytest.fixture(autouse=True)
def without_long_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "PAUSES", (0.01,) * len(calls.PAUSES))


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "CONNECT_SECONDS", 1)
    monkeypatch.setattr(server, "HANDSHAKE_SECONDS", 1)


def url_of(port: int, scheme: str = "clickhouse", host: str = "127.0.0.1") -> str:
    return f"{scheme}://analyst:{quote(PASSWORD, safe='')}@{host}:{port}/lf"


@contextmanager
def listening(serve: Callable[[socket.socket], None], backlog: int = 8) -> Iterator[int]:
    """A port of 127.0.0.1 where `serve` treats each connection."""
    with socket.create_server(("127.0.0.1", 0), backlog=backlog) as listener:

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    serve(connection)

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)


@dataclass
class Website(StandIn):
    """Something that speaks HTTP and is no ClickHouse."""

    status: int

    def serve(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        page = b"<html>hunter2</html>"
        handler.send_response(self.status)
        handler.send_header("Content-Length", str(len(page)))
        handler.end_headers()
        handler.wfile.write(page)


@pytest.mark.parametrize(("user", "password"), [("analyst", "hunter2"), ("nobody-here", PASSWORD), ("default", "x")])
def test_wrong_user_or_password(clickhouse_server: RunningServer, user: str, password: str) -> None:
    url = clickhouse_server.url(user, password)

    error = failure_of(lambda: open_reader(url), ConnectionFailed, *SECRETS)

    assert "refuses the user or the password" in error.message
    assert "%40" in error.remedy
    failure_of(lambda: open_writer(url), ConnectionFailed, *SECRETS)


def test_a_password_with_every_special_character_is_taken(clickhouse_server: RunningServer) -> None:
    reader = open_reader(clickhouse_server.url("analyst", PASSWORD))

    assert reader.query("SELECT 1").rows == [[1]]
    reader.close()


def test_unknown_host() -> None:
    error = failure_of(lambda: open_reader(url_of(8123, host="no-such-host.invalid")), ConnectionFailed, *SECRETS)

    assert "no-such-host.invalid" in error.message
    assert "host name" in error.remedy


def test_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    error = failure_of(lambda: open_reader(url_of(port)), ConnectionFailed, *SECRETS)

    assert "refuses the connection" in error.message
    assert "8123" in error.remedy


@pytest.mark.usefixtures("impatient")
def test_a_host_that_gives_no_sign_of_life() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        port = listener.getsockname()[1]
        waiting = [socket.socket() for _ in range(4)]  # they fill the queue of the listener, who takes nobody
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(("127.0.0.1", port))

        error = failure_of(lambda: open_reader(url_of(port)), ConnectionFailed, *SECRETS)

        for each in waiting:
            each.close()
    assert "no sign of life" in error.message
    assert "firewall" in error.remedy


@pytest.mark.usefixtures("impatient")
def test_a_server_that_never_answers_the_first_query(clickhouse_server: RunningServer) -> None:
    clickhouse_server.misbehave("hang", 2)

    error = failure_of(lambda: open_reader(clickhouse_server.url("analyst", PASSWORD)), ConnectionFailed, *SECRETS)

    clickhouse_server.misbehave("hang", 0)
    assert "did not answer in time" in error.message


def test_a_server_that_never_answers_a_query_is_asked_once(
    clickhouse_server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "GRACE_SECONDS", 0)
    reader = open_reader(clickhouse_server.url("analyst", PASSWORD), Limits(seconds=2))
    clickhouse_server.misbehave("hang", 5)
    asked = clickhouse_server.queries

    error = failure_of(lambda: reader.query("SELECT 'hunter2'"), ConnectionFailed, *SECRETS)

    clickhouse_server.misbehave("hang", 0)
    assert clickhouse_server.queries == asked + 1
    assert "did not answer in time" in error.message
    assert "shorter window" in error.remedy
    assert reader.query("SELECT 1").rows == [[1]]
    reader.close()


def test_an_untrusted_certificate(monkeypatch: pytest.MonkeyPatch) -> None:
    with start_server(certificate=CERTIFICATE) as tls:
        error = failure_of(lambda: open_reader(tls.url()), ConnectionFailed, *SECRETS)
        assert "not trusted" in error.message
        assert "SSL_CERT_FILE" in error.remedy

        monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
        reader = open_reader(tls.url())
        assert reader.query("SELECT 1").rows == [[1]]
        reader.close()

        plain = failure_of(lambda: open_reader(url_of(tls.port)), ConnectionFailed, *SECRETS)
        assert "8443 with TLS" in plain.remedy


def test_tls_at_a_port_without_it(clickhouse_server: RunningServer) -> None:
    error = failure_of(lambda: open_reader(url_of(clickhouse_server.port, "clickhouses")), ConnectionFailed, *SECRETS)

    assert "does not speak TLS" in error.message
    assert "clickhouse://" in error.remedy


@pytest.mark.parametrize(
    ("status", "words"),
    [(200, "not ClickHouse"), (401, "not ClickHouse"), (404, "404"), (500, "500"), (502, "not available")],
)
def test_something_else_answers(status: int, words: str) -> None:
    with Website(status) as page:
        error = failure_of(lambda: open_reader(url_of(page.port)), ConnectionFailed, *SECRETS)

    assert words in error.message
    assert error.remedy


@pytest.mark.parametrize("greeting", [b"", b"\x00\x01hunter2", b"SSH-2.0-hunter2\r\n", b"HTTP/1.1 200 OK\r\n"])
def test_something_that_speaks_no_http(greeting: bytes) -> None:
    def greet(connection: socket.socket) -> None:
        connection.recv(10_000)
        connection.sendall(greeting)

    with listening(greet) as port:
        error = failure_of(lambda: open_reader(url_of(port)), ConnectionFailed, *SECRETS)

    assert "8123" in error.remedy


def test_missing_grants_name_the_table_and_the_grant(clickhouse_server: RunningServer) -> None:
    writer = open_writer(clickhouse_server.url(database="office"))
    for table in ("open_files", "half_open", "closed"):
        writer.command(f"CREATE OR REPLACE TABLE {table} (id UInt8, hunter2 String) ENGINE = Memory")
    writer.close()
    reader = open_reader(clickhouse_server.url("clerk", PASSWORD, "office"))

    assert reader.query("SELECT * FROM open_files").rows == []
    for table in ("half_open", "closed"):
        error = failure_of(lambda table=table: reader.query(f"SELECT * FROM {table}"), PermissionMissing, *SECRETS)  # type: ignore[misc]
        assert f"SELECT on office.{table}" in error.message
        assert f"GRANT SELECT ON office.{table} TO clerk;" in error.remedy
    reader.close()


@pytest.mark.parametrize("sql", ["SELECT * FROM url('http://127.0.0.1:1/hunter2', 'CSV', 'a Int8')",
                                 "SELECT * FROM file('/hunter2')", "INSERT INTO closed VALUES (1, '')"])  # fmt: skip
def test_no_other_grant_is_recommended(clickhouse_server: RunningServer, sql: str) -> None:
    open_writer(clickhouse_server.url(database="office")).close()
    reader = open_reader(clickhouse_server.url("clerk", PASSWORD, "office"))

    error = failure_of(lambda: reader.query(sql), PermissionMissing, *SECRETS)

    assert "SELECT" in error.remedy
    assert "GRANT" not in error.remedy
    reader.close()


def test_a_database_that_may_not_be_made(clickhouse_server: RunningServer) -> None:
    failure_of(lambda: open_writer(clickhouse_server.url("analyst", PASSWORD, "brand_new")), QueryFailed, *SECRETS)


@pytest.mark.parametrize("fault", ["drop", "cut", "busy", "502", "503"])
def test_a_read_that_was_lost_is_repeated(clickhouse_server: RunningServer, fault: Fault) -> None:
    reader = open_reader(clickhouse_server.url("analyst", PASSWORD))
    clickhouse_server.misbehave(fault, 2)

    assert reader.query("SELECT 1").rows == [[1]]
    reader.close()


@pytest.mark.parametrize(("fault", "words"), [("drop", "closed the connection"), ("cut", "closed the connection"),
                                              ("502", "not available"), ("503", "not available")])  # fmt: skip
def test_repetitions_end(clickhouse_server: RunningServer, fault: Fault, words: str) -> None:
    reader = open_reader(clickhouse_server.url("analyst", PASSWORD))
    clickhouse_server.misbehave(fault, 100)
    asked = clickhouse_server.queries

    error = failure_of(lambda: reader.query("SELECT 'hunter2'"), ConnectionFailed, *SECRETS)

    clickhouse_server.misbehave(fault, 0)
    assert clickhouse_server.queries - asked <= 8
    assert words in error.message
    reader.close()


def test_a_busy_server_may_be_asked_again_later(clickhouse_server: RunningServer) -> None:
    reader = open_reader(clickhouse_server.url("analyst", PASSWORD))
    clickhouse_server.misbehave("busy", 100)

    error = failure_of(lambda: reader.query("SELECT 'hunter2'"), QueryFailed, *SECRETS)

    clickhouse_server.misbehave("busy", 0)
    assert error.retryable
    assert error.name == "TOO_MANY_SIMULTANEOUS_QUERIES"
    reader.close()


def test_a_refused_query_is_not_repeated(clickhouse_server: RunningServer) -> None:
    reader = open_reader(clickhouse_server.url("analyst", PASSWORD))
    asked = clickhouse_server.queries

    failure_of(lambda: reader.query("SELECT nothing_of_the_kind"), QueryFailed)

    assert clickhouse_server.queries == asked + 1
    reader.close()


def test_a_read_only_profile_keeps_its_own_limits(clickhouse_server: RunningServer) -> None:
    names = ["readonly", "max_execution_time", "max_result_rows", "do_not_merge_across_partitions_select_final"]
    sql = "SELECT " + ", ".join(f"toUInt64(getSetting('{name}'))" for name in names)
    in_force = {}
    for user, password in (("default", ""), ("careful", PASSWORD), ("analyst", PASSWORD)):
        reader = open_reader(clickhouse_server.url(user, password), Limits(seconds=60, result_rows=9000))
        in_force[user] = reader.query(sql).rows[0]
        reader.close()

    assert in_force == {"default": [1, 60, 9000, 1], "careful": [2, 7, 5000, 1], "analyst": [1, 0, 0, 0]}


def test_a_profile_without_limits_is_held_to_ours(clickhouse_server: RunningServer) -> None:
    reader = open_reader(clickhouse_server.url("analyst", PASSWORD), Limits(result_rows=100))

    error = failure_of(lambda: reader.query("SELECT number FROM numbers(101)"), QueryFailed)

    assert error.code == 396
    reader.close()


def test_a_server_in_another_time_zone_gives_the_same_times() -> None:
    """01:30 in New York comes twice on the day on which the clocks go back."""
    sql = "SELECT {t:DateTime64(3)} AS t, toUnixTimestamp64Milli(t), {s:DateTime}, {all:Array(DateTime64(3))}"
    users = {"default": User(), "analyst": User(init=["SET readonly = 1"])}
    with start_server(users=users, timezone="America/New_York") as server_there:
        for user in users:
            reader = open_reader(server_there.url(user))
            for hour, milliseconds in ((5, 1_793_511_000_123), (6, 1_793_514_600_123)):
                moment = f"2026-11-01T0{hour}:30:00.123Z"
                answer = reader.query(sql, {"t": moment, "s": moment, "all": [moment]})
                assert answer.rows == [[moment, milliseconds, f"2026-11-01T0{hour}:30:00Z", [moment]]]
            reader.close()
