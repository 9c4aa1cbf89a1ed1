"""`hansei analyze`: from a project's traces to a report."""

from __future__ import annotations

from json import loads
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hansei.cli.bounds import MaxCalls, MaxCost, MaxQuestions, MaxSeconds, MaxTokens, model_bounds
from hansei.cli.options import (
    Baseline,
    Clickhouse,
    Environments,
    FailOn,
    Language,
    NoModel,
    Project,
    Quiet,
    Span,
    Until,
    named_project,
)
from hansei.errors import UsageError

if TYPE_CHECKING:
    from hansei.contracts import Report, Severity

DEFAULT_OUT = Path("hansei-report")
DEFAULT_OUT_OF_MANY = Path("hansei-reports")


def analyze(
    clickhouse: Clickhouse = None,
    project: Project = None,
    projects: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Many projects: one id a line, or .csv or .json with options of their own."),
    ] = None,
    window: Span = "7d",
    baseline: Baseline = None,
    until: Until = None,
    question: Annotated[
        str | None, typer.Option(metavar="TEXT", help="What you want to know. Default: the full tour.")
    ] = None,
    environment: Environments = None,
    language: Language = "en",
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Where to write. Default: hansei-report (with --json: nowhere); with --projects: hansei-reports.",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Language model that helps: it plans, doubts and words. Default: HANSEI_MODEL."
        ),
    ] = None,
    no_llm: NoModel = False,
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Ask the model again what it was asked before; keep no answers.")
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Say what the model would be asked and what it may cost; ask it nothing."),
    ] = False,
    max_tokens: MaxTokens = None,
    max_cost: MaxCost = None,
    max_calls: MaxCalls = None,
    max_seconds: MaxSeconds = None,
    max_questions: MaxQuestions = None,
    ledger: Annotated[
        str | None,
        typer.Option(
            metavar="PATH|URL",
            help="Where findings are kept from run to run. Default: HANSEI_LEDGER, else hansei-ledger.sqlite beside"
            " the report's folder (with --json alone: nowhere).",
        ),
    ] = None,
    no_ledger: Annotated[bool, typer.Option("--no-ledger", help="Keep nothing from run to run.")] = False,
    fail_on: FailOn = None,
    parallel: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, max=64, help="With --projects: how many at a time. Default: 4; 1 when embedded."
        ),
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="With --projects: analyse those too that are done with the same options.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print report.json to stdout, and nothing else.")] = False,
    quiet: Quiet = False,
) -> int:
    """Find what goes wrong in a project, check it, and write the report.

    The window is compared with the baseline just before it. report.json, report.md and report.html are written, and a
    summary is printed.

    With --projects each project gets a folder, and index.html and index.md tell and link them all. A project that
    cannot be done does not hurt the others. Run again, it goes on: finished projects with the same options are kept.
    Exits with 2 when a project could not be done, else with 1 when --fail-on is met in any, else with 0. A CSV file
    has the headings project, window, baseline, until, question, environment (separated by ;) and language; a JSON file
    is a list of ids or of objects with these keys.

    \b
    Examples:
      hansei analyze --clickhouse clickhouse://reader:secret@localhost:8123/default --project my-project
      hansei analyze --window 24h --baseline 7d --environment production
      hansei analyze --until 2026-11-20 --out reports/2026-11-20 --language ja
      hansei analyze --fail-on high --quiet || echo "look at hansei-report/report.md"
      hansei analyze --dry-run --model gpt-5-mini --max-tokens 200000
      hansei analyze --json | jq '.findings[].title'
      hansei analyze --projects projects.txt --out reports/2026-11-20
    """
    from hansei.cli.analysis import make_context, make_request, run_analysis
    from hansei.cli.batch import analyze_projects
    from hansei.cli.console import open_console
    from hansei.cli.estimate import tell_estimate
    from hansei.cli.first_screen import tell_report
    from hansei.cli.ledger import default_ledger
    from hansei.cli.projects import read_projects
    from hansei.tools.report.files import render_json, write_report

    if dry_run and projects is not None:
        raise UsageError("--dry-run is for one project.", "Give --project ID in place of --projects.")
    if ledger is not None and no_ledger:
        raise UsageError("--ledger and --no-ledger are both given.", "Give one of them.")
    many = projects is not None
    folder = out or (DEFAULT_OUT_OF_MANY if many else None if json else DEFAULT_OUT)
    # With many projects the ledger lies among their folders, which is beside each report's.
    beside = folder / DEFAULT_OUT if folder and many else folder
    kept_in = None if no_ledger else ledger or default_ledger(beside)
    bounds = model_bounds(max_tokens, max_cost, max_calls, max_seconds, max_questions)
    settings: dict[str, Any] = {
        "model": model, "no_llm": no_llm, "no_cache": no_cache, "bounds": bounds, "ledger": kept_in,
    }  # fmt: skip
    if projects is not None:
        if project is not None:
            raise UsageError("--project and --projects are both given.", "Give one of them.")
        requests = read_projects(
            projects, window=window, baseline=baseline, until=until, question=question,
            environments=environment or [], language=language,
        )  # fmt: skip
        return analyze_projects(
            requests, make_context(clickhouse, **settings),
            open_console(json_wanted=json, quiet=quiet), out or DEFAULT_OUT_OF_MANY, at_once=parallel, again=again,
            fail_on=fail_on,
        )  # fmt: skip
    project_id = named_project(project)
    context = make_context(clickhouse, **settings)
    request = make_request(
        project_id=project_id,
        window=window,
        baseline=baseline,
        until=until,
        question=question,
        environments=environment or [],
        language=language,
    )
    console = open_console(json_wanted=json, quiet=quiet)
    if dry_run:
        return tell_estimate(request, context, console)
    report = run_analysis(request, context, console)

    files = write_report(report, folder) if folder else {}
    tell_report(console, report, list(files.values()))
    console.data(loads(render_json(report)))
    return 1 if fail_on is not None and is_met(report, fail_on) else 0


def is_met(report: Report, threshold: Severity) -> bool:
    """True when a confirmed finding that needs work is as bad as the threshold, or worse."""
    from hansei.contracts import SEVERITIES
    from hansei.tools.ledger.identity import muted_in

    bad_enough = SEVERITIES[: SEVERITIES.index(threshold) + 1]
    muted = muted_in(report)
    return any(f.direction != "improvement" and f.severity in bad_enough and f.id not in muted for f in report.findings)
