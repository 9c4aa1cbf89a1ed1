"""Findings of the ledger as they are shown at a terminal, and as JSON."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hansei.cli.console import Console
    from hansei.contracts.since import Known
    from hansei.tools.ledger.entries import Entry
    from hansei.tools.ledger.fold import Book, Problem

STATES = ("regressed", "new", "ongoing", "unclear", "fixed", "muted")
"""In the order in which they are listed."""

MEANING = {
    "new": "new",
    "ongoing": "ongoing",
    "unclear": "cannot tell: too little traffic",
    "fixed": "fixed",
    "regressed": "came back",
    "muted": "muted",
}


def title(known: Known) -> str:
    """A finding in a few words: its metric and where."""
    from hansei.tools.report.labels import label, segment_text

    return f"{label('metric', known.metric, 'en')}: {segment_text(known.segment, 'en')}"


def headings(many: bool) -> list[str]:
    """Of the table of findings; `many`: of several projects."""
    return [
        "severity",
        "id",
        "state",
        "age",
        "value",
        "expected",
        "cost so far",
        *(["project"] if many else []),
        "what",
    ]


def row(book: Book, problem: Problem, now: datetime, many: bool) -> list[str]:
    """One finding as a row of the table."""
    from hansei.tools.report.formats import format_value

    known = problem.known
    expected = format_value(known.expected.value, known.unit) if known.expected else "-"
    return [
        known.severity, known.id, _state(problem, now), age(book, known), format_value(known.last.value, known.unit),
        expected, _cost(known), *([book.scope] if many else []), title(known),
    ]  # fmt: skip


def age(book: Book, known: Known) -> str:
    """Days from its beginning to the end of the last window."""
    end = book.last.window.end if book.last else known.counted_to
    return f"{max(timedelta(0), end - known.since).days} d"


def tell(console: Console, book: Book, problem: Problem, now: datetime) -> None:
    """One finding with all that is known of it."""
    from hansei.tools.report.formats import format_date, format_estimate, format_moment

    known = problem.known
    console.line(title(known), style="title")
    console.line(
        f"{known.id} · {known.severity} · {MEANING[_state(problem, now)]} · {book.scope}", style=known.severity
    )
    came = "Came back" if known.state == "regressed" else "Since"
    console.line(f"{came} {format_date(known.since)}, {age(book, known)} old. Cost so far: {_cost(known)}.")
    if len(known.fingerprints) > 1:
        console.line(f"Also found as {', '.join(known.fingerprints[1:])}.")
    if known.muted and problem.is_muted(now):
        until = f" until {format_moment(known.muted.until)}" if known.muted.until else ""
        console.line(f"Muted{until}: {known.muted.reason}")
    if known.acted:
        console.line(_acted(known))
    console.line()
    rows = [
        [
            MEANING[point.state], f"{point.window.start:%Y-%m-%d} to {point.window.end:%Y-%m-%d}",
            format_estimate(point.value, known.unit) if point.value else "no traffic",
            f"{point.value.n:,}" if point.value else "0", point.run_id[:8],
        ]
        for point in problem.points
    ]  # fmt: skip
    console.table(["state", "window", "value", "n", "run"], rows)
    for entry in problem.notes:
        console.line(f"{format_moment(entry.at)} {entry.by or 'somebody'}: {_said(entry)}")


def _acted(known: Known) -> str:
    acted = known.acted
    assert acted is not None
    how = (
        f"with release {acted.release}" if acted.release is not None
        else f"with version {acted.prompt_version} of the prompt" if acted.prompt_version is not None
        else f"at {acted.at:%Y-%m-%d %H:%M} UTC"
    )  # fmt: skip
    verdict = known.settled.verdict.replace("_", " ") if known.settled else "no verdict yet"
    against = f"against other values of {acted.siblings}" if acted.siblings else "before against after"
    return f"Acted on {how}; measured over {acted.days} days, {against}: {verdict}."


def _said(entry: Entry) -> str:
    if entry.kind == "mute":
        return f"muted: {entry.body.get('reason', '')}"
    if entry.kind == "note":
        return str(entry.body.get("text", ""))
    return {"unmute": "unmuted", "acted": "acted on"}.get(entry.kind, entry.kind)


def _state(problem: Problem, now: datetime) -> str:
    return "muted" if problem.is_muted(now) else problem.known.state


def _cost(known: Known) -> str:
    from hansei.tools.report.formats import format_count, format_value

    parts = [format_value(known.cost, "usd")] if known.cost else []
    parts += [f"{format_count(round(known.traces))} traces"] if known.traces >= 1 else []
    return ", ".join(parts) or "-"


def plain(book: Book, problem: Problem, now: datetime, *, whole: bool = False) -> dict[str, Any]:
    """A finding as JSON; `whole`: with its history and what was said."""
    known = problem.known
    out = {
        "id": known.id,
        "scope": book.scope,
        "state": _state(problem, now),
        "title": title(known),
        "age_days": max(timedelta(0), (book.last.window.end if book.last else known.counted_to) - known.since).days,
        **known.model_dump(mode="json", exclude={"id", "state"}),
        "measured_state": known.state,
    }
    if whole:
        out["history"] = [
            {
                "run_id": point.run_id, "window": point.window.model_dump(mode="json"), "state": point.state,
                "value": point.value.model_dump(mode="json") if point.value else None,
            }
            for point in problem.points
        ]  # fmt: skip
        out["notes"] = [entry.model_dump(mode="json", exclude={"key", "scope"}) for entry in problem.notes]
    return out
