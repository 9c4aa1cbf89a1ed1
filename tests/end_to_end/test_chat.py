"""`hansei chat` in processes of its own: piped, at a terminal, killed in the middle."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import selectors
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.support.cli import clean_environment, hansei_here
from tests.support.job import fill
from tests.support.langfuse_api import LangfuseServer
from tests.support.langfuse_state import State
from tests.support.world import END, PROJECT, Visit, make_world


def faults(visit: Visit) -> None:
    visit.input, visit.output = f"Where is order {visit.at:%H%M}?", "It is on its way."
    if visit.app == "support" and visit.day >= 2 and visit.random.random() < 0.25:
        visit.steps[1].level, visit.steps[1].status, visit.steps[1].output = "ERROR", "timeout", ""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """Where the data is, and a folder with a report on it. Nobody holds the embedded ClickHouse open."""
    folder = tmp_path_factory.mktemp("chat")
    url = f"chdb://{folder / 'clickhouse'}"
    fill(url, "v4", make_world(faults, per_day=40))
    report = folder / "report"
    done = hansei_here(
        folder, "analyze", "--clickhouse", url, "--project", PROJECT, "--until", END.isoformat(), "--out", str(report)
    )
    assert done.returncode == 0, done.stderr
    return url, report


def piped(place: tuple[str, Path], *lines: str) -> subprocess.CompletedProcess[str]:
    url, report = place
    return subprocess.run(
        [sys.executable, "-m", "hansei", "chat", str(report)],
        input="\n".join(lines) + "\n",
        env=clean_environment(HANSEI_CLICKHOUSE_URL=url),
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_pipe_asks_and_the_next_process_goes_on(place: tuple[str, Path]) -> None:
    first = piped(place, "tell me about the error finding", "show me two of those", "/sql", "/help")
    assert first.returncode == 0, first.stderr
    assert "fail" in first.stdout
    assert "LIMIT 2" in first.stdout
    assert "/save" in first.stdout
    assert "\x1b" not in first.stdout
    again = piped(place, "the second one", "/save talk", "/sql 99")
    assert "lookup_order" in again.stdout
    saved = json.loads((place[1] / "talk.json").read_text("utf-8"))
    assert [one["number"] for one in saved["answers"]] == [1, 2, 3]
    assert saved["answers"][1]["evidence"][0]["result_hash"]
    assert "## 1. tell me about the error finding" in (place[1] / "talk.md").read_text("utf-8")
    # Only the last checkpoint of a conversation is kept: each holds the whole report.
    with sqlite3.connect(place[1] / "chat.sqlite") as threads:
        assert threads.execute("SELECT count() FROM checkpoints").fetchone() == (1,)


def test_each_number_of_a_saved_conversation_is_asked_again(place: tuple[str, Path]) -> None:
    url, report = place
    assert piped(place, "error rate by app", "which findings are there?", "bananas", "/save kept").returncode == 0
    file = report / "kept.json"
    done = hansei_here(report, "verify", str(file), "--clickhouse", url)
    assert done.returncode == 0, done.stdout
    saved = json.loads(file.read_text("utf-8"))
    asked = next(i for i, one in enumerate(saved["answers"]) if one["question"] == "error rate by app")
    assert f"Ran {sum(len(one['evidence']) for one in saved['answers'])} queries" in done.stdout
    table = saved["answers"][asked]["table"]["rows"]
    table[0][1] = re.sub(r"\d", lambda digit: str((int(digit[0]) + 1) % 10), table[0][1], count=1)
    file.write_text(json.dumps(saved), "utf-8")
    changed = hansei_here(report, "verify", str(file), "--clickhouse", url, "--json")
    assert changed.returncode == 1
    assert f"answers[{asked}].table.rows[0][1]" in [item["path"] for item in json.loads(changed.stdout)["differences"]]
    file.unlink()


@pytest.mark.parametrize("line", ["/save ../elsewhere", "/save report", "/nonsense", "/trace", "/sql 99"])
def test_a_command_that_cannot_be_done_is_told_and_gives_exit_code_2(
    place: tuple[str, Path], line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, report = place
    before = {file: file.read_bytes() for file in place[1].glob("report.*")}
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{line}\n"))
    done = hansei_here(report.parent, "chat", str(report), HANSEI_CLICKHOUSE_URL=url)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert {file: file.read_bytes() for file in place[1].glob("report.*")} == before


def test_what_cannot_begin_is_told_in_one_line(place: tuple[str, Path], tmp_path: Path) -> None:
    url, report = place
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    (fresh / "report.json").write_bytes((report / "report.json").read_bytes())
    for arguments in (
        ["chat", str(tmp_path / "nothing"), "--clickhouse", url],
        ["chat", str(tmp_path), "--clickhouse", url],  # neither has a report
        ["chat", str(report)],
        ["chat", str(fresh), "--clickhouse", "clickhouse://me:s3cret@127.0.0.1:1/db"],
    ):
        done = hansei_here(tmp_path, *arguments)
        assert done.returncode == 2
        assert len(done.stderr.strip().splitlines()) == 1
        assert "Traceback" not in done.stderr
        assert "s3cret" not in done.stderr + done.stdout
        no_report = arguments[1] in (str(tmp_path), str(tmp_path / "nothing"))
        assert ("Give the folder that hansei analyze wrote" in done.stderr) == no_report
    (tmp_path / "report.json").write_bytes((report / "report.json").read_bytes())
    (tmp_path / "chat.sqlite").write_text("this is no database, but a text that is long enough to be looked at" * 20)
    done = hansei_here(tmp_path, "chat", str(tmp_path), "--clickhouse", url)
    assert done.returncode == 2
    assert "Move the file away" in done.stderr


def test_the_conversation_survives_kill_9(place: tuple[str, Path]) -> None:
    url, report = place
    before = piped(place, "which findings are there?")
    assert before.returncode == 0
    process = subprocess.Popen(
        [sys.executable, "-m", "hansei", "chat", str(report)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=clean_environment(HANSEI_CLICKHOUSE_URL=url),
        text=True,
    )
    assert process.stdin is not None
    assert process.stderr is not None
    process.stdin.write("what changed on 2026-11-12?\n")
    process.stdin.flush()
    for line in process.stderr:
        if line.startswith("answer: Looking up"):
            break
    process.send_signal(signal.SIGKILL)
    process.communicate()
    after = piped(place, "/save killed")
    assert "A question was not finished" in after.stderr
    answers = json.loads((report / "killed.json").read_text("utf-8"))["answers"]
    assert answers[-1]["question"] == "what changed on 2026-11-12?"
    assert answers[-1]["ask"]["form"] == "day"
    assert answers[-1]["evidence"]


@dataclass
class Terminal:
    """What stands on a terminal of 60 columns, and its keyboard."""

    process: subprocess.Popen[bytes]
    side: int
    ready: selectors.BaseSelector

    def read(self) -> str:
        if not self.ready.select(1):
            return ""
        try:
            part = os.read(self.side, 65_536).decode("utf-8", "replace")
        except OSError:  # the other side is closed: the program has ended
            return ""
        if "\x1b[6n" in part:  # the prompt asks where the cursor is
            os.write(self.side, b"\x1b[1;1R")
        return part

    def shows(self, text: str) -> str:
        """All that it shows until the text is there."""
        seen = ""
        deadline = time.monotonic() + 300
        while text not in seen:
            assert self.process.poll() is None, seen
            assert time.monotonic() < deadline, seen
            seen += self.read()
        return seen

    def leave(self) -> int:
        """Types Ctrl-D until the program ends, since what is typed before the prompt is there is lost."""
        deadline = time.monotonic() + 300
        while self.process.poll() is None:
            assert time.monotonic() < deadline
            os.write(self.side, b"\x04")
            self.read()
        return self.process.returncode


@contextmanager
def chat_at_a_terminal(place: tuple[str, Path], **settings: str) -> Iterator[Terminal]:
    url, report = place
    main, side = pty.openpty()
    environment = clean_environment(HANSEI_CLICKHOUSE_URL=url, TERM="xterm", COLUMNS="60", LINES="40", **settings)
    command = [sys.executable, "-m", "hansei", "chat", str(report)]
    with selectors.DefaultSelector() as ready:
        ready.register(main, selectors.EVENT_READ)
        process = subprocess.Popen(command, stdin=side, stdout=side, stderr=side, env=environment)
        os.close(side)
        try:
            yield Terminal(process, main, ready)
        finally:
            process.kill()  # when a test fails it is still there
            process.wait()
            os.close(main)


def test_at_a_terminal_there_is_a_prompt_a_history_and_a_table_that_fits(place: tuple[str, Path]) -> None:
    with chat_at_a_terminal(place) as terminal:
        terminal.shows("type /help")
        os.write(terminal.side, b"error rate of tool lookup_order by environment\r")
        seen = terminal.shows("You may ask")
        assert terminal.leave() == 0
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen)
    table = [line for line in shown.splitlines() if "production" in line]
    assert table
    assert max(len(line) for line in table[-1:]) <= 60
    history = (place[1] / "chat.history").read_text("utf-8")
    assert "error rate of tool lookup_order by environment" in history


def test_a_dataset_is_shown_and_sent_when_the_person_at_the_terminal_says_so_never_from_a_pipe(
    place: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, report = place
    editor = tmp_path / "editor.py"
    editor.write_text("import json, sys; f = sys.argv[1]; w = json.load(open(f)); json.dump(w[:3], open(f, 'w'))")
    asked = 'make a dataset called "lookups" from the error finding'
    with LangfuseServer(state=State(project_id=PROJECT)) as langfuse:
        monkeypatch.setattr(sys, "stdin", io.StringIO(f"{asked}\ny\nyes\n"))
        done = hansei_here(report.parent, "chat", str(report), HANSEI_CLICKHOUSE_URL=url, **langfuse.settings)
        assert done.returncode == 2
        assert "item of lookups from trace" in done.stdout
        assert "Nothing was written" in done.stdout
        with chat_at_a_terminal(place, EDITOR=f"{sys.executable} {editor}", **langfuse.settings) as terminal:
            terminal.shows("type /help")
            for answer, last in (("n", "Nothing was written"), ("edit", "Write it so?")):
                os.write(terminal.side, asked.encode() + b"\r")
                terminal.shows("[y/N/edit]")
                os.write(terminal.side, answer.encode() + b"\r")
                terminal.shows(last)
                assert not langfuse.state.items
            os.write(terminal.side, b"y\r")
            terminal.shows("Wrote 2 items")
            assert terminal.leave() == 0
        assert len(langfuse.state.items) == 2
        assert list(langfuse.state.datasets) == ["lookups"]
