"""`hansei cycle`: analyse, evaluate, remember, report, and propose what to write; one command, made for cron."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hansei.cli.bounds import MaxCost, MaxSeconds, MaxTokens, MostWaiting, model_bounds
from hansei.cli.options import (
    Baseline,
    Clickhouse,
    Criteria,
    Environments,
    FailOn,
    Feedback,
    Language,
    NoModel,
    Project,
    Quiet,
    Span,
    Traces,
    Until,
    named_project,
    named_queue,
)

DEFAULT_OUT = Path("hansei-cycle")


def cycle(
    clickhouse: Clickhouse = None,
    project: Project = None,
    window: Span = "7d",
    baseline: Baseline = None,
    until: Until = None,
    environment: Environments = None,
    language: Language = "en",
    criteria: Criteria = None,
    traces: Traces = None,
    feedback: Feedback = None,
    queue: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Propose what people should label next for this annotation queue."),
    ] = None,
    most_waiting: MostWaiting = None,
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="The cycles' folder: one folder in it for each, and the ledger.")
    ] = DEFAULT_OUT,
    ledger: Annotated[
        str | None,
        typer.Option(metavar="PATH|URL", help="Where findings are kept. Default: HANSEI_LEDGER, else a file in --out."),
    ] = None,
    model: Annotated[
        str | None, typer.Option(metavar="NAME", help="Language model that helps and judges. Default: HANSEI_MODEL.")
    ] = None,
    no_llm: NoModel = False,
    max_tokens: MaxTokens = None,
    max_cost: MaxCost = None,
    max_seconds: MaxSeconds = None,
    fail_on: FailOn = None,
    yes: Annotated[bool, typer.Option("--yes", help="Write what is proposed to Langfuse, without asking.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document to stdout, and nothing else.")] = False,
    quiet: Quiet = False,
) -> int:
    """Analyse a project, judge its traces within a budget, remember the findings, write the report, propose writes.

    Each cycle gets a folder in --out with the report, the evaluation of the same window, whose judges the report tells
    with how far they can be believed, and the writes that are proposed: scores, and with --queue traces to label.
    Nothing is written to Langfuse without --yes; hansei write FOLDER does it later, hansei undo FOLDER takes it back.

    A cycle that was cut off is gone on with by the same command: what is analysed is not analysed again, no trace is
    judged twice, nothing is written twice. What an earlier cycle was allowed to write and could not is written first.
    Without a model, rules and checks do all of it. --max-tokens and --max-usd bound the report and judging together;
    --max-seconds bounds the wait of each. With --queue it is looked at how many traces wait there before more are
    proposed.

    Exits with 2 when something could not be done, else with 1 when --fail-on is met, else with 0.

    \b
    Examples:
      hansei cycle --clickhouse URL --project my-project --criteria criteria.yaml --max-usd 2
      hansei cycle --quiet --yes --fail-on high || echo "look at hansei-cycle"
    """
    from hansei.cli.analysis import make_context, make_request
    from hansei.cli.analyze import is_met
    from hansei.cli.console import open_console
    from hansei.cli.cycle_run import Wanted, run_cycle
    from hansei.cli.ledger import default_ledger
    from hansei.tools.evaluation.criteria import read_criteria
    from hansei.tools.evaluation.labels import rule_of_feedback

    project_id = named_project(project)
    if feedback is not None:
        rule_of_feedback(feedback)  # before the analysis, not after it
    kept_in = ledger or default_ledger(out / "cycle")
    bounds = model_bounds(max_tokens, max_cost, seconds=max_seconds)
    context = make_context(clickhouse, model=model, no_llm=no_llm, bounds=bounds, ledger=kept_in)
    request = make_request(
        project_id=project_id, window=window, baseline=baseline, until=until, environments=environment or [],
        language=language,
    )  # fmt: skip
    wanted = Wanted(
        request=request, criteria=read_criteria(criteria) if criteria else [], traces=traces, feedback=feedback,
        queue=named_queue(queue), most_waiting=most_waiting,
    )  # fmt: skip
    code, report = run_cycle(wanted, context, open_console(json_wanted=json, quiet=quiet), out, yes=yes)
    return code or int(fail_on is not None and is_met(report, fail_on))
