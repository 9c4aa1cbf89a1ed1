"""Scores to be written in tests, and a run's journal that has them planned."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.support.langfuse_api import PROJECT_ID

from hansei.tools.writeback import PendingScore, open_journal

START = datetime(2026, 10, 1, 8, tzinfo=UTC)


def pending(number: int, *, value: bool = True, version: str = "1", comment: str = "because") -> PendingScore:
    """A verdict on the trace of that number."""
    return PendingScore(
        name="grounded",
        value=value,
        data_type="BOOLEAN",
        trace_id=f"trace-{number:04}",
        scored_at=START + timedelta(minutes=number),
        criterion="grounded",
        criterion_version=version,
        comment=comment,
        environment="production",
    )


def plan(folder: Path, count: int, *, run_id: str = "run-a", value: bool = True) -> None:
    """Plans `count` verdicts in the folder of a run."""
    with open_journal(folder, run_id=run_id, project_id=PROJECT_ID) as journal:
        journal.plan(pending(number, value=value).write(PROJECT_ID, run_id) for number in range(count))
