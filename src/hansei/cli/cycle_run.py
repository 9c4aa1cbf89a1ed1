"""The steps of a cycle, each kept in its folder when it is done, so that a cycle that is cut off can be gone on with.

OUT/hansei-ledger.sqlite      findings of all cycles
OUT/verdicts.sqlite           verdicts of all cycles: no trace is judged twice
OUT/20261128-081500/          a cycle: its files say how far it has come
    cycle.json                what was asked for; whether it is done, and whether writing was allowed
    report.json …             the report
    run.json, evaluation.json the evaluation
    writes.jsonl              what is proposed, and what became of it
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from json import dumps, loads
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hansei.errors import HanseiError, LangfuseFailed, UsageError

if TYPE_CHECKING:
    from hansei.cli.console import Console
    from hansei.cli.evaluation_run import Evaluated
    from hansei.context import Context
    from hansei.contracts import Report, Request
    from hansei.contracts.evaluation import Criterion

CYCLE, EVALUATION = "cycle.json", "evaluation.json"


@dataclass(frozen=True)
class Wanted:
    """What a cycle is asked for."""

    request: Request
    criteria: list[Criterion]
    traces: int | None
    feedback: str | None
    queue: str | None
    most_waiting: int | None = None

    def plain(self, context: Context) -> dict[str, Any]:
        """As JSON, without user and password: a cycle is gone on with only if all of it is the same."""
        from hansei import __version__

        settings = context.model_dump(mode="json", exclude={"clickhouse_url", "ledger", "verdicts"})
        return {
            "hansei": __version__, "request": self.request.model_dump(mode="json"), "settings": settings,
            "criteria": [one.model_dump(mode="json") for one in self.criteria], "traces": self.traces,
            "feedback": self.feedback, "queue": self.queue, "most_waiting": self.most_waiting,
        }  # fmt: skip


def run_cycle(wanted: Wanted, context: Context, console: Console, out: Path, *, yes: bool) -> tuple[int, Report]:
    """Runs a cycle to its end, or goes on with the last one; returns the exit code and the report.

    Raises:
        HanseiError: a step could not be done. What is done stays, and the same command goes on.
    """
    from hansei.cli.first_screen import tell_report
    from hansei.cli.writes import write_planned
    from hansei.tools.evaluation.store import NAME
    from hansei.tools.report.files import render_json
    from hansei.tools.writeback import JOURNAL, open_journal

    context = context.model_copy(update={"verdicts": context.verdicts or str(out / NAME)})
    late = _write_what_is_left(console, out) if yes else 0
    folder = _folder(out, wanted.plain(context))
    report = _report(wanted, context, console, folder)
    evaluated = _evaluation(wanted, report, context, console, folder)
    report = _with_judgements(report, evaluated, folder)
    tell_report(console, report, [folder / f"report.{form}" for form in ("json", "md", "html")])
    unknown = _propose(wanted, evaluated, context, console, folder)
    _note(folder, done=True, allowed=yes)
    code, written = 0, None
    if (folder / JOURNAL).is_file():
        with console, open_journal(folder) as journal:
            code, written = write_planned(console, journal, yes=yes)
        if not yes:
            console.line(f"hansei write {folder} writes it.")
    assert evaluated.result is not None
    console.data(
        {
            "folder": str(folder), "report": loads(render_json(report)),
            "evaluation": evaluated.result.model_dump(mode="json"), "writes": written,
        }
    )  # fmt: skip
    return max(code, late, unknown), report


def _folder(out: Path, plain: dict[str, Any]) -> Path:
    """The newest cycle's folder when it was asked for the same and is not done; else a new one."""
    for folder in reversed(_folders(out)):
        note = _read(folder)
        if note is None or note.get("done"):
            break
        if note.get("wanted") == plain:
            return folder
    start = datetime.now(UTC)
    folder = out / f"{start:%Y%m%d-%H%M%S}"
    number = 2
    while folder.exists():
        folder, number = out / f"{start:%Y%m%d-%H%M%S}-{number}", number + 1
    _write(folder, {"wanted": plain, "started_at": start.isoformat(), "done": False, "allowed": False})
    return folder


def _folders(out: Path) -> list[Path]:
    return sorted(file.parent for file in out.glob(f"*/{CYCLE}"))


