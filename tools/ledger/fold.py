"""From entries to states: a pure function, so that every state can be explained and computed again.

Runs and what people said take effect in the order in which they were written. A run whose window ends before that of a
run written earlier adds to a finding's history and changes no state. Of several runs over the same window the last one
counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from hansei.contracts import Estimate, Window
from hansei.contracts.since import Acted, Known, LedgerState, Muted, Settled
from hansei.tools.ledger.entries import Entry, Measured, RunEntry, Seen

WEEK = timedelta(days=7)


@dataclass(frozen=True)
class Point:
    """A finding's metric as one run measured it."""

    run_id: str
    window: Window
    value: Estimate | None
    state: LedgerState


@dataclass
class Problem:
    """A finding of the ledger with all that was written about it."""

    known: Known
    points: list[Point] = field(default_factory=list)
    notes: list[Entry] = field(default_factory=list)
    """What people said, oldest first."""

    def is_muted(self, now: datetime) -> bool:
        """Whether it is muted at that time."""
        return self.known.muted is not None and not expired(self.known.muted, now)


@dataclass
class Book:
    """All findings of one scope, by the ledger's id, and the last run."""

    scope: str
    problems: dict[str, Problem] = field(default_factory=dict)
    last: RunEntry | None = None


def expired(muted: Muted, now: datetime) -> bool:
    """Whether a muting is over."""
    return muted.until is not None and now >= muted.until


def fold(scope: str, entries: Sequence[Entry], *, before: datetime | None = None) -> Book:
    """The states that follow from the entries of a scope.

    Args:
        before: leaves out runs whose window ends then or later, so that a run that is done again over the same window
            knows what it knew the first time.
    """
    book = Book(scope)
    late, steps = _in_order(entries, before)
    for step in steps:
        if isinstance(step, RunEntry):
            _apply(book, step)
            book.last = step
        else:
            _say(book, step)
    for run in late:
        _add_history(book, run)
    for problem in book.problems.values():
        problem.points.sort(key=lambda point: point.window.end)
    return book


def _in_order(entries: Sequence[Entry], before: datetime | None) -> tuple[list[RunEntry], list[RunEntry | Entry]]:
    """Runs that only add to the history; and what takes effect, in order."""
    newest: datetime | None = None
    late: list[RunEntry] = []
    steps: list[RunEntry | Entry] = []
    places: dict[Window, int] = {}
    for entry in entries:
        if entry.kind != "run":
            steps.append(entry)
            continue
        run = RunEntry.model_validate(entry.body)
        if before is not None and run.window.end >= before:
            continue
        if newest is not None and run.window.end < newest:
            late.append(run)
        elif run.window in places:  # done again: what people said of the first one was said of this
            steps[places[run.window]] = run
        else:
            places[run.window] = len(steps)
            steps.append(run)
            newest = run.window.end
    return late, steps


def _apply(book: Book, run: RunEntry) -> None:
    again = {measured.id: measured for measured in run.measured}
    for seen in run.found:
        if seen.direction == "improvement":
            continue
        id = run.matched.get(seen.id, seen.id)
        old = book.problems.get(id)
        if old is None:
            book.problems[seen.id] = Problem(_new(seen, run), [Point(run.run_id, run.window, seen.current, "new")])
        else:
            old.known = _again(old.known, seen, again.get(id), run)
            old.points.append(Point(run.run_id, run.window, seen.current, old.known.state))
    found = {run.matched.get(seen.id, seen.id) for seen in run.found}
    for measured in run.measured:
        problem = book.problems.get(measured.id)
        if problem is None:
            continue
        if measured.verdict not in (None, "too_early"):
            settled = Settled(verdict=measured.verdict, run_id=run.run_id)
            problem.known = problem.known.model_copy(update={"settled": settled})
        if measured.id not in found:
            problem.known = _measured(problem.known, measured, run)
            problem.points.append(Point(run.run_id, run.window, measured.now, problem.known.state))


