"""`hansei write` and `hansei undo`: what a run would write to Langfuse, the writing of it, and its removal."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hansei.errors import HanseiError, LangfuseFailed

if TYPE_CHECKING:
    from hansei.cli.console import Console
    from hansei.tools.writeback import Journal

Run = Annotated[str, typer.Argument(metavar="RUN", help="The folder of a run that holds its writes.jsonl, or its id.")]


def write(
    run: Run,
    yes: Annotated[bool, typer.Option("--yes", help="Write without asking: you have seen the preview.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")] = False,
) -> int:
    """Show what a run would write to Langfuse, and write it when you agree.

    Without --yes nothing is written unless you say so at the terminal. What is written once is not written again: after
    a fault the same command goes on where it stopped. LANGFUSE_PUBLIC_KEY, LANGFUSE_SECRET_KEY and LANGFUSE_BASE_URL
    say where to.

    Exits with 0 when all is written or the preview was all that was wanted, with 2 when something could not be written.

    \b
    Examples:
      hansei write hansei-evaluation               the preview
      hansei write hansei-evaluation --yes         write it, or go on where it stopped
      hansei undo hansei-evaluation                remove it again
    """
    from hansei.cli.console import open_console
    from hansei.tools.writeback import find_journal, open_journal

    console = open_console(json_wanted=json)
    with console, open_journal(find_journal(run, Path.cwd())) as journal:
        return write_journal(console, journal, yes=yes)


def write_journal(console: Console, journal: Journal, *, yes: bool) -> int:
    """Shows the preview of a journal and writes it if that is approved; returns the exit code."""
    code, document = write_planned(console, journal, yes=yes)
    console.data(document)
    return code


def write_planned(console: Console, journal: Journal, *, yes: bool) -> tuple[int, dict[str, Any]]:
    """The same for a command that does more than this: the exit code, and what became of it as JSON.

    Raises:
        HanseiError: Langfuse cannot be reached, or there are no keys for it.
    """
    from hansei.contracts.writes import WriteDecision, WritePreview
    from hansei.graph.writes import write_if_approved
    from hansei.tools.writeback import Performing, fits, plan_of, preview_of

    preview = preview_of(journal)
    _show(console, preview)
    if not preview["writes"]:
        console.line("There is nothing left to write.")
        return 0, {**preview, "dry_run": not yes, "ok": True}

    def decide(shown: WritePreview) -> WriteDecision:
        agreed = approved(console, f"Write {shown.count:,} to Langfuse?", yes=yes)
        return WriteDecision(decision="approve" if agreed else "reject", preview_key=shown.key)

    before = len(journal.written)
    performing = Performing(journal, lambda done, of: console.step("write", "running", f"{done:,} of {of:,} written"))
    outcome = write_if_approved(plan_of(journal), performing, decide, check=fits)
    if outcome.decision == "reject":
        console.line("Nothing was written. With --yes it is.")
        return 0, {**preview, "dry_run": True, "ok": True}
    _raise(performing.failure, journal)
    written, rejected = len(journal.written) - before, journal.rejected
    earlier = f" ({before:,} were written before)" if before else ""
    console.line(f"Wrote {written:,} to Langfuse{earlier}.", style="" if rejected else "ok")
    if performing.full:
        console.note(
            f"{len(performing.full):,} traces to label were not added: as many wait in the queue as may"
            " (--most-waiting). The same command adds them when some are labelled."
        )
    if rejected:
        console.line(f"Langfuse will not take {len(rejected):,}.", style="failed")
        console.table(["id", "why"], [[identity, why] for identity, why in list(rejected.items())[:20]])
    console.line(f"Take it back with: hansei undo {journal.path.parent}")
    document = {
        **preview, "dry_run": False, "ok": not rejected, "newly_written": written, "rejections": dict(rejected),
        "not_added": len(performing.full),
    }  # fmt: skip
    return 2 if rejected else 0, document


def _raise(failure: HanseiError | None, journal: Journal) -> None:
    """What ended the writing early, with how far it has come."""
    if isinstance(failure, LangfuseFailed) and failure.reason != "setup":
        done = f"{len(journal.written):,} are written, {len(journal.left):,} are left."
        raise LangfuseFailed(
            f"{failure.message} {done}",
            f"{failure.remedy} It goes on where it stopped.",
            reason=failure.reason,
            status=failure.status,
        )
    if failure is not None:
        raise failure


def undo(
    run: Run,
    yes: Annotated[bool, typer.Option("--yes", help="Remove without asking.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")] = False,
) -> int:
    """Remove from Langfuse exactly what a run wrote, and nothing else.

    Only what stands in the run's journal is looked at, and of this only what still names the run in its metadata: what
    a later run wrote anew is left alone. Without --yes nothing is removed unless you say so at the terminal. Datasets,
    annotation queues and score configs themselves stay: Langfuse's API cannot remove them.

    \b
    Examples:
      hansei undo hansei-evaluation            what would be removed
      hansei undo hansei-evaluation --yes      remove it
    """
    from hansei.cli.console import open_console
    from hansei.tools.langfuse.api import open_api
    from hansei.tools.writeback import find_journal, open_journal
    from hansei.tools.writeback import undo as remove

    console = open_console(json_wanted=json)
    with console, open_journal(find_journal(run, Path.cwd())) as journal, open_api() as api:
        found = remove(api, journal, dry_run=True)
        count = len(found.removed)
        go = bool(count) and approved(console, f"Remove {count:,} from Langfuse?", yes=yes)
        if go:
            found = remove(api, journal, dry_run=False)
            count = len(found.removed)
        verb = "Removed" if go else "Would remove"
        console.line(f"{verb} {count:,} that run {journal.run_id} wrote.", style="ok" if go else "")
        if found.others:
            console.line(f"Left alone {len(found.others):,}: another run wrote them since.")
        if found.missing:
            console.line(
                f"Langfuse does not show {len(found.missing):,}: they are gone already, or too new to be seen "
                "(which takes up to ten minutes). Running this again later makes sure."
            )
        for one in found.kept:
            console.line(
                f"The {one.kind.replace('_', ' ')} “{one.body['name']}” stays: remove it in Langfuse if you want."
            )
        console.data(
            {
                "run_id": journal.run_id,
                "dry_run": not go,
                "removed": list(found.removed),
                "left_alone": list(found.others),
                "not_found": list(found.missing),
                "datasets_kept": [one.id for one in found.kept if one.kind == "dataset"],
                "queues_kept": [one.body["name"] for one in found.kept if one.kind == "queue"],
                "score_configs_kept": [one.body["name"] for one in found.kept if one.kind == "score_config"],
            }
        )
    return 0


def approved(console: Console, question: str, *, yes: bool) -> bool:
    """Whether a person agrees: by --yes, or by an answer at the terminal. Where nobody can answer: no."""
    if yes:
        return True
    from hansei.cli.console import JsonConsole

    if isinstance(console, JsonConsole) or not (sys.stdin.isatty() and sys.stdout.isatty()):
        return False
    return typer.confirm(question, default=False)


def _show(console: Console, preview: dict[str, Any]) -> None:
    rows = [
        ["score", item["name"], f"{item['count']:,}", ", ".join(f"{k} {_short(v)}" for k, v in item["values"].items())]
        for item in preview["scores"]
    ]
    rows += [["dataset", name, "1", ""] for name in preview["datasets"]]
    rows += [["score config", name, "1", _KINDS[kind]] for name, kind in preview["score_config_types"].items()]
    rows += [["annotation queue", name, "1", ""] for name in preview["queues"]]
    rows += [["traces to label", item["queue"], f"{item['count']:,}", ""] for item in preview["queue_items"]]
    rows += [["dataset items", item["dataset"], f"{item['count']:,}", ""] for item in preview["dataset_items"]]
    if rows:
        console.line(f"Project {preview['project_id']}, run {preview['run_id']}:", style="title")
        console.table(["what", "name", "how many", "values"], rows)


_KINDS = {"BOOLEAN": "true or false", "CATEGORICAL": "a category", "NUMERIC": "a number"}


def _short(value: float | int) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.3g}"
