"""Langfuse down, slow, hanging or refusing: the run gives its result, the process ends, one line tells.

Each case is a process of its own, since what the SDK does when a process exits is part of it. The SDK's own time limit
is set to an hour, so that a process that waited for it would not end within the (generous) limit of the test.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
from tests.support.otlp_server import Mode, OtlpServer, refusing_url

pytestmark = pytest.mark.long

ROOT = Path(__file__).resolve().parents[2]

PROGRAM = """
import atexit
import sys
import threading
from hansei.tools.langfuse.tracing import start_trace
from tests.support.traced_graph import small_graph

trace = start_trace("run-1", session_id="thread-1", tags=["cli"], version="1.2.3")
print(small_graph().invoke({"question": "why?"}, trace.config())["report"])
if sys.argv[1] == "close":
    print(trace.close())
if sys.argv[1] == "exit":
    sys.exit(7)
if sys.argv[1] == "crash":
    raise KeyboardInterrupt

def refuse(thread):
    raise RuntimeError("can't create new thread at interpreter shutdown")

atexit.register(setattr, threading.Thread, "start", refuse)  # the rule of Python 3.12 and later
"""

HANGS = "did not answer within"
LOST = {
    "unauthorized": "answered 401 (check LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY)",
    "broken": "answered 500",
    "hanging": HANGS,
    "refusing": "cannot be reached (check LANGFUSE_BASE_URL)",
    "unknown host": "cannot be reached (check LANGFUSE_BASE_URL)",
    "no address": "cannot be reached (check LANGFUSE_BASE_URL)",
}
"""What is wrong with Langfuse → what the line says about it."""


def run_process(url: str, how: str) -> subprocess.CompletedProcess[str]:
    settings = {
        "LANGFUSE_BASE_URL": url, "LANGFUSE_PUBLIC_KEY": "pk-lf-1", "LANGFUSE_SECRET_KEY": "sk-lf-1",
        "LANGFUSE_TIMEOUT": "3600", "PYTHONPATH": str(ROOT),
    }  # fmt: skip
    left_out = ("LANGFUSE_", "OTEL_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(left_out)} | settings
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM, how], env=environment, capture_output=True, text=True, timeout=90
    )


@pytest.fixture
def server() -> OtlpServer:
    return OtlpServer()


def address(wrong: str, server: OtlpServer) -> str:
    if wrong in get_args(Mode):
        server.mode = wrong  # type: ignore[assignment]
        return server.url
    with_password = refusing_url().replace("http://", "http://user:s3cret@")
    return {"refusing": with_password, "unknown host": "http://langfuse.invalid", "no address": "langfuse"}[wrong]


TOLD_ALIKE = {"unknown host", "no address", "broken"}
"""Told in the same way as others on the list, and each costs a process."""


@pytest.mark.parametrize(
    "wrong", [pytest.param(wrong, marks=[pytest.mark.long] if wrong in TOLD_ALIKE else []) for wrong in LOST]
)
def test_the_run_goes_on_and_one_line_tells(server: OtlpServer, wrong: str) -> None:
    with server:
        url = address(wrong, server)
        done = run_process(url, "close")
        words = LOST[wrong]
        report, line = done.stdout.splitlines()
        assert report == "a report in words"
        assert line.startswith(f"Tracing was lost: Langfuse at {url.replace('user:s3cret@', '')} {words}")
        assert line.endswith("; 13 of 13 observations were not accepted.")
        assert (done.stderr, done.returncode) == ("", 0)


@pytest.mark.parametrize(
    ("how", "wrong", "status"), [("nothing", "hanging", 0), ("exit", "unauthorized", 7), ("crash", "hanging", -2)]
)
def test_a_program_that_does_not_close_ends_all_the_same(server: OtlpServer, how: str, wrong: str, status: int) -> None:
    with server:
        done = run_process(address(wrong, server), how)
        assert done.stdout == "a report in words\n"
        lines = [line for line in done.stderr.splitlines() if "racing was lost" in line]
        assert len(lines) == 1
        assert LOST[wrong] in lines[0]
        assert how == "crash" or done.stderr.splitlines() == lines
        assert done.returncode == status


@pytest.mark.parametrize(("mode", "how"), [("slow", "close"), ("slow", "nothing"), ("ok", "exit")])
def test_nothing_is_lost_when_langfuse_answers_in_time(server: OtlpServer, mode: Mode, how: str) -> None:
    server.mode = mode
    with server:
        done = run_process(server.url, how)
        assert done.stdout.splitlines()[1:] == (["None"] if how == "close" else [])
        assert done.stderr == ""
        assert len(server.spans) == 13
