"""`hansei ledger`: findings across runs, and what is said about them."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hansei.errors import UsageError

if TYPE_CHECKING:
    from hansei.tools.ledger.entries import Store
    from hansei.tools.ledger.fold import Book, Problem

ledger = typer.Typer(
    name="ledger", rich_markup_mode=None, add_completion=False, no_args_is_help=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)  # fmt: skip

Where = Annotated[
    str | None,
    typer.Option(
        "--ledger", metavar="PATH|URL", help="The ledger. Default: HANSEI_LEDGER, else hansei-ledger.sqlite here."
    ),
]
Project = Annotated[
    str | None,
    typer.Option(metavar="ID", help="Langfuse project. Default: HANSEI_PROJECT_ID, else the only one in the ledger."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON to stdout, and nothing else.")]
Id = Annotated[str, typer.Argument(metavar="ID", help="The finding's id, or enough of its beginning.")]


@ledger.callback(invoke_without_command=True)
def group(context: typer.Context) -> None:
    """What became of the findings of earlier runs: new, ongoing, fixed, regressed (came back), muted.

    hansei analyze writes each run into the ledger beside its report. Nothing of it is ever written to Langfuse.

    \b
    Examples:
      hansei ledger list
      hansei ledger show 3f2a
      hansei ledger mute 3f2a --reason "the supplier repairs it in May" --until 2026-05-31
      hansei ledger note 3f2a "asked the search team"
      hansei ledger acted 3f2a --prompt-version 8
    """
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(2)


@ledger.command("list", short_help="All findings, with their states.")
def list_(
    where: Where = None,
    project: Project = None,
    state: Annotated[
        list[str] | None,
        typer.Option(metavar="STATE", help="Only new, ongoing, unclear, fixed, regressed or muted; may be repeated."),
    ] = None,
    json: Json = False,
) -> int:
    """List the findings of all projects in the ledger, the open ones first.

    \b
    Examples:
      hansei ledger list
      hansei ledger list --project my-project --state regressed --state ongoing
      hansei ledger list --json | jq '.findings[] | select(.state == "regressed").id'
    """
    from hansei.cli.console import open_console
    from hansei.cli.ledger_view import STATES, headings, plain, row

    for one in state or ():
        if one not in STATES:
            raise UsageError(f"There is no state “{one[:40]}”.", f"Choose among {', '.join(STATES)}.")
    now, store = datetime.now(UTC), _open(where)
    books = _books(store, project or os.environ.get("HANSEI_PROJECT_ID"))
    shown = [
        (book, problem)
        for book in books
        for problem in sorted(book.problems.values(), key=lambda one: _order(one, now))
        if not state or _state(problem, now) in state
    ]
    console = open_console(json_wanted=json)
    if not books:
        console.line(f"No run of {'this project' if project else 'any project'} is in {store.name} yet.")
    elif not shown:
        console.line("No finding." if not state else "No finding in that state.")
    else:
        many = len(books) > 1
        console.table(headings(many), [row(book, problem, now, many) for book, problem in shown])
    console.data({"ledger": store.name, "findings": [plain(book, problem, now) for book, problem in shown]})
    return 0


@ledger.command(short_help="One finding with its history.")
def show(id: Id, where: Where = None, project: Project = None, json: Json = False) -> int:
    """Show one finding: its state and age, what it has cost, its metric in every run, what was said and done."""
    from hansei.cli.console import open_console
    from hansei.cli.ledger_view import plain, tell

    store = _open(where)
    book, problem = _find(store, id, project)
    console, now = open_console(json_wanted=json), datetime.now(UTC)
    tell(console, book, problem, now)
    console.data(plain(book, problem, now, whole=True))
    return 0


@ledger.command(short_help="Live with a finding.")
def mute(
    id: Id,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why it need not be repaired.")],
    until: Annotated[
        str | None, typer.Option(metavar="ISO", help="When the muting ends. Default: until it is unmuted.")
    ] = None,
    where: Where = None,
    project: Project = None,
    json: Json = False,
) -> int:
    """Mute a finding: it is listed as muted, and does not count for --fail-on."""
    from hansei.contracts import parse_instant
    from hansei.contracts.since import Muted

    end = None if until is None else parse_instant(until)
    if end is not None and end <= datetime.now(UTC):
        raise UsageError("The muting would be over already.", "Give --until a time in the future.")
    body = Muted(reason=_text(reason, "reason"), until=end).model_dump(mode="json")
    return _say(where, project, id, "mute", body, "Muted", json)


@ledger.command(short_help="Let a muted finding count again.")
def unmute(id: Id, where: Where = None, project: Project = None, json: Json = False) -> int:
    """End the muting of a finding."""
    return _say(where, project, id, "unmute", {}, "Unmuted", json)


@ledger.command(short_help="Write a note on a finding.")
def note(
    id: Id,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What is to be remembered.")],
    where: Where = None,
    project: Project = None,
    json: Json = False,
) -> int:
    """Add a note to a finding; `hansei ledger show` tells all notes."""
    return _say(where, project, id, "note", {"text": _text(text, "note")}, "Noted", json)


@ledger.command(short_help="Say that a finding was acted on.")
def acted(
    id: Id,
    release: Annotated[str | None, typer.Option(metavar="X", help="The release that brings the fix.")] = None,
    prompt_version: Annotated[
        str | None, typer.Option(metavar="N", help="The version of the finding's prompt that brings it.")
    ] = None,
    at: Annotated[str | None, typer.Option(metavar="ISO", help="When it was done, ISO 8601, UTC.")] = None,
    where: Where = None,
    project: Project = None,
    json: Json = False,
) -> int:
    """Say what was done about a finding, so that the next runs measure whether it worked.

    What is measured is fixed now, before the data is there: the metric, the rows, how many days before and after, and
    the unaffected siblings that are held against it. Give exactly one of --release, --prompt-version and --at.
    """
    from hansei.contracts import parse_instant
    from hansei.tools.ledger.recording import acted_on

    if sum(given is not None for given in (release, prompt_version, at)) != 1:
        raise UsageError("It is not clear since when.", "Give one of --release, --prompt-version and --at.")
    moment, now = None if at is None else parse_instant(at), datetime.now(UTC)
    store = _open(where)
    book, problem = _find(store, id, project)
    if problem.known.state == "fixed":
        raise UsageError("This finding is fixed already.", "Write a note instead: hansei ledger note.")
    plan = acted_on(book, problem, now, release=release, prompt_version=prompt_version, at=moment)
    held = f"the other values of {plan.siblings}" if plan.siblings else "nothing else, so only before and after"
    told = f"Its effect will be measured over {plan.days} days before and after, against {held}:"
    return _say(where, project, id, "acted", plan.model_dump(mode="json"), told, json)


def _open(where: str | None) -> Store:
    from hansei.tools.ledger.opening import FILE, open_ledger

    return open_ledger(where or os.environ.get("HANSEI_LEDGER") or FILE, must_exist=True)


def _books(store: Store, project: str | None) -> list[Book]:
    from hansei.tools.ledger.fold import fold

    entries = store.entries()
    scopes = dict.fromkeys(entry.scope for entry in entries)
    wanted = [scope for scope in scopes if project is None or scope == project or scope.startswith(f"{project} [")]
    return [fold(scope, [entry for entry in entries if entry.scope == scope]) for scope in wanted]


def _find(store: Store, id: str, project: str | None) -> tuple[Book, Problem]:
    """The finding whose id begins like this.

    Raises:
        UsageError: there is none, or more than one.
    """
    start = id.strip().lower()
    found = [
        (book, problem)
        for book in _books(store, project or os.environ.get("HANSEI_PROJECT_ID"))
        for key, problem in book.problems.items()
        if start and (key.startswith(start) or start in problem.known.fingerprints)
    ]
    exact = [pair for pair in found if start in pair[1].known.fingerprints]
    if len(exact or found) == 1:
        return (exact or found)[0]
    if found:
        raise UsageError(f"“{id[:20]}” may be {len(found)} findings.", "Give more of the id, or --project.")
    raise UsageError(f"There is no finding “{id[:20]}” in {store.name}.", "See hansei ledger list.")


def _say(
    where: str | None, project: str | None, id: str, kind: str, body: dict[str, object], told: str, json: bool
) -> int:
    from typing import get_args

    from hansei.cli.console import open_console
    from hansei.cli.ledger_view import plain, title
    from hansei.tools.ledger.entries import EntryKind
    from hansei.tools.ledger.recording import say

    store = _open(where)
    book, problem = _find(store, id, project)
    now = datetime.now(UTC)
    chosen: EntryKind = next(one for one in get_args(EntryKind) if one == kind)
    say(store, book.scope, chosen, problem.known.id, body, now)
    book, problem = _find(store, problem.known.id, project)
    console = open_console(json_wanted=json)
    console.line(f"{told} {title(problem.known)} ({problem.known.id})")
    console.data(plain(book, problem, now, whole=True))
    store.close()
    return 0


def _text(text: str, what: str) -> str:
    from hansei.tools.ledger.recording import LONGEST

    kept = text.strip()
    if not kept:
        raise UsageError(f"The {what} is empty.", "Write a few words.")
    if len(kept) > LONGEST:
        raise UsageError(f"The {what} has {len(kept):,} letters.", f"Write at most {LONGEST:,}.")
    return kept


def _state(problem: Problem, now: datetime) -> str:
    return "muted" if problem.is_muted(now) else problem.known.state


def _order(problem: Problem, now: datetime) -> tuple[int, int, str]:
    from hansei.cli.ledger_view import STATES
    from hansei.contracts import SEVERITIES

    known = problem.known
    return STATES.index(_state(problem, now)), SEVERITIES.index(known.severity), known.id


def default_ledger(folder: Path | None) -> str | None:
    """Where `hansei analyze` keeps findings when nothing is said: beside the report's folder; nowhere without one, nor
    where no folder can be, which the report's own error tells."""
    from hansei.tools.ledger.opening import FILE

    if (named := os.environ.get("HANSEI_LEDGER")) or folder is None:
        return named or None
    beside = folder.absolute().parent
    return (
        None if any(part.exists() and not part.is_dir() for part in (beside, *beside.parents)) else str(beside / FILE)
    )
