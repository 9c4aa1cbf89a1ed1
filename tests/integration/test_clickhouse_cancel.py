"""Queries that are ended before their time: nothing goes on working for somebody who has left."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration.conftest import Place
from tests.support.clickhouse_http import RunningServer, User, start_server
from tests.support.world import PROJECT, make_world

from hansei.context import Limits
from hansei.demo import Writer, create_tables
from hansei.errors import HanseiError, QueryFailed
from hansei.tools.clickhouse import Reader, cancel_queries, open_reader, open_writer
from hansei.tools.clickhouse.copies import Copies

LONG = "SELECT count() FROM numbers(9000000000) WHERE sipHash64(number) = 1"
RUNNING = "SELECT count() FROM system.processes WHERE query LIKE '%sipHash64%' AND query NOT LIKE '%processes%'"
ROOT = Path(__file__).parents[2]


@pytest.fixture
def readers(place: Place) -> Iterator[tuple[Reader, Reader]]:
    """A session to ask on, and one to look on."""
    both = open_reader(place.url), open_reader(place.url)
    yield both
    for reader in both:
        reader.close()


def wait_until(watcher: Reader, running: int) -> None:
    for _ in range(600):
        if watcher.query(RUNNING).rows == [[running]]:
            return
        time.sleep(0.05)
    pytest.fail(f"there never were {running} queries running")


def ask_in_thread(reader: Reader, outcome: list[HanseiError]) -> threading.Thread:
    def ask() -> None:
        try:
            reader.query(LONG)
        except HanseiError as error:
            outcome.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    return thread


def test_a_query_in_another_thread_is_cancelled(readers: tuple[Reader, Reader]) -> None:
    reader, watcher = readers
    outcome: list[HanseiError] = []
    thread = ask_in_thread(reader, outcome)
    wait_until(watcher, 1)

    cancel_queries()
    thread.join()

    (error,) = outcome
    assert isinstance(error, QueryFailed)
    assert (error.code, error.retryable) == (394, False)
    assert "cancelled" in error.message
    assert watcher.query(RUNNING).rows == [[0]]
    assert reader.query("SELECT 1").rows == [[1]]


def test_after_the_end_no_query_begins(readers: tuple[Reader, Reader]) -> None:
    reader, _ = readers
    cancel_queries(for_good=True)

    with pytest.raises(QueryFailed, match="interrupted"):
        reader.query("SELECT 1")


def test_an_interrupted_query_ends_in_clickhouse_before_the_interruption_goes_on(
    readers: tuple[Reader, Reader],
) -> None:
    reader, watcher = readers

    def interrupt() -> None:
        wait_until(watcher, 1)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        reader.query(LONG)
    thread.join()

    wait_until(watcher, 0)
    assert reader.query("SELECT 1").rows == [[1]]


SLOW = Copies("a run", {"hansei_slow": "SELECT count() FROM numbers(300000) AS a, numbers(300000) AS b"
                        " WHERE sipHash64(a.number, b.number) = 1"}, {})  # fmt: skip
"""Reads little and takes long."""


@pytest.mark.parametrize("interrupted", [True, False], ids=["Ctrl-C", "another thread"])
def test_copying_is_ended_as_queries_are(place: Place, readers: tuple[Reader, Reader], interrupted: bool) -> None:
    reader, watcher = readers
    if place.engine != "embedded":
        pytest.skip("a server's sessions hold no copies")

    def end() -> None:
        wait_until(watcher, 2)
        if interrupted:
            os.kill(os.getpid(), signal.SIGINT)
        else:
            cancel_queries()

    thread = threading.Thread(target=end)
    thread.start()
    with pytest.raises(KeyboardInterrupt) if interrupted else contextlib.nullcontext():
        reader.hold(2, SLOW)
    thread.join()

    assert watcher.query(RUNNING).rows == [[0]]
    assert reader.copies is None
    assert reader.query("SELECT 1").rows == [[1]]
    reader.hold(2, Copies("the next run", {"hansei_one": "SELECT 1 AS x"}, {}))
    assert reader.copies == "the next run"


def test_other_queries_are_left_alone(place: Place, readers: tuple[Reader, Reader]) -> None:
    reader, watcher = readers
    script = "import sys\nfrom hansei.tools.clickhouse import open_reader\nopen_reader(sys.argv[1]).query(sys.argv[2])"
    if place.engine == "embedded":
        pytest.skip("another process cannot open the same directory")
    with subprocess.Popen([sys.executable, "-c", script, place.url, LONG], cwd=ROOT, stderr=subprocess.PIPE) as other:
        wait_until(watcher, 1)
        outcome: list[HanseiError] = []
        thread = ask_in_thread(reader, outcome)
        wait_until(watcher, 2)
        cancel_queries()
        thread.join()
        assert len(outcome) == 1
        assert watcher.query(RUNNING).rows == [[1]]
        other.send_signal(signal.SIGINT)
        other.communicate(timeout=30)
    wait_until(watcher, 0)


def test_a_user_without_any_privilege_may_cancel_its_own_queries() -> None:
    plain = User("s3cret", init=["SET readonly = 1"], grants=["SELECT ON default.traces"])
    users = {"default": User(), "reader": plain}
    with start_server(users=users) as server:
        reader, watcher = open_reader(server.url("reader", "s3cret")), open_reader(server.url())
        outcome: list[HanseiError] = []
        thread = ask_in_thread(reader, outcome)
        wait_until(watcher, 1)
        cancel_queries()
        thread.join()
        assert [getattr(error, "code", 0) for error in outcome] == [394]


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    """A server with a small project."""
    with start_server() as running:
        client = open_writer(running.url())
        create_tables(client, "v3")
        with Writer(client, "v3") as writer:
            writer.write(make_world(per_day=20))
        client.close()
        yield running


@pytest.mark.parametrize("sql", ["cost_over_", "IN (SELECT trace_id FROM scores)"])
def test_ctrl_c_ends_the_command_and_its_queries(server: RunningServer, tmp_path: Path, sql: str) -> None:
    """In the profile the query runs in the main thread, in an analyst beside it."""
    watcher = open_reader(server.url(), Limits(seconds=5))
    server.misbehave("endless", 1000, sql)
    command = [sys.executable, "-m", "hansei", "analyze", "--clickhouse", server.url(), "--project", PROJECT]
    with subprocess.Popen(
        command, cwd=tmp_path, env=os.environ | {"no_proxy": "*"}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    ) as process:  # fmt: skip
        wait_until(watcher, 1)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=25)
    server.misbehave("endless", 0)

    assert (process.returncode, out) == (130, "")
    assert err.splitlines()[-1] == "hansei: interrupted."
    assert "Traceback" not in err
    wait_until(watcher, 0)
    watcher.close()
