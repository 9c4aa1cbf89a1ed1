"""The detectors of model calls' finer sides: first token, cache, token limit; each beside what only looks like it.

The project is a small one, written as v3 or v4; the figures are computed once more from its rows, in Python.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from tests.support.faults import on_step, starts_after, streams
from tests.support.in_memory import Analyse, in_memory
from tests.support.world import PERIODS, Fault, Step, Visit, make_world

from hansei.contracts import Direction, Finding, Kind, Report, Window
from hansei.demo.rows import ObservationRow, Rows
from hansei.demo.tables import SCHEMAS, Schema

ALWAYS = -7
"""A fault from the baseline's first day on."""


@pytest.fixture(scope="module")
def engine() -> Iterator[Analyse]:
    with in_memory() as analyse_rows:
        yield analyse_rows


def calls(rows: Rows, span: Window, name: str) -> list[ObservationRow]:
    return [row for row in rows.observations if row.name == name and span.start <= row.start_time < span.end]


def told(report: Report) -> list[tuple[Kind, Direction, dict[str, str]]]:
    return [(finding.kind, finding.direction, finding.segment) for finding in report.findings]


def only(report: Report) -> Finding:
    """The only finding of the report."""
    (found,) = report.findings
    return found


def onset(day: int) -> object:
    return PERIODS.window.start + timedelta(days=day)


STREAMING: list[Fault] = [
    on_step("support", "answer", streams, day=ALWAYS), on_step("research", "summarise", streams, day=ALWAYS),
]  # fmt: skip


def first_tokens(rows: Rows, span: Window, name: str) -> list[float]:
    started = [(row.completion_start_time, row.start_time) for row in calls(rows, span, name)]
    return sorted((first - start).total_seconds() for first, start in started if first)


@pytest.mark.parametrize("schema", SCHEMAS)
def test_answers_that_start_later_are_told_by_their_first_token(engine: Analyse, schema: Schema) -> None:
    rows = make_world(*STREAMING, on_step("support", "answer", starts_after(3.0), day=2))
    found = only(engine(rows, schema))
    assert (found.kind, found.metric, found.direction) == ("first_token_latency", "first_token_p95", "regression")
    assert found.segment == {"observation_name": "answer"}
    assert found.onset == onset(2)
    now, before = (first_tokens(rows, span, "answer") for span in (PERIODS.window, PERIODS.baseline))
    assert found.baseline is not None
    assert (found.current.n, found.baseline.n) == (len(now), len(before))
    assert found.current.value == pytest.approx(now[int(0.95 * len(now))])
    assert found.baseline.value == pytest.approx(before[int(0.95 * len(before))])
    assert "latency" in {echo.kind for echo in found.echoes}
    assert "did not grow" in found.recommendation


def test_answers_that_start_sooner_are_an_improvement(engine: Analyse) -> None:
    rows = make_world(
        *STREAMING, on_step("support", "answer", starts_after(3.0), day=ALWAYS),
        on_step("support", "answer", starts_after(-2.5), day=3),
    )  # fmt: skip
    report = engine(rows, "v4")
    assert ("first_token_latency", "improvement", {"observation_name": "answer"}) in told(report)
    assert not [finding for finding in report.findings if finding.direction != "improvement"]


def test_slower_writing_is_no_later_start(engine: Analyse) -> None:
    def writes_slower(visit: Visit, step: Step) -> None:
        step.seconds = round(step.seconds + 4.0, 3)

    rows = make_world(*STREAMING, on_step("support", "answer", writes_slower, day=2))
    assert {finding.kind for finding in engine(rows, "v3").findings} == {"latency"}


def test_more_streaming_of_a_slow_step_is_no_later_start(engine: Analyse) -> None:
    """Only the slower of two steps begins to stream more: the average moves, no step does."""
    rows = make_world(
        on_step("support", "answer", streams, day=ALWAYS),
        on_step("research", "summarise", streams, day=ALWAYS, share=0.1), on_step("research", "summarise", streams, day=0),
    )  # fmt: skip
    assert engine(rows, "v4").findings == []
