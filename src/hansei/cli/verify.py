"""`hansei verify`: every number of a report, asked again."""

from __future__ import annotations

from dataclasses import replace
from json import loads
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hansei.cli.options import Clickhouse

if TYPE_CHECKING:
    from hansei.contracts import Report
    from hansei.tools.clickhouse import Reader
    from hansei.tools.report.verify import Asked, Verification


def verify(
    report: Annotated[
        Path,
        typer.Argument(
            metavar="REPORT.json",
            help="A report.json that Hansei wrote, a conversation that /save wrote beside it, or the folder of both.",
        ),
    ],
    clickhouse: Clickhouse = None,
    json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")] = False,
) -> int:
    """Run every query of a report or of a saved conversation again, and compare every number.

    Exits with 1 when anything differs, and names it with the value that was written and the value that comes out now.
    Data that arrived or was deleted since counts as a difference: the report no longer says what the tables say.

    \b
    Examples:
      hansei verify hansei-report/report.json
      hansei verify hansei-report/chat.json        the answers that /save wrote in hansei chat
      hansei verify hansei-report                  the report, and all conversations saved beside it
      hansei verify hansei-demo/report/report.json --clickhouse chdb://$PWD/hansei-demo/clickhouse
    """
    from hansei.cli.analysis import make_context
    from hansei.cli.console import open_console
    from hansei.tools.clickhouse import shared_reader
    from hansei.tools.report.files import read_report
    from hansei.tools.report.formats import format_value
    from hansei.tools.report.verify import Verification, verify_report

    talks = _conversations(report)
    written, context = read_report(report.parent if report in talks else report), make_context(clickhouse)
    console = open_console(json_wanted=json)

    def asked(number: int, of: int) -> None:
        console.step("verify", "running", f"{number:,} of {of:,} queries")

    with console:
        console.step("verify", "started", f"Asking every query of {report} again")
        started = perf_counter()
        reader = shared_reader(context, project_id=written.project_id)
        outcome = Verification() if report in talks else verify_report(written, reader, asked)
        for talk in talks:
            _add(outcome, _verify_talk(talk, written, reader, asked), "" if report in talks else f"{talk.name}: ")
        took = format_value(perf_counter() - started, "s")
        console.step("verify", "finished", f"{outcome.queries:,} queries, {outcome.numbers:,} numbers", f"({took})")
    if outcome.differences:
        console.line(f"{len(outcome.differences)} of {outcome.numbers:,} numbers differ.", style="failed")
        console.table(
            ["where", "written", "now"],
            [[item.path, str(item.written), str(item.recomputed)] for item in outcome.differences],
        )
    console.line(f"Ran {outcome.queries:,} queries again and compared {outcome.numbers:,} numbers of {report}.")
    if outcome.ok:
        console.line("Everything is as it was written.", style="ok")
    console.data(
        {
            "ok": outcome.ok,
            "queries": outcome.queries,
            "numbers": outcome.numbers,
            "differences": [
                {"path": item.path, "written": item.written, "recomputed": item.recomputed}
                for item in outcome.differences
            ],
        }
    )
    return 0 if outcome.ok else 1


def _conversations(path: Path) -> list[Path]:
    """The file itself if it is a saved conversation; of a folder, all that are in it."""
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    return [file for file in files if file.name != "report.json" and "answers" in _plain(file)]


def _plain(file: Path) -> dict[str, Any]:
    """What a file holds; nothing where that is no JSON object: then it is told as a report that cannot be read."""
    try:
        plain = loads(file.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return plain if isinstance(plain, dict) else {}


def _verify_talk(file: Path, report: Report, reader: Reader, asked: Asked) -> Verification:
    from hansei.tools.conversation.verifying import read_answers, verify_answers

    answers, broken = read_answers(_plain(file), report)
    outcome = verify_answers(answers, report, reader, asked)
    # A value that is found to differ says more than that its answer was edited.
    found = {item.path.partition(".")[0] for item in outcome.differences}
    outcome.differences += [item for item in broken if item.path not in found]
    return outcome


def _add(whole: Verification, part: Verification, name: str) -> None:
    whole.queries += part.queries
    whole.numbers += part.numbers
    whole.differences += [replace(item, path=f"{name}{item.path}") for item in part.differences]
