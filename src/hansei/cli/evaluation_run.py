"""Running the evaluation graph for a command: its progress, its questions to a person, its scores."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from json import dumps, loads
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from hansei.errors import UsageError

if TYPE_CHECKING:
    from hansei.cli.console import Console
    from hansei.context import Context
    from hansei.contracts.evaluation import Criterion, Estimated, EvaluationRequest, EvaluationResult, OfFinding
    from hansei.tools.evaluation.queueing import Queue
    from hansei.tools.writeback import Journal

RUN = "run.json"
"""Names the run in its folder, so that the same command goes on with it."""


class Evaluated:
    """What an evaluation came to: `result` is None when criteria wait to be read by a person."""

    def __init__(self, state: dict[str, Any]) -> None:
        from hansei.contracts.evaluation import Criterion, EvaluationResult

        self.chosen: list[dict[str, Any]] = state.get("chosen") or []
        self.criteria: list[Criterion] = [Criterion.model_validate(one) for one in state.get("settled") or []]
        found = state.get("evaluation")
        self.result: EvaluationResult | None = EvaluationResult.model_validate(found) if found else None


def run_evaluation(request: EvaluationRequest, context: Context, console: Console, folder: Path) -> Evaluated:
    """Runs the graph to its end, or to the criteria that a person should read; traced when Langfuse's keys are set."""
    from langgraph.checkpoint.memory import InMemorySaver
    from langgraph.types import Command

    from hansei import __version__
    from hansei.cli.writes import approved
    from hansei.contracts import Progress
    from hansei.contracts.evaluation import CostDecision, Estimated
    from hansei.graph.evaluation import build_evaluation_graph
    from hansei.tools.evaluation.criteria import write_criteria
    from hansei.tools.langfuse.tracing import start_trace

    graph = build_evaluation_graph(checkpointer=InMemorySaver())
    run_id = str(uuid4())
    url = context.clickhouse_url.get_secret_value() if context.clickhouse_url else None
    trace = start_trace(run_id, session_id=run_id, tags=["cli"], version=__version__, clickhouse_url=url)
    config = trace.config({"configurable": {"thread_id": run_id}})
    given: Any = request.model_dump(mode="json")
    try:
        while True:
            with console:
                for part in graph.stream(given, context=context, config=config, stream_mode=["custom"], version="v2"):
                    console.progress(Progress.model_validate(part["data"]))
            state = graph.get_state(config)
            if not state.interrupts:
                break
            shown = state.interrupts[0].value
            if "criteria" in shown:
                break
            tell_estimate(console, Estimated.model_validate(shown), context)
            agreed = approved(console, "Judge the traces?", yes=False)
            if not agreed:
                console.note("Nothing was judged by the model. With --yes it is.")
            given = Command(resume=CostDecision(decision="approve" if agreed else "reject").model_dump())
    finally:
        lost = trace.close()
    if lost:
        console.note(lost)
    evaluated = Evaluated(dict(state.values))
    if request.discover:
        write_criteria(evaluated.criteria, folder)
    return evaluated


def tell_estimate(console: Console, estimated: Estimated, context: Context) -> None:
    """What judging would take, and whether it is within the run's bounds."""
    from hansei.tools.report.formats import format_count, format_value

    used = estimated.usage
    money = format_value(used.usd, "usd") if estimated.priced else "an unknown sum (set HANSEI_MODEL_PRICES)"
    console.line(
        f"{context.model} would be asked {used.calls:,} times on {estimated.traces:,} traces, for about"
        f" {format_count(used.tokens)} tokens and {money}; {estimated.known:,} of {estimated.verdicts:,} verdicts are"
        " known."
    )
    if (before := estimated.before).calls:
        usd = f" and {format_value(before.usd, 'usd')}" if before.usd else ""
        console.line(
            f"{format_count(before.tokens)} tokens{usd} were spent on this before; the bounds count that as well."
        )
    if not estimated.within:
        console.note("That is beyond the run's bounds (--max-tokens, --max-usd): judging would end early.")


def run_id_of(folder: Path, *, dry: bool) -> str | None:
    """The id of the folder's run; a new one is noted there, unless nothing is to be written.

    Raises:
        UsageError: the folder's note of it cannot be read or written.
    """
    from hansei.tools.report.files import write_texts

    file = folder / RUN
    try:
        return str(loads(file.read_text("utf-8"))["run_id"])
    except FileNotFoundError:
        if dry:
            return None
    except (OSError, ValueError, LookupError, TypeError):
        raise UsageError(f"“{file}” cannot be read.", "Name another folder with --out.") from None
    run_id = str(uuid4())
    write_texts({RUN: dumps({"run_id": run_id}) + "\n"}, folder)
    return run_id


