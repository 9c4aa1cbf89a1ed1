"""The `hansei` command: what all commands share, and how an outcome becomes an exit code.

    0    done
    1    the check failed: verify found a difference, --fail-on met a finding
    2    could not be done: one line on stderr says what happened and what to do
    130  interrupted

Only typer is imported here. Each command imports what it works with when it runs, so that `--help` answers at once.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer
from typer.exceptions import TyperException

from hansei import __version__
from hansei.cli.analyze import analyze
from hansei.cli.cases import make_tests
from hansei.cli.chat import chat
from hansei.cli.console import one_line
from hansei.cli.cycle import cycle
from hansei.cli.demo import demo
from hansei.cli.doctor import doctor
from hansei.cli.evaluate import evaluate
from hansei.cli.gate import gate
from hansei.cli.importing import import_project
from hansei.cli.ledger import ledger
from hansei.cli.prompts import prompts
from hansei.cli.render import render
from hansei.cli.verify import verify
from hansei.cli.writes import undo, write
from hansei.errors import HanseiError, UsageError

DONE, CHECK_FAILED, NOT_DONE, INTERRUPTED = 0, 1, 2, 130

# Plain help keeps the examples as they are written. Pretty exceptions would print local variables, and with them a
# password.
app = typer.Typer(
    name="hansei",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(short_help="Make sample data and a report on it.")(demo)
app.command(short_help="Check that all is there for an analysis.")(doctor)
app.command(short_help="Find what goes wrong, write a report.")(analyze)
app.command(short_help="Ask questions on a finished report.")(chat)
app.command(short_help="Ask every number of a report again.")(verify)
app.command(short_help="Write a report's forms again from its JSON.")(render)
app.command("import", short_help="Bring a project here without access to its ClickHouse.")(import_project)
app.command(short_help="Judge traces by criteria.")(evaluate)
app.command(short_help="All of it in one command, for cron.")(cycle)
app.command("tests", short_help="Make tests out of a finding's traces.")(make_tests)
app.command(short_help="Compare two runs over a dataset, for CI.")(gate)
app.command(short_help="Write to Langfuse what a run has planned.")(write)
app.command(short_help="Remove from Langfuse what a run wrote.")(undo)
app.add_typer(prompts, name="prompts", short_help="What the model is told, managed in Langfuse.")
app.add_typer(ledger, name="ledger", short_help="What became of earlier findings.")


@app.callback(invoke_without_command=True)
def hansei(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.", is_eager=True)] = False,
) -> None:
    """Find out what goes wrong in your LLM application, from Langfuse's traces in ClickHouse.

    Hansei reads traces, observations and scores, compares a window of time with the one before it, checks each finding
    with a second query, and writes a report of what to improve first. ClickHouse is only ever read. No key is needed.

    \b
    Start here:
      hansei demo                                sample data and its report, nothing needed
      hansei doctor --clickhouse URL             is everything there to analyse your own data?
      hansei analyze --clickhouse URL --project ID
      hansei verify hansei-report/report.json    ask every number again

    \b
    URL is one of:
      clickhouse://user:password@host:8123/database     ClickHouse over HTTP
      clickhouses://user:password@host:8443/database    over HTTPS, ClickHouse Cloud
      chdb:///absolute/directory?database=default       embedded

    Instead of options you may set HANSEI_CLICKHOUSE_URL and HANSEI_PROJECT_ID; a .env file in the working directory is
    read. Exit codes: 0 done, 1 the check failed, 2 could not be done, 130 interrupted.
    """
    if version:
        print(f"hansei {__version__}")
        raise typer.Exit(DONE)
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(NOT_DONE)
    _read_env_file(Path.cwd() / ".env")


def _read_env_file(path: Path) -> None:
    """Takes settings from a .env file; what is already set in the environment wins."""
    from dotenv import load_dotenv

    try:
        load_dotenv(path, override=False)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UsageError(f"The file .env cannot be read: {reason}.", "Repair it, or move it away.") from error


def run(arguments: Sequence[str]) -> int:
    """Runs one command and returns its exit code.

    What is expected to go wrong becomes one line on stderr; a bug keeps its traceback.
    """
    try:
        outcome = app(args=list(arguments), prog_name="hansei", standalone_mode=False)
    except HanseiError as error:
        return _say(NOT_DONE, f"{error.message} {error.remedy}")
    except TyperException as error:
        return _say(NOT_DONE, f"{error.format_message().rstrip('.')}. See hansei {_command(arguments)}--help.")
    except KeyboardInterrupt:
        outcome = INTERRUPTED
    if outcome == INTERRUPTED:
        return _say(INTERRUPTED, "interrupted.")
    return int(outcome or DONE)


def _command(arguments: Sequence[str]) -> str:
    names = {command.callback.__name__ for command in app.registered_commands if command.callback}
    names |= {group.name for group in app.registered_groups if group.name}
    return f"{arguments[0]} " if arguments and arguments[0] in names else ""


def _say(code: int, text: str) -> int:
    _said.set()
    print(f"hansei: {one_line(text)}", file=sys.stderr)
    return code


LEAVING_SECONDS = 3.0
"""How long an interrupted run may take to wind up: queries that are under way are waited for, and may never answer."""


def _interrupted(signal_number: int, frame: FrameType | None) -> None:
    """On Ctrl-C: ends the run in good order, and after `LEAVING_SECONDS`, or on a second Ctrl-C, in any."""
    signal.signal(signal.SIGINT, _leave)
    timer = threading.Timer(LEAVING_SECONDS, _leave)
    timer.daemon = True
    timer.start()
    threading.Thread(target=_cancel_queries, daemon=True).start()
    raise KeyboardInterrupt


def _cancel_queries() -> None:
    """Ends what other threads have under way in ClickHouse; their steps are waited for."""
    clickhouse = sys.modules.get("hansei.tools.clickhouse")
    if clickhouse is not None:
        clickhouse.cancel_queries(for_good=True)


def _leave(*_: object) -> None:
    # Reports are put in place by renaming whole files, so there is nothing half done.
    if sys.stderr.isatty():
        sys.stderr.write("\x1b[?25h\n")  # the live progress hides the cursor
    if not _said.is_set():
        _say(INTERRUPTED, "interrupted.")
    sys.stderr.flush()
    os._exit(INTERRUPTED)


_said = threading.Event()


def main() -> None:
    """Entry point of `hansei`: runs the command that the process was called with, and exits with its code."""
    signal.signal(signal.SIGINT, _interrupted)
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a character must not end a run.
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
    sys.exit(run(sys.argv[1:]))