def _read(folder: Path) -> dict[str, Any] | None:
    try:
        found = loads((folder / CYCLE).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _write(folder: Path, note: dict[str, Any]) -> None:
    from hansei.tools.report.files import write_texts

    write_texts({CYCLE: dumps(note, indent=1, ensure_ascii=False) + "\n"}, folder)


def _note(folder: Path, **more: bool) -> None:
    _write(folder, {**(_read(folder) or {}), **more})


def _report(wanted: Wanted, context: Context, console: Console, folder: Path) -> Report:
    from hansei.cli.analysis import run_analysis
    from hansei.tools.report.files import NAME, read_report, write_report

    if (folder / NAME).is_file():
        console.note(f"Goes on with the cycle in {folder}: its report is there.")
        return read_report(folder)
    report = run_analysis(wanted.request, context, console, partial(_count_run, folder, context))
    write_report(report, folder)
    return report


def _evaluation(wanted: Wanted, report: Report, context: Context, console: Console, folder: Path) -> Evaluated:
    """The evaluation of the report's own window. Verdicts that were given before are not asked for again."""
    from hansei.cli.evaluation_run import run_evaluation, run_id_of
    from hansei.contracts.evaluation import EvaluationRequest
    from hansei.tools.evaluation.telling import headline, render_evaluation
    from hansei.tools.report.files import write_texts

    asked = wanted.request.model_dump(exclude={"question"})
    asked["until"] = report.window.end.isoformat()
    request = EvaluationRequest(
        **asked, criteria=wanted.criteria, traces=wanted.traces, feedback=wanted.feedback, approved=True,
        run_id=run_id_of(folder, dry=False),
    )  # fmt: skip
    _count_report(report, str(request.run_id), context)
    evaluated = run_evaluation(request, context, console, folder)
    assert evaluated.result is not None
    texts = {
        EVALUATION: evaluated.result.model_dump_json(indent=2) + "\n",
        "evaluation.md": render_evaluation(evaluated.result),
    }
    write_texts(texts, folder)
    console.line(headline(evaluated.result), style="title")
    return evaluated


def _count_run(folder: Path, context: Context, run: str) -> None:
    """Has what an analysis uses of the model kept call by call: the bounds are the cycle's, and it may be cut off.

    What an earlier one of the same cycle used before it was cut off counts for this one's bounds.
    """
    from hansei.cli.evaluation_run import run_id_of
    from hansei.tools.evaluation.store import VerdictStore
    from hansei.tools.language_model import model_meter_of

    assert context.verdicts is not None
    store, cycle = VerdictStore(Path(context.verdicts)), str(run_id_of(folder, dry=False))
    meter = model_meter_of(run, context.model_budget, context.model_prices)
    meter.goes_on(store.spent(cycle, but=run), partial(store.spend, cycle, run))


def _count_report(report: Report, run_id: str, context: Context) -> None:
    """What the report used of the model, unless it was kept while it was made, as `_count_run` does."""
    from hansei.tools.evaluation.store import VerdictStore

    assert context.verdicts is not None
    store = VerdictStore(Path(context.verdicts))
    if not store.has_spent(run_id, report.run.id):
        for node, used in report.run.usage.items():
            store.spend(run_id, report.run.id, node, used)


def _with_judgements(report: Report, evaluated: Evaluated, folder: Path) -> Report:
    from hansei.tools.evaluation.judgements import with_judgements
    from hansei.tools.report.files import write_report

    assert evaluated.result is not None
    told = with_judgements(report, evaluated.result)
    write_report(told, folder)
    return told


def _propose(wanted: Wanted, evaluated: Evaluated, context: Context, console: Console, folder: Path) -> int:
    """Plans what is proposed; 2 when nobody knows how many traces wait in the queue: then none is proposed for it."""
    from hansei.cli.evaluation_run import look_at_queue, plan_writes

    queue, code = None, 0
    assert evaluated.result is not None
    try:
        queue = look_at_queue(evaluated.result, wanted.queue, wanted.most_waiting)
    except LangfuseFailed as failure:
        console.note(f"Nothing is proposed for “{wanted.queue}”: {failure.message} {failure.remedy}")
        code = 2
    with plan_writes(evaluated, context, folder, console, scores=True, queue=queue):
        return code  # it is planned when it is opened


def _write_what_is_left(console: Console, out: Path) -> int:
    """Writes what earlier cycles were allowed to write and could not; 2 when some of it still cannot be written."""
    from hansei.cli.writes import write_planned
    from hansei.tools.writeback import JOURNAL, open_journal

    code = 0
    for folder in _folders(out):
        if not (_read(folder) or {}).get("allowed") or not (folder / JOURNAL).is_file():
            continue
        try:
            with open_journal(folder) as journal:
                if journal.left:
                    console.line(f"{len(journal.left):,} writes of {folder} are left.")
                    with console:
                        code = max(code, write_planned(console, journal, yes=True)[0])
        except UsageError:
            raise
        except HanseiError as failure:
            console.note(f"{failure.message} {failure.remedy}")
            code = 2
    return code