def look_at_queue(evaluation: EvaluationResult, name: str | None, most: int | None) -> Queue | None:
    """The annotation queue that traces are proposed for, with what it holds now; None: nothing is to be labelled.

    Raises:
        LangfuseFailed: Langfuse cannot be asked, so nobody knows how many traces wait there.
    """
    from hansei.tools.evaluation.queueing import MOST_WAITING, Queue
    from hansei.tools.langfuse.api import open_api
    from hansei.tools.writeback import in_queue

    if not name or not any(one.to_label for one in evaluation.results):
        return None
    with open_api() as api:
        return Queue(name, in_queue(api, name), MOST_WAITING if most is None else most)


def plan_writes(
    evaluated: Evaluated, context: Context, folder: Path, console: Console, *, scores: bool, queue: Queue | None
) -> Journal:
    """Plans the verdicts as scores, and what people should label, in the folder's journal; the caller closes it.

    Raises:
        UsageError: the journal cannot be opened, or is of another run.
    """
    from hansei.contracts import parse_instant
    from hansei.tools.evaluation.choosing import Chosen
    from hansei.tools.evaluation.queueing import queue_of
    from hansei.tools.evaluation.scores import pending_scores
    from hansei.tools.evaluation.store import VerdictStore
    from hansei.tools.writeback import open_journal

    evaluation = evaluated.result
    assert evaluation is not None
    assert context.verdicts is not None
    verdicts = VerdictStore(Path(context.verdicts)).told(evaluation.run_id)
    chosen = [Chosen(**{**one, "at": parse_instant(one["at"])}) for one in evaluated.chosen]
    journal = open_journal(folder, run_id=evaluation.run_id, project_id=evaluation.project_id)
    try:
        if scores:
            found = pending_scores(evaluation, verdicts, chosen)
            journal.plan(score.write(evaluation.project_id, evaluation.run_id) for score in found)
        if queue:
            planned = [one.body for one in journal.left if one.kind == "queue_item"]
            mine = [str(body["object_id"]) for body in planned if body["queue"] == queue.name]
            writes, notes = queue_of(evaluation, queue, mine)
            journal.plan(writes)
            for note in notes:
                console.note(note)
    except BaseException:
        journal.__exit__(None, None, None)
        raise
    return journal


@dataclass(frozen=True)
class Named:
    """A finding that is named as report.json#id, and what its report is about."""

    finding: OfFinding
    project_id: str
    length: str
    """Of the report's window, as --window takes it."""
    end: str


def finding_of(name: str) -> Named:
    """Reads what the traces of a finding follow from.

    Raises:
        UsageError: there is no such report or finding.
    """
    from hansei.contracts.evaluation import OfFinding
    from hansei.tools.cases.collect import find_finding
    from hansei.tools.report.files import read_report

    path, mark, id = name.rpartition("#")
    if not mark and Path(name).exists():
        raise UsageError(f"“{name[:200]}” names no finding.", "Give report.json#ID, with an id of that report.")
    report = read_report(path or "hansei-report")
    found = find_finding(report, id)
    wanted = OfFinding(
        id=found.id, metric=found.metric, segment=found.segment, comparison=found.comparison,
        parameters=found.parameters, usual=(found.baseline or found.current).value,
    )  # fmt: skip
    minutes = report.window.length // timedelta(minutes=1)
    length = f"{minutes // 1440}d" if minutes % 1440 == 0 else f"{minutes}m"
    return Named(wanted, report.project_id, length, report.window.end.isoformat())


def tell_evaluation(console: Console, evaluation: EvaluationResult, files: list[Path], context: Context) -> None:
    """Shows an evaluation in its language, and where the rest is."""
    from hansei.tools.evaluation.telling import frame, headings, headline, remarks, rows
    from hansei.tools.report.catalogue import catalogue

    console.line(headline(evaluation), style="title")
    console.line(frame(evaluation))
    if evaluation.results:
        console.line()
        console.table(headings(evaluation.language), [row.cells for row in rows(evaluation)], fold=True)
    elif evaluation.estimated:
        tell_estimate(console, evaluation.estimated, context)
    for text in remarks(evaluation):
        console.line(f"  {text}")
    for file in files:
        console.line(catalogue(evaluation.language).text("terminal.wrote", file=file))
