"""What is written into a ledger: runs, and what people say about their findings."""

from __future__ import annotations

import getpass
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import uuid4

from hansei.contracts import Report
from hansei.contracts.since import Acted, Known
from hansei.errors import UsageError
from hansei.tools.ledger.asking import sibling_dimension
from hansei.tools.ledger.entries import Entry, EntryKind, Measured, RunEntry, Seen, Store, scope_of
from hansei.tools.ledger.fold import Book, Problem
from hansei.tools.ledger.identity import place_of
from hansei.tools.playbook.catalogue import detector_of

LONGEST = 2_000
"""Letters of a reason or a note."""


def record(store: Store, report: Report, environments: Sequence[str], now: datetime) -> bool:
    """Writes what a run found and measured; False: it is there already. A run over a window is written once."""
    window = report.window
    key = f"run:{report.run.id}:{window.start.isoformat()}:{window.end.isoformat()}"
    scope = scope_of(report.project_id, environments)
    body = run_entry(report).model_dump(mode="json")
    return store.add(Entry(key=key, scope=scope, kind="run", at=now, by=_user(), body=body))


def run_entry(report: Report) -> RunEntry:
    """What is kept of a report."""
    items = report.since_last.items if report.since_last else []
    measured = []
    for one in items:
        if one.known is None:
            continue
        asked = next((item for item in one.evidence if item.purpose == "measure"), None)
        measured.append(
            Measured(
                id=one.id, state=one.state, now=one.now, excess_traces=one.excess_traces, excess_cost=one.excess_cost,
                verdict=one.effect.verdict if one.effect else None, result_hash=asked.result_hash if asked else "",
            )
        )  # fmt: skip
    return RunEntry(
        run_id=report.run.id,
        window=report.window,
        baseline=report.baseline,
        found=[Seen.of(finding) for finding in report.findings if finding.direction != "improvement"],
        matched={one.finding_id: one.id for one in items if one.finding_id and one.known is not None},
        measured=measured,
    )


def say(store: Store, scope: str, kind: EntryKind, finding: str, body: dict[str, Any], now: datetime) -> None:
    """Writes what a person said about a finding."""
    key = f"{kind}:{finding}:{uuid4()}"
    store.add(Entry(key=key, scope=scope, kind=kind, at=now, finding=finding, by=_user(), body=body))


def acted_on(
    book: Book, problem: Problem, now: datetime, *, release: str | None, prompt_version: str | None, at: datetime | None
) -> Acted:
    """What the effect of a fix will be measured on, fixed before its data is there.

    Raises:
        UsageError: the finding cannot be measured in that way.
    """
    known = problem.known
    _, metric = detector_of(known.metric)
    if metric.shape == "count":
        raise UsageError(
            "The effect of a fix on traffic cannot be measured: nothing else is like it.", "Write a note instead."
        )
    segment = place_of(known)
    if prompt_version is not None and "prompt_name" not in segment:
        raise UsageError("This finding is about no prompt.", "Give --release, or --at with the time of the change.")
    assert book.last is not None
    dimension = sibling_dimension(metric, segment)
    return Acted(
        release=release, prompt_version=prompt_version, at=at, recorded_at=now, metric=known.metric, segment=segment,
        parameters=known.parameters, days=max(1, round(book.last.window.days)), onset=known.since,
        siblings=dimension, not_among=_others(book, known, dimension),
    )  # fmt: skip


def _others(book: Book, known: Known, dimension: str | None) -> list[str]:
    """Values of the dimension that have an open finding of the same metric."""
    if dimension is None:
        return []
    found = {
        other.known.segment.get(dimension)
        for other in book.problems.values()
        if other.known.id != known.id and other.known.metric == known.metric and other.known.state != "fixed"
    }
    return sorted(value for value in found if value is not None and value != known.segment.get(dimension))


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container whose user has no name
        return ""
