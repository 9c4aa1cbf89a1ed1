"""Exit codes, and the one line that says what to do when something cannot be done."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import hansei
from hansei.cli.app import run

SECRET = "correct-horse-battery"
SETTINGS = ("HANSEI_CLICKHOUSE_URL", "HANSEI_PROJECT_ID", "LANGFUSE_PUBLIC_KEY", "LANGFUSE_SECRET_KEY")


@pytest.fixture(autouse=True)
def _empty_desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working directory without .env, and an environment without settings."""
    monkeypatch.chdir(tmp_path)
    for name in SETTINGS:
        # Set first, so that what a command reads from .env is undone as well.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def call(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hansei", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | environment, check=False)


def said(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line on stderr, when there is nothing else."""
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("hansei: ")
    assert err.count("\n") == 1
    return err.removeprefix("hansei: ").strip()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["bogus"], "No such command 'bogus'. See hansei --help."),
        (["analyze", "--bogus"], "No such option: --bogus"),
        (["analyze", "--window"], "Option '--window' requires an argument. See hansei analyze --help."),
        (["analyze", "extra"], "Got unexpected extra argument(s) (extra). See hansei analyze --help."),
        (["analyze", "--language", "fr"], "'fr' is not one of 'en', 'ja'"),
        (["analyze", "--fail-on", "severe"], "'severe' is not one of 'critical', 'high', 'medium', 'low'"),
        (["demo", "--schema", "v5"], "'v5' is not one of 'v3', 'v4'"),
        (["demo", "--traces", "many"], "Invalid value for '--traces'"),
        (["verify"], "Missing argument 'REPORT.json'. See hansei verify --help."),
        (["analyze"], "No project is named. Give --project ID, or set HANSEI_PROJECT_ID."),
        (["analyze", "--project", "p"], "No ClickHouse is named. Give --clickhouse"),
        (["doctor"], "No ClickHouse is named. Give --clickhouse"),
    ],
)
def test_wrong_usage_is_one_line_and_two(arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 2
    assert line in said(capsys)


@pytest.mark.parametrize(
    ("option", "value", "line"),
    [
        ("--window", "7x", "“7x” is not a duration. Write a number and a unit, such as 24h, 7d or 2w."),
        ("--window", "0d", "“0d” is not a duration."),
        ("--baseline", "\x1b[31m", "“\\x1b[31m” is not a duration."),
        ("--until", "yesterday", "“yesterday” is not a date or time. Write ISO 8601"),
        ("--question", "x" * 2001, "--question: String should have at most 2000 characters."),
        ("--project", "p" * 201, "--project: String should have at most 200 characters."),
    ],
)
def test_a_request_that_makes_no_sense_is_one_line_and_two(
    option: str, value: str, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["analyze", "--clickhouse", "chdb://", "--project", "p", option, value]) == 2
    assert line in said(capsys)


@pytest.mark.parametrize(
    "url",
    [
        f"postgres://me:{SECRET}@localhost/db",
        f"clickhouse://me:{SECRET}@127.0.0.1:notaport/db",
        f"clickhouse://me:{SECRET}@127.0.0.1:1/db",
        f"{SECRET}",
    ],
)
@pytest.mark.parametrize("command", [["analyze", "--project", "p"], ["doctor"]])
def test_a_connection_that_fails_shows_no_password(
    command: list[str], url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*command, "--clickhouse", url]) == 2
    out, err = capsys.readouterr()
    assert SECRET not in out + err
    assert "Traceback" not in out + err
    assert out + err


def test_without_a_command_the_help_is_shown_and_a_script_notices(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 2
    assert "Start here:" in capsys.readouterr().out


def test_help_and_version_are_done(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ([], ["demo"], ["doctor"], ["analyze"], ["verify"]):
        assert run([*command, "--help"]) == 0
        text = capsys.readouterr().out
        assert "Examples:" in text or "Start here:" in text
        assert re.search(r"^    hansei ", text, re.MULTILINE)
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"hansei {hansei.__version__}\n"


def test_the_command_and_the_module_are_the_same() -> None:
    script = Path(sys.executable).with_name("hansei")
    by_name = subprocess.run([script, "--help"], capture_output=True, text=True, check=True)
    assert by_name.stdout == call("--help").stdout


def test_settings_come_from_the_env_file_and_the_environment_wins(capsys: pytest.CaptureFixture[str]) -> None:
    Path(".env").write_text("HANSEI_CLICKHOUSE_URL=http://from.file\nHANSEI_PROJECT_ID=p\n", encoding="utf-8")
    assert run(["analyze"]) == 2
    assert "The ClickHouse URL begins with http://. Write clickhouse:// instead." in said(capsys)

    os.environ["HANSEI_CLICKHOUSE_URL"] = "https://from.environment"
    assert run(["analyze"]) == 2
    assert "The ClickHouse URL begins with https://. Write clickhouses:// instead." in said(capsys)


def test_an_env_file_that_cannot_be_read_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    Path(".env").write_bytes(b"HANSEI_PROJECT_ID=\xff\xfe\n")
    assert run(["doctor"]) == 2
    assert said(capsys) == "The file .env cannot be read: it is not UTF-8 text. Repair it, or move it away."


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (None, "There is no file report.json."),
        ("not json", "report.json is not JSON."),
        ("{}", "report.json is not a report: it has no schema_version."),
    ],
)
def test_a_file_that_is_no_report_cannot_be_verified(
    content: str | None, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        Path("report.json").write_text(content, encoding="utf-8")
    assert run(["verify", "report.json", "--clickhouse", "chdb://"]) == 2
    assert line in said(capsys)


def test_the_demo_writes_over_nothing_that_it_did_not_make(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    precious = tmp_path / "mine" / "precious.txt"
    precious.parent.mkdir()
    precious.write_text("keep", encoding="utf-8")
    assert run(["demo", "--out", str(precious.parent)]) == 2
    assert said(capsys).endswith(
        "mine exists and was not made by hansei demo. Name another directory with --out, or remove it."
    )
    assert [precious] == list(precious.parent.iterdir())
    assert run(["demo", "--out", str(precious)]) == 2
    assert "was not made by hansei demo" in said(capsys)
    assert precious.read_text(encoding="utf-8") == "keep"


def test_an_interrupted_run_says_so_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        command = [sys.executable, "-m", "hansei", "doctor", "--clickhouse", f"clickhouse://127.0.0.1:{port}/default"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            client, _ = server.accept()  # now it waits for an answer that never comes
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
            client.close()
    assert (process.returncode, out, err) == (130, "", "hansei: interrupted.\n")


def test_a_bug_keeps_its_traceback_and_shows_no_password() -> None:
    code = f"""
from hansei.cli.app import app, main
@app.command()
def broken():
    password = "{SECRET[:8]}" + "{SECRET[8:]}"
    raise ZeroDivisionError(len(password))
main()
"""
    done = subprocess.run([sys.executable, "-c", code, "broken"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "ZeroDivisionError" in done.stderr
    assert SECRET not in done.stderr


def test_a_terminal_without_the_characters_does_not_end_a_run() -> None:
    done = call("analyze", "--clickhouse", "chdb://", "--project", "p", "--window", "é", PYTHONIOENCODING="ascii")
    assert done.returncode == 2
    assert done.stderr.startswith("hansei: \\u201c\\xe9\\u201d is not a duration.")
