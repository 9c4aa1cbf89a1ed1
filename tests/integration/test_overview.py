"""Health, flows, what was new and excerpts, from both schemas: held against the rows that they were made from."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import median

import pytest
from tests.support.faults import fails, on_step, repeats
from tests.support.in_memory import Analyse
from tests.support.world import END, PERIODS, Visit, make_world

from hansei.contracts import Flow, Report, Sign
from hansei.demo.rows import ObservationRow, Rows
from hansei.demo.tables import Schema
from hansei.tools.playbook import flow

SCHEMAS: tuple[Schema, Schema] = ("v3", "v4")
DAY = timedelta(days=1)


def new_prompt(visit: Visit) -> None:
    """Version 7 takes over in the window's third day; release 1.1 with it."""
    if visit.app == "support" and visit.day >= 2:
        visit.release = "1.1"
        for step in visit.steps:
            if step.name == "answer":
                step.prompt = ("answer", 7)


def world() -> Rows:
    return make_world(
        on_step("support", "lookup_order", fails("timeout"), day=3, share=0.3),
        repeats("research", "web_search", 5, day=1, share=0.3),
        new_prompt,
    )


@pytest.fixture(scope="module")
def rows() -> Rows:
    return world()


@pytest.fixture(scope="module")
def reports(engine: Analyse, rows: Rows) -> dict[Schema, Report]:
    return {schema: engine(rows, schema) for schema in SCHEMAS}


every_schema = pytest.mark.parametrize("schema", SCHEMAS)


def steps_of(rows: Rows) -> dict[str, list[ObservationRow]]:
    steps: dict[str, list[ObservationRow]] = defaultdict(list)
    for row in rows.observations:
        steps[row.trace_id].append(row)
    return steps


def is_now(moment: datetime) -> bool:
    return moment >= PERIODS.window.start


def sign(report: Report, name: str) -> Sign:
    assert report.health is not None
    return next(one for one in report.health.signs if one.name == name)


@every_schema
def test_the_signs_are_those_of_the_rows(reports: dict[Schema, Report], rows: Rows, schema: Schema) -> None:
    report, steps = reports[schema], steps_of(rows)
    for period in (True, False):
        traces = [trace for trace in rows.traces if is_now(trace.timestamp) is period]
        failing = sum(any(step.level == "ERROR" for step in steps[trace.id]) for trace in traces)
        costs = [sum(float(step.total_cost or 0) for step in steps[trace.id]) for trace in traces]
        spans = [
            max(step.end_time or step.start_time for step in own) - min(step.start_time for step in own)
            for own in (steps[trace.id] for trace in traces)
        ]
        side = "window" if period else "baseline"
        shown = {one: getattr(sign(report, one), side) for one in ("traces", "failing_traces", "cost_per_trace")}
        assert shown["traces"].value == pytest.approx(len(traces) / 7)
        assert shown["failing_traces"].value == pytest.approx(failing / len(traces))
        assert shown["cost_per_trace"].value == pytest.approx(sum(costs) / len(traces))
        middle = getattr(sign(report, "latency_median"), side)
        assert middle.value == pytest.approx(median(span.total_seconds() for span in spans), rel=0.02)
        assert middle.low <= middle.value <= middle.high
        rated = [score.value for score in rows.scores if is_now(score.timestamp) is period]
        assert getattr(sign(report, "score"), side).value == pytest.approx(sum(rated) / len(rated))
    days = sign(report, "traces").days
    assert [day.start for day in days] == [PERIODS.baseline.start + i * DAY for i in range(14)]
    counts = Counter((trace.timestamp - PERIODS.baseline.start) // DAY for trace in rows.traces)
    assert [day.value for day in days] == [counts[i] for i in range(14)]


@every_schema
def test_what_was_new_is_named_with_its_first_moment(reports: dict[Schema, Report], rows: Rows, schema: Schema) -> None:
    health = reports[schema].health
    assert health is not None
    found = {tuple(change.segment.values()): change for change in health.changes}
    assert set(found) == {("support", "1.1"), ("answer", "7")}
    first = min(trace.timestamp for trace in rows.traces if trace.release == "1.1")
    assert found["support", "1.1"].first_seen == first
    assert 0.5 < found["answer", "7"].share < 0.9


def flow_of(report: Report, name: str) -> Flow:
    assert report.flows is not None
    return next(one for one in report.flows.flows if one.trace_name == name)


@every_schema
@pytest.mark.parametrize("app", ["support", "research"])
def test_the_flow_is_that_of_the_rows(reports: dict[Schema, Report], rows: Rows, schema: Schema, app: str) -> None:
    moves: Counter[tuple[bool, str, str]] = Counter()
    taken: Counter[tuple[bool, str]] = Counter()
    for trace in rows.traces:
        if trace.name == app:
            steps = sorted(steps_of(rows)[trace.id], key=lambda step: step.start_time)
            names = ["", *(step.name for step in steps), ""]
            now = is_now(trace.timestamp)
            moves.update((now, a, b) for a, b in pairwise(names))
            taken.update((now, name) for name in names[1:-1])
    shown = flow_of(reports[schema], app)
    for move in shown.transitions:
        assert move.window == moves.pop((True, move.source, move.target), 0)
        assert move.baseline == moves.pop((False, move.source, move.target), 0)
    assert not moves
    for step in shown.steps:
        assert (step.window.count, step.baseline.count) == (taken[True, step.name], taken[False, step.name])
    failing = {step.name: step.window.errors for step in shown.steps if step.window.errors}
    assert set(failing) <= {"lookup_order"}


def test_both_schemas_say_the_same(reports: dict[Schema, Report]) -> None:
    one, other = (reports[schema] for schema in SCHEMAS)
    assert one.health is not None
    assert other.health is not None
    assert one.health.signs == other.health.signs
    assert one.health.changes == other.health.changes
    assert one.flows is not None
    assert other.flows is not None
    assert one.flows.flows == other.flows.flows


@every_schema
def test_examples_are_quoted_with_the_step_that_the_finding_is_about(
    reports: dict[Schema, Report], schema: Schema
) -> None:
    report = reports[schema]
    excerpts = {one.trace_id: one for one in report.excerpts}
    found = next(one for one in report.findings if one.segment.get("tool_name") == "lookup_order")
    assert len(found.example_trace_ids) == 3
    for trace_id in found.example_trace_ids:
        marked = [line.text for line in excerpts[trace_id].lines if line.failing and line.kind == "step"]
        assert len(marked) == 1
        assert "lookup_order" in marked[0]
        assert any("timeout" in line.text for line in excerpts[trace_id].lines if line.failing)


def test_of_very_many_traces_one_day_of_each_period_is_counted(
    engine: Analyse, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow, "ENOUGH", 10)
    report = engine(rows, "v4")
    assert report.flows is not None
    assert report.flows.days == [END - DAY, END - 8 * DAY]
    last = [trace for trace in rows.traces if trace.timestamp >= END - DAY and trace.name == "support"]
    assert flow_of(report, "support").window == len(last)


def test_a_window_without_traces_is_measured_as_none(engine: Analyse, rows: Rows) -> None:
    old = Rows(
        traces=[trace for trace in rows.traces if not is_now(trace.timestamp)],
        observations=[row for row in rows.observations if not is_now(row.start_time)],
        scores=[score for score in rows.scores if not is_now(score.timestamp)],
    )
    report = engine(old, "v4")
    traffic = sign(report, "traces")
    assert traffic.window is not None
    assert traffic.window.value == 0
    assert sign(report, "failing_traces").window is None
