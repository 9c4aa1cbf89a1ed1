"""`hansei evaluate`: traces judged by criteria, with what that costs told first and its scores planned for Langfuse."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from hansei.cli.bounds import MaxCost, MaxSeconds, MaxTokens, MostWaiting, model_bounds
from hansei.cli.options import (
    Clickhouse,
    Criteria,
    Environments,
    Feedback,
    NoModel,
    Project,
    Quiet,
    Traces,
    named_project,
    named_queue,
)
from hansei.errors import UsageError

if TYPE_CHECKING:
    from hansei.context import Context, ModelBudget

DEFAULT_OUT = Path("hansei-evaluation")


def evaluate(
    clickhouse: Clickhouse = None,
    project: Project = None,
    criteria: Criteria = None,
    from_langfuse: Annotated[
        bool, typer.Option("--from-langfuse", help="Judge by the project's score configs in Langfuse as well.")
    ] = False,
    discover: Annotated[
        bool, typer.Option("--discover", help="Let the model read traces and propose criteria; you approve them.")
    ] = False,
    traces: Traces = None,
    plan: Annotated[
        Literal["uniform", "stratified", "finding", "sequential"],
        typer.Option(help="How traces are chosen. With --finding: finding."),
    ] = "uniform",
    half_width: Annotated[
        float, typer.Option(metavar="X", help="With --plan sequential: stop when intervals are as narrow as ±X.")
    ] = 0.05,
    by: Annotated[
        str, typer.Option(metavar="NAME", help="With --plan stratified: trace_name, release, outcome, …")
    ] = "trace_name",
    finding: Annotated[
        str | None,
        typer.Option(
            metavar="REPORT#ID",
            help="Only traces in which a finding's metric was bad, and some sound ones: report.json#its-id.",
        ),
    ] = None,
    sound: Annotated[
        float,
        typer.Option(metavar="X", min=0, max=0.5, help="With --finding: the share of the traces that are sound ones."),
    ] = 0.2,
    window: Annotated[
        str | None,
        typer.Option(
            metavar="SPAN", help="Length of the span, such as 24h, 7d or 2w. Default: 7d, with --finding its report's."
        ),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(
            metavar="ISO",
            help="End of the span, ISO 8601, UTC. Default: the newest trace, with --finding its report's end.",
        ),
    ] = None,
    environment: Environments = None,
    feedback: Feedback = None,
    queue: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Plan what people should label next for this annotation queue, as --write."),
    ] = None,
    most_waiting: MostWaiting = None,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Another one draws other traces.")] = 1,
    language: Annotated[Literal["en", "ja"], typer.Option(help="Language of the page.")] = "en",
    out: Annotated[Path, typer.Option(metavar="DIR", help="The run's folder; the same one goes on.")] = DEFAULT_OUT,
    model: Annotated[
        str | None, typer.Option(metavar="NAME", help="Language model that judges. Default: HANSEI_MODEL.")
    ] = None,
    no_llm: NoModel = False,
    max_tokens: MaxTokens = None,
    max_cost: MaxCost = None,
    max_seconds: MaxSeconds = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Say how many calls, tokens and dollars judging would take; judge nothing."),
    ] = False,
    write: Annotated[
        bool, typer.Option("--write", help="Plan the verdicts as scores, show them, and write them if you agree.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Agree to the criteria, the cost and the writing.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print evaluation.json to stdout, and nothing else.")] = False,
    quiet: Quiet = False,
) -> int:
    """Judge traces by criteria: checks that need no model, and a judge for each way to go wrong.

    Without --criteria the checks run. With --discover a model reads traces, proposes criteria and stops: they are in
    criteria.yaml in the run's folder, to be edited, kept in git and given with --criteria. What judging would take is
    told before it is spent, and needs --yes or your answer at the terminal. Every verdict is kept as it comes: the same
    command goes on where it stopped, and no trace is judged twice by the same version of a criterion.

    evaluation.json and evaluation.md are written into the run's folder. With --write the verdicts become scores in
    Langfuse, after a preview; hansei undo takes them back. Shares by a judge are told as uncalibrated unless people's
    scores were held against them: annotations under the criterion's score name, or the feedback that --feedback names.
    With --queue the traces whose labels would tell most go to an annotation queue of Langfuse, shown first as well.

    \b
    Examples:
      hansei evaluate --clickhouse URL --project my-project
      hansei evaluate --discover --model gpt-5-mini
      hansei evaluate --criteria criteria.yaml --dry-run
      hansei evaluate --criteria criteria.yaml --traces 200 --max-usd 2 --yes
      hansei evaluate --criteria criteria.yaml --yes --write
      hansei evaluate --criteria criteria.yaml --queue "to label"
    """
    from json import loads

    from pydantic import ValidationError

    from hansei.cli.console import open_console
    from hansei.cli.evaluation_run import (
        finding_of,
        look_at_queue,
        plan_writes,
        run_evaluation,
        run_id_of,
        tell_evaluation,
    )
    from hansei.cli.writes import write_journal
    from hansei.contracts.evaluation import EvaluationRequest
    from hansei.tools.evaluation.criteria import NAME, read_criteria
    from hansei.tools.evaluation.telling import render_evaluation
    from hansei.tools.report.files import write_texts

    if plan == "finding" and not finding:
        raise UsageError("--plan finding needs a finding.", "Give --finding report.json#ID.")
    if finding and plan in ("stratified", "sequential"):
        raise UsageError(f"--finding and --plan {plan} are both given.", "Give one of them.")
    named = finding_of(finding) if finding else None
    queue = named_queue(queue)
    project_id = named_project(project or (named.project_id if named else None))
    if named and project_id != named.project_id:
        raise UsageError("The finding is of another project.", f"Give --project {named.project_id}.")
    bounds = model_bounds(max_tokens, max_cost, seconds=max_seconds)
    context = _context(clickhouse, out, model=model, no_llm=no_llm, bounds=bounds)
    given = read_criteria(criteria) if criteria else []
    try:
        request = EvaluationRequest(
            project_id=project_id, window=window or (named.length if named else "7d"),
            until=until or (named.end if named else None), environments=environment or [],
            language=language, criteria=given, from_langfuse=from_langfuse, discover=discover, traces=traces,
            plan="finding" if named else plan, by=by, half_width=half_width, sound=sound, seed=seed, approved=yes,
            finding=named.finding if named else None, dry_run=dry_run, feedback=feedback,
        )  # fmt: skip
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        cause = first.get("ctx", {}).get("error")
        option = f"--{first['loc'][0]}".replace("_", "-") if first["loc"] else "An option"
        told = UsageError(f"{option}: {first['msg'][:1].lower()}{first['msg'][1:]}.", "See hansei evaluate --help.")
        raise (cause if isinstance(cause, UsageError) else told) from None
    request = request.model_copy(update={"run_id": run_id_of(out, dry=dry_run)})
    console = open_console(json_wanted=json, quiet=quiet)
    evaluated = run_evaluation(request, context, console, out)
    evaluation = evaluated.result
    if evaluation is None:
        console.line(f"{len(evaluated.criteria)} criteria stand in {out / NAME}. Read and edit them, then:")
        console.line(f"  hansei evaluate --criteria {out / NAME}")
        console.data({"proposed": [one.model_dump(mode="json") for one in evaluated.criteria]})
        return 0
    document = evaluation.model_dump_json(indent=2)
    files: list[Path] = []
    if not dry_run:
        page = render_evaluation(evaluation)
        files = list(write_texts({"evaluation.json": f"{document}\n", "evaluation.md": page}, out).values())
    tell_evaluation(console, evaluation, files, context)
    if dry_run or not (write or queue):
        console.data(loads(document))
        return 0
    wanted = look_at_queue(evaluation, queue, most_waiting)
    with plan_writes(evaluated, context, out, console, scores=write, queue=wanted) as journal, console:
        return write_journal(console, journal, yes=yes)


def _context(
    clickhouse: str | None,
    out: Path,
    *,
    model: str | None,
    no_llm: bool,
    bounds: ModelBudget,
) -> Context:
    """The settings of the run; verdicts are kept in its folder, unless HANSEI_VERDICTS names another place."""
    from hansei.cli.analysis import make_context
    from hansei.tools.evaluation.store import NAME

    context = make_context(clickhouse, model=model, no_llm=no_llm, bounds=bounds)
    return context.model_copy(update={"verdicts": context.verdicts or str(out / NAME)})