def _new(seen: Seen, run: RunEntry) -> Known:
    known = Known(
        id=seen.id, fingerprints=[seen.id], kind=seen.kind, metric=seen.metric, unit=seen.unit,
        direction=seen.direction, severity=seen.severity, segment=seen.segment, comparison=seen.comparison,
        parameters=seen.parameters, state="new", since=seen.onset or run.window.start, first_run=run.run_id,
        last_run=run.run_id, result_hash=seen.result_hash, worst=seen.current, expected=seen.expected,
        last=seen.current, counted_to=run.window.start,
    )  # fmt: skip
    return _counted(known, seen, run)


def _again(known: Known, seen: Seen, measured: Measured | None, run: RunEntry) -> Known:
    back = known.state == "fixed"
    came = {"since": seen.onset or run.window.start, "worst": seen.current, "expected": seen.expected}
    now = known.model_copy(
        update={
            "fingerprints": [*known.fingerprints, *({seen.id} - set(known.fingerprints))],
            "severity": seen.severity, "segment": seen.segment, "comparison": seen.comparison,
            "parameters": seen.parameters, "direction": seen.direction, "state": "regressed" if back else "ongoing",
            "last_run": run.run_id, "result_hash": seen.result_hash, "last": seen.current, **(came if back else {}),
            # What was done about it before it came back is over.
            **({"acted": None, "settled": None, "counted_to": run.window.start} if back else {}),
        }
    )  # fmt: skip
    if measured is not None:
        return _add_cost(now, measured.excess_cost, measured.excess_traces, run.window)
    return _counted(now, seen, run)


def _counted(known: Known, seen: Seen, run: RunEntry) -> Known:
    weeks = run.window.length / WEEK
    cost = None if seen.cost_per_week is None else seen.cost_per_week * weeks
    return _add_cost(known, cost, seen.excess_traces, run.window)


def _measured(known: Known, measured: Measured, run: RunEntry) -> Known:
    changed = known.model_copy(update={"state": measured.state, "last_run": run.run_id})
    if known.state == "fixed" and measured.state == "regressed":
        # It is back without standing out; what was done about it before is over, and what was expected still holds.
        came = {"since": run.window.start, "acted": None, "settled": None, "counted_to": run.window.start}
        changed = changed.model_copy(update={**came, "worst": measured.now or known.worst})
    if measured.now is not None:
        changed = changed.model_copy(update={"last": measured.now, "result_hash": measured.result_hash})
    if measured.state == "fixed":
        return changed
    return _add_cost(changed, measured.excess_cost, measured.excess_traces, run.window)


def _add_cost(known: Known, cost: float | None, traces: float | None, window: Window) -> Known:
    totals = so_far(known, cost, traces, window)
    return known.model_copy(
        update={"cost": totals[0], "traces": totals[1], "counted_to": max(known.counted_to, window.end)}
    )


def so_far(known: Known, cost: float | None, traces: float | None, window: Window) -> tuple[float, float]:
    """US dollars and traces up to the window's end; of a window that others overlap, only what is new in it.

    Args:
        cost, traces: of the whole window, beyond what was expected; None: not known.
    """
    fresh = max(timedelta(0), window.end - max(known.counted_to, window.start))
    share = min(1.0, fresh / window.length)
    return known.cost + share * max(0.0, cost or 0.0), known.traces + share * max(0.0, traces or 0.0)


def _add_history(book: Book, run: RunEntry) -> None:
    for seen in run.found:
        problem = book.problems.get(run.matched.get(seen.id, seen.id))
        if problem is not None:
            problem.points.append(Point(run.run_id, run.window, seen.current, "ongoing"))
    for measured in run.measured:
        problem = book.problems.get(measured.id)
        if problem is not None and all(point.run_id != run.run_id for point in problem.points):
            problem.points.append(Point(run.run_id, run.window, measured.now, measured.state))


def _say(book: Book, entry: Entry) -> None:
    """What a person said; of a finding that no run before has seen, nothing is known."""
    problem = book.problems.get(entry.finding or "")
    if problem is None or entry.kind == "run":
        return
    problem.notes.append(entry)
    update: dict[str, object] = {}
    if entry.kind == "mute":
        update = {"muted": Muted.model_validate(entry.body)}
    elif entry.kind == "unmute":
        update = {"muted": None}
    elif entry.kind == "acted":
        # A verdict on what was done before says nothing about this.
        update = {"acted": Acted.model_validate(entry.body), "settled": None}
    problem.known = problem.known.model_copy(update=update)
