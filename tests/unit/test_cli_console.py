"""The renderers: the same events and results for a person, a pipe, a machine and nobody."""

from __future__ import annotations

import errno
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from hansei.cli.console import Console, JsonConsole, PlainConsole, SilentConsole, one_line, open_console
from hansei.contracts import Progress

HOSTILE = "fake\x1b[2Jname\nhansei: all is fine\u202e [bold]x[/bold] :smile:"
HARMLESS = "fake\\x1b[2Jname hansei: all is fine\\u202e [bold]x[/bold] :smile:"


def tell_all(console: Console) -> None:
    with console:
        console.progress(Progress(step="connect", status="started", message="Looking for Langfuse's tables"))
        console.progress(Progress(step="connect", status="finished", message="v4", rows_read=1_234_567, seconds=0.25))
        console.progress(Progress(step="analyst", task="error", status="running", message=HOSTILE, rows_read=10))
        console.progress(Progress(step="analyst", task="error", status="failed", message=HOSTILE))
    console.note(HOSTILE)
    console.line(HOSTILE, style="title")
    console.line()
    console.line("  indented")
    console.table(["severity", "finding"], [["critical", HOSTILE], ["low", "short"]])
    console.data({"text": HOSTILE, "number": 1.5})


def test_a_pipe_gets_plain_lines_with_progress_apart_from_results(capsys: pytest.CaptureFixture[str]) -> None:
    tell_all(PlainConsole())
    out, err = capsys.readouterr()
    assert err.splitlines() == [
        "connect: Looking for Langfuse's tables",
        "connect: v4 (1.23 M rows, 250 ms)",
        f"analyst error: {HARMLESS}",
        HARMLESS,
    ]
    assert out.splitlines() == [
        HARMLESS,
        "",
        "  indented",
        "  severity  finding",
        f"  critical  {HARMLESS}",
        "  low       short",
    ]


def test_a_machine_gets_one_document_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    tell_all(JsonConsole())
    out, err = capsys.readouterr()
    assert json.loads(out) == {"text": HOSTILE, "number": 1.5}
    assert out.isascii()
    assert err.splitlines() == [HARMLESS]


def test_nobody_gets_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    tell_all(SilentConsole())
    assert capsys.readouterr() == ("", "")


def test_the_reader_at_hand_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    assert type(open_console(json_wanted=True, quiet=True)) is JsonConsole
    assert type(open_console(quiet=True)) is SilentConsole
    assert type(open_console()) is PlainConsole


def test_a_terminal_gets_colours_and_live_progress_and_obeys_no_text() -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import test_cli_console as t; from hansei.cli.console import *\n"
        "console = open_console(); assert type(console) is TerminalConsole; t.tell_all(console)"
    )
    shown = at_a_terminal(
        [sys.executable, "-c", code, str(Path(__file__).parent)], TERM="xterm-256color", COLUMNS="200"
    )
    assert "connect" in shown
    assert "(1.23 M rows, 250 ms)" in shown
    assert "✓" in shown
    assert "\x1b[2J" not in shown
    assert "\u202e" not in shown
    assert shown.count("[bold]x[/bold] :smile:") >= 3
    assert "\x1b[1;31mcritical" in shown
    assert '"number"' not in shown


def test_a_dumb_terminal_gets_plain_lines() -> None:
    code = "from hansei.cli.console import *; assert type(open_console()) is PlainConsole; open_console().line('plain')"
    assert at_a_terminal([sys.executable, "-c", code], TERM="dumb").strip() == "plain"


def at_a_terminal(command: list[str], **environment: str) -> str:
    """What a command writes when stdout and stderr are a terminal."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=os.environ | environment)
    os.close(theirs)
    shown = b""
    try:
        while chunk := os.read(ours, 65_536):
            shown += chunk
    except OSError as error:
        # This is how Linux reports the end of a terminal.
        if error.errno != errno.EIO:
            raise
    finally:
        os.close(ours)
    assert process.wait() == 0, shown.decode()
    return shown.decode()


def test_one_line_keeps_what_people_write() -> None:
    assert one_line("Ünïcode 日本語 – 18 % ✓") == "Ünïcode 日本語 – 18 % ✓"
    assert one_line(" a\t b\r\n c ") == "a b c"
