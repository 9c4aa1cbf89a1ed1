"""`hansei tests`: the traces of a finding as tests, in a pytest file or in a Langfuse dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hansei.cli.options import Clickhouse
from hansei.errors import UsageError


def make_tests(
    report: Annotated[Path, typer.Argument(metavar="REPORT.json", help="A report.json that Hansei wrote.")],
    finding: Annotated[str, typer.Option(metavar="ID", help="The finding, by its id or the beginning of it.")],
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The pytest file, or the folder that it is written into.")
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(metavar="NAME", help="Plan the cases as a Langfuse dataset of that name.")
    ] = None,
    failing: Annotated[int, typer.Option(metavar="N", min=1, max=500, help="Failing traces at most.")] = 20,
    passing: Annotated[int, typer.Option(metavar="N", min=0, max=100, help="Passing traces to add.")] = 5,
    unmasked: Annotated[
        bool, typer.Option("--unmasked", help="Keep personal data and secrets as the traces have them.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Write the dataset without asking.")] = False,
    clickhouse: Clickhouse = None,
    json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")] = False,
) -> int:
    """Make tests out of a finding: traces in which it happened, and passing ones of its segment.

    With --out, a pytest file that calls your application (HANSEI_APPLICATION=package.module:function) with what was
    asked. With --dataset, items of a Langfuse dataset: shown first, written when you agree, undone by `hansei undo`;
    `hansei gate` compares the runs over it later. Personal data and secrets are masked.

    \b
    Examples:
      hansei tests hansei-report/report.json --finding ID --out tests/
      hansei tests hansei-report/report.json --finding ID --dataset refund-failures
    """
    from hansei.cli.analysis import make_context
    from hansei.cli.console import open_console
    from hansei.cli.writes import write_journal
    from hansei.tools.cases import collect_cases, dataset_writes, pytest_text
    from hansei.tools.cases.collect import find_finding
    from hansei.tools.cases.pytest_file import file_name
    from hansei.tools.clickhouse import parse_url, shared_reader
    from hansei.tools.report.files import read_report, write_texts
    from hansei.tools.writeback import open_journal

    if out is None and dataset is None:
        raise UsageError("Nothing is to be made.", "Give --out for a pytest file, --dataset for a Langfuse dataset.")
    written, context = read_report(report), make_context(clickhouse)
    wanted = find_finding(written, finding)
    console = open_console(json_wanted=json and dataset is None)
    url = context.clickhouse_url
    if url is None:
        raise UsageError("No ClickHouse is named.", "Give --clickhouse, or set HANSEI_CLICKHOUSE_URL.")
    with console:
        reader = shared_reader(context, project_id=written.project_id)
        database = parse_url(url).database
        cases = collect_cases(
            reader, database, written, wanted, failing=failing, passing=passing, masked=not unmasked
        )  # fmt: skip
        failing = sum(case.outcome == "failing" for case in cases)
        console.line(f"{failing} failing and {len(cases) - failing} passing traces of {wanted.id}.")
        file: Path | None = None
        if out is not None:
            file = out if out.suffix == ".py" else out / file_name(wanted)
            write_texts({file.name: pytest_text(written, wanted, cases)}, file.parent)
            console.line(f"Wrote {file}", style="ok")
    if dataset is None:
        console.data({"file": str(file), "failing": failing, "passing": len(cases) - failing})
        return 0
    run_id = f"tests-{written.run.id}-{wanted.id}"
    console = open_console(json_wanted=json)
    with console, open_journal(report.parent / run_id, run_id=run_id, project_id=written.project_id) as journal:
        journal.plan(dataset_writes(written, wanted, cases, dataset, run_id))
        code = write_journal(console, journal, yes=yes)
        console.line(f"The plan is kept in {journal.path.parent}.")
        return code
