"""Findings of the ledger, measured again: what the planner hands on and what an analyst asks.

A run that keeps a ledger measures each finding that is still open once more, also when nothing of it stands out, so
that “fixed” is never said for want of traffic.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from typing_extensions import TypedDict

from hansei.context import Context
from hansei.contracts import SEVERITIES, Evidence, Periods, Report
from hansei.contracts.since import Known, Since
from hansei.errors import HanseiError
from hansei.tools.langfuse.dataset import Dataset
from hansei.tools.ledger import recording
from hansei.tools.ledger.asking import began, candidates_of, effects, moment_of, spans
from hansei.tools.ledger.entries import scope_of
from hansei.tools.ledger.fold import fold
from hansei.tools.ledger.judge import OWN, PLACE, evidence_id, is_open
from hansei.tools.ledger.opening import open_ledger
from hansei.tools.playbook.catalogue import detector_of
from hansei.tools.playbook.measure import measure, quantiles
from hansei.tools.playbook.model import Candidate
from hansei.tools.report.labels import label, segment_text

MOST_AGAIN = 24
"""Findings of the ledger that a run measures again, those of the worst severity first."""

FIXED_AGAIN = 6
"""Of these, at most so many that are fixed: one that comes back in part may not stand out."""


class Remembered(TypedDict):
    """What the ledger knew before this run, as plain JSON. `known` are valid for `Known`."""

    run_id: str
    window: dict[str, Any]
    known: list[dict[str, Any]]


def remember(context: Context, project_id: str, environments: Sequence[str], periods: Periods) -> Remembered | None:
    """What the context's ledger knows of a project; None: there is no ledger, or no earlier run in it.

    Raises:
        HanseiError: the ledger cannot be read.
    """
    if context.ledger is None:
        return None
    store = open_ledger(context.ledger)
    try:
        scope = scope_of(project_id, environments)
        book = fold(scope, store.entries(scope), before=periods.window.end)
    finally:
        store.close()
    if book.last is None:
        return None
    return {
        "run_id": book.last.run_id,
        "window": book.last.window.model_dump(mode="json"),
        "known": [problem.known.model_dump(mode="json") for problem in book.problems.values()],
    }


def known_of(remembered: Remembered | None) -> list[Known]:
    """The findings of the ledger: what a planner may read."""
    return [Known.model_validate(one) for one in remembered["known"]] if remembered else []


def told_of(remembered: Remembered | None) -> list[dict[str, Any]]:
    """The findings of the ledger in words, for a model that plans: `title` and `state`."""
    return [
        {
            "title": f"{label('metric', one.metric, 'en')}: {segment_text(one.segment, 'en')}",
            "state": "muted" if one.muted else one.state,
        }
        for one in known_of(remembered)
    ]


def to_measure(known: Sequence[Known]) -> tuple[list[Known], int]:
    """Which findings are measured again, and how many open ones are left out. Open ones come first."""
    ours = sorted((one for one in known if _is_known(one)), key=lambda one: (SEVERITIES.index(one.severity), one.id))
    wanted = [one for one in ours if is_open(one)]
    room = min(FIXED_AGAIN, max(0, MOST_AGAIN - len(wanted)))
    fixed = [one for one in ours if not is_open(one)][:room]
    return [*wanted[:MOST_AGAIN], *fixed], max(0, len(wanted) - MOST_AGAIN)


def _is_known(known: Known) -> bool:
    """Whether this Hansei has its metric: the ledger may have been written by another."""
    try:
        detector_of(known.metric)
    except KeyError:
        return False
    return True


def ask_again(dataset: Dataset, known: Known) -> list[Evidence]:
    """The queries about one finding.

    Raises:
        HanseiError: as `Dataset.ask`.
    """
    out: list[Evidence] = []
    for part, candidate in zip((OWN, PLACE), candidates_of(known), strict=False):
        out += _measured(dataset, candidate, evidence_id(known, part))
    acted = known.acted
    if acted is None or known.settled is not None:
        return out
    found = None
    if acted.at is None:
        # Read far enough back to see what was there before it.
        since = dataset.periods.baseline.start - timedelta(days=acted.days)
        found = began(dataset, acted, f"{evidence_id(known, 'effect')}.began", since)
        out.append(found)
    moment = moment_of(found, acted)
    compared = spans(acted, moment, dataset.periods.window.end) if moment else None
    if compared is not None:
        out.append(effects(dataset, acted, compared, f"{evidence_id(known, 'effect')}.days"))
    return out


def _measured(dataset: Dataset, candidate: Candidate, prefix: str) -> list[Evidence]:
    _, metric = detector_of(candidate.metric)
    out = [quantiles(dataset, metric, candidate, f"{prefix}.quantiles")] if metric.shape == "quantile" else []
    return [*out, measure(dataset, metric, candidate, f"{prefix}.measure")]


def record(context: Context, report: Report, environments: Sequence[str]) -> str | None:
    """Writes a run into the context's ledger; a run that is there already is written once.

    Returns:
        What to say when it could not be written: a report is never lost for that.
    """
    if context.ledger is None:
        return None
    try:
        store = open_ledger(context.ledger)
        try:
            recording.record(store, report, environments, datetime.now(UTC))
        finally:
            store.close()
    except HanseiError as error:
        return f"This run could not be written into the ledger: {error.message[:1].lower()}{error.message[1:]}"
    return None


def since_of(remembered: Remembered | None) -> Since | None:
    """The frame of what is told since the last run, still without findings."""
    if remembered is None:
        return None
    return Since.model_validate({"run_id": remembered["run_id"], "window": remembered["window"], "items": []})
