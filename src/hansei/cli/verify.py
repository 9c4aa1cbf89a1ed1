"""`hansei verify`: every number of a report, asked again."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import Annotated

import typer


def verify(
    report: Annotated[Path, typer.Argument(metavar="REPORT.json", help="A report.json that Hansei wrote.")],
    clickhouse: Annotated[
        str | None, typer.Option(metavar="URL", help="Where Langfuse's tables are. Default: HANSEI_CLICKHOUSE_URL.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")] = False,
) -> int:
    """Run every query of a report again, and compare every number.

    Exits with 1 when anything differs, and names it with the value that was written and the value that comes out now.
    Data that arrived or was deleted since counts as a difference: the report no longer says what the tables say.

    \b
    Examples:
      hansei verify hansei-report/report.json
      hansei verify hansei-demo/report/report.json --clickhouse chdb://$PWD/hansei-demo/clickhouse
    """
    from hansei.cli.analysis import make_context
    from hansei.cli.console import open_console
    from hansei.tools.clickhouse import shared_reader
    from hansei.tools.report.files import read_report
    from hansei.tools.report.formats import format_value
    from hansei.tools.report.verify import verify_report

    written, context = read_report(report), make_context(clickhouse)
    console = open_console(json_wanted=json)

    def asked(number: int, of: int) -> None:
        console.step("verify", "running", f"{number:,} of {of:,} queries")

    with console:
        console.step("verify", "started", f"Asking every query of {report} again")
        started = perf_counter()
        outcome = verify_report(written, shared_reader(context, project_id=written.project_id), asked)
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
