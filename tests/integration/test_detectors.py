"""Each detector finds the one fault that a project has, names its place and its first day, and counts it right.

The project is a small one, written as v3 or v4; the figures are computed once more from its rows, in Python.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.support.faults import (
    answers,
    costs,
    fails,
    never_ends,
    on_step,
    rated,
    reads,
    repeats,
    takes,
    wanders,
)
from tests.support.in_memory import Analyse
from tests.support.schemas import both
from tests.support.world import PERIODS, Fault, make_world

from hansei.contracts import Direction, Finding, Kind, Report, Segment, Window
from hansei.demo.rows import ObservationRow, Rows
from hansei.demo.tables import SCHEMAS, Schema
from hansei.tools.playbook.catalogue import DETECTORS

# The figures once more, from the rows

Figure = Callable[[Rows, Window], tuple[float, int]]
"""(rows, span) → the value, and of how many."""


def within(span: Window, moment: datetime) -> bool:
    return span.start <= moment < span.end


def steps_of(rows: Rows, span: Window, name: str) -> list[ObservationRow]:
    return [row for row in rows.observations if row.name == name and within(span, row.start_time)]


def share(name: str, hit: Callable[[ObservationRow], bool]) -> Figure:
    """Of the steps of that name, those that are hit."""

    def figure(rows: Rows, span: Window) -> tuple[float, int]:
        steps = steps_of(rows, span, name)
        return sum(map(hit, steps)) / len(steps), len(steps)

    return figure


def mean(name: str, amount: Callable[[ObservationRow], float]) -> Figure:
    def figure(rows: Rows, span: Window) -> tuple[float, int]:
        steps = steps_of(rows, span, name)
        return math.fsum(map(amount, steps)) / len(steps), len(steps)

    return figure


def p95(name: str) -> Figure:
    """ClickHouse's quantileExact: of the values in order, the one at 0.95 n, rounded down."""

    def figure(rows: Rows, span: Window) -> tuple[float, int]:
        steps = steps_of(rows, span, name)
        seconds = sorted((step.end_time - step.start_time).total_seconds() for step in steps if step.end_time)
        return seconds[int(0.95 * len(seconds))], len(seconds)

    return figure


def ratings(app: str) -> Figure:
    def figure(rows: Rows, span: Window) -> tuple[float, int]:
        apps = {trace.id: trace.name for trace in rows.traces}
        values = [s.value for s in rows.scores if within(span, s.timestamp) and apps[str(s.trace_id)] == app]
        return sum(values) / len(values), len(values)

    return figure


def looping(name: str, least: int) -> Figure:
    """Of the traces that call it, those that send one input at least that often."""

    def figure(rows: Rows, span: Window) -> tuple[float, int]:
        inputs: dict[str, list[str]] = {}
        for step in steps_of(rows, span, name):
            inputs.setdefault(step.trace_id, []).append(str(step.input))
        most = [max(map(sent.count, sent)) for sent in inputs.values()]
        return sum(n >= least for n in most) / len(most), len(most)

    return figure


def long_traces(app: str, bound: int) -> Figure:
    def figure(rows: Rows, span: Window) -> tuple[float, int]:
        steps = {trace.id: 0 for trace in rows.traces if trace.name == app and within(span, trace.timestamp)}
        for step in rows.observations:
            if step.trace_id in steps:
                steps[step.trace_id] += 1
        return sum(n > bound for n in steps.values()) / len(steps), len(steps)

    return figure


def per_day(app: str) -> Figure:
    def figure(rows: Rows, span: Window) -> tuple[float, int]:
        traces = sum(trace.name == app and within(span, trace.timestamp) for trace in rows.traces)
        return traces / span.days, traces

    return figure


# The faults


@dataclass(frozen=True)
class Case:
    """A fault, and the finding that it must give."""

    kind: Kind
    metric: str
    segment: Segment
    figure: Figure
    day: int
    faults: Sequence[Fault] = ()
    direction: Direction = "regression"
    world: dict[str, Any] = field(default_factory=dict)
    title: str = ""


CASES = {
    "error": Case(
        "error", "error_rate", {"tool_name": "lookup_order"},
        share("lookup_order", lambda row: row.level == "ERROR"), 3,
        [on_step("support", "lookup_order", fails("timeout after 5 s"), day=3, share=0.3)],
        title="of calls of tool “lookup_order” fail, up from 0 %",
    ),
    "latency": Case(
        "latency", "step_latency_p95", {"tool_name": "lookup_order"}, p95("lookup_order"), 2,
        [on_step("support", "lookup_order", takes(2.2), day=2)],
        title="Calls of tool “lookup_order” got slower: p95 rose from",
    ),
    "cost": Case(
        "cost", "cost_per_call", {"observation_name": "answer"},
        mean("answer", lambda row: float(row.total_cost or 0)), 4,
        [on_step("support", "answer", costs(1.5), day=4)],
        title="Cost per call of step “answer” rose from",
    ),
    "token_usage": Case(
        "token_usage", "tokens_per_call", {"observation_name": "answer"},
        mean("answer", lambda row: row.usage_details["total"]), 1,
        [on_step("support", "answer", reads(500), day=1)],
        title="Tokens per call of step “answer” rose from",
    ),
    "quality": Case(
        "quality", "score_rate", {"score_name": "helpful", "trace_name": "support"}, ratings("support"), 2,
        [rated("support", 0.3, day=2)],
        title="Score “helpful” of app “support” fell from",
    ),
    "loop": Case(
        "loop", "loop_rate", {"tool_name": "lookup_order"}, looping("lookup_order", 4), 1,
        [repeats("support", "lookup_order", 3, day=1, share=0.2)],
        title="call it 4 times or more with the same input, up from 0 %",
    ),
    "silent_failure": Case(
        "silent_failure", "silent_failure_rate", {"tool_name": "lookup_order"},
        share("lookup_order", lambda row: row.output != "ok"), 5,
        [on_step("support", "lookup_order", answers('{"error": "order service is down"}'), day=5, share=0.6)],
        title="of calls of tool “lookup_order” fail silently, up from 0 %",
    ),
    "unfinished": Case(
        "unfinished", "unfinished_rate", {"tool_name": "web_search"},
        share("web_search", lambda row: row.end_time is None), 1,
        [on_step("research", "web_search", never_ends, day=1, share=0.3)],
        title="of tool “web_search” never finish, up from 0 %",
    ),
    "traffic": Case(
        "traffic", "traces_per_day", {"trace_name": "support"}, per_day("support"), 3,
        world={"days": 35, "per_day": 120, "volume": lambda day, app: 0.3 if app == "support" and day >= 3 else 1.0},
        title="Traffic of app “support”",
    ),
    "runaway": Case(
        "runaway", "runaway_rate", {"trace_name": "research"}, long_traces("research", 25), 0,
        [wanders("research", "web_search", 30, share=0.2)],
        title="of the traces of app “research” run away past 25 steps",
    ),
}  # fmt: skip

SCHEMA_OF = {name: SCHEMAS[i % 2] for i, name in enumerate(CASES)}


ELSEWHERE = {
    "judge_disagreement",
    "instrumentation_gap",
    "truncation",
    "empty_retrieval",
    "cache",
    "first_token_latency",
    "answer",
    "language_mix",
}
"""Detectors whose cases are in the other modules of this name."""


def test_every_detector_has_a_case() -> None:
    assert {*CASES, *ELSEWHERE} == {detector.name for detector in DETECTORS}


@pytest.fixture(scope="module")
def analysed(engine: Analyse) -> Callable[[str], tuple[Report, Rows]]:
    """The report on a case's world, and its rows; made once."""
    made: dict[str, tuple[Report, Rows]] = {}

    def of(name: str) -> tuple[Report, Rows]:
        if name not in made:
            rows = make_world(*CASES[name].faults, **CASES[name].world)
            made[name] = engine(rows, SCHEMA_OF[name]), rows
        return made[name]

    return of


Analysed = Callable[[str], tuple[Report, Rows]]


def the_finding(report: Report, case: Case) -> Finding:
    """The finding of the case's kind; there must be one."""
    (found,) = [finding for finding in report.findings if finding.kind == case.kind]
    return found


PLACED = list(CASES)


@pytest.mark.parametrize("name", PLACED)
def test_the_fault_is_found_where_it_is_and_since_when(name: str, analysed: Analysed) -> None:
    case, (report, _) = CASES[name], analysed(name)
    found = the_finding(report, case)
    assert (found.metric, found.direction, found.segment) == (case.metric, case.direction, case.segment)
    assert found.onset == PERIODS.window.start + timedelta(days=case.day)
    assert found.verdict == "confirmed"


@pytest.mark.parametrize("name", PLACED)
def test_nothing_else_is_found(name: str, analysed: Analysed) -> None:
    report, _ = analysed(name)
    assert [(finding.kind, finding.segment) for finding in report.findings] == [(CASES[name].kind, CASES[name].segment)]


@pytest.mark.parametrize("name", CASES)
def test_its_figures_are_those_of_the_rows(name: str, analysed: Analysed) -> None:
    case, (report, rows) = CASES[name], analysed(name)
    found = the_finding(report, case)
    assert found.baseline is not None
    now, before = case.figure(rows, PERIODS.window), case.figure(rows, PERIODS.baseline)
    assert (found.current.n, found.baseline.n) == (now[1], before[1])
    assert found.current.value == pytest.approx(now[0], rel=1e-9)
    assert found.baseline.value == pytest.approx(before[0], rel=1e-9)
    assert found.effect == pytest.approx(now[0] - before[0])
    for estimate in (found.current, found.baseline):
        assert estimate.low <= estimate.value <= estimate.high


@pytest.mark.parametrize("name", CASES)
def test_its_words_hold_its_figure_and_nothing_unfilled(name: str, analysed: Analysed) -> None:
    case, (report, _) = CASES[name], analysed(name)
    found = the_finding(report, case)
    assert case.title in found.title
    assert re.search(r"\d", found.title)
    for text in (found.title, found.summary, found.cause or "", found.recommendation):
        assert not re.search(r"\b(None|nan|inf)\b", text)
    for text in (found.title, found.summary, found.recommendation):
        assert text.strip() == text != ""


@pytest.mark.parametrize("name", CASES)
def test_its_example_traces_are_of_the_window_and_have_the_fault(name: str, analysed: Analysed) -> None:
    report, rows = analysed(name)
    found = the_finding(report, CASES[name])
    if CASES[name].kind == "traffic":
        assert found.example_trace_ids == []
        return
    assert len(found.example_trace_ids) == 3
    traces = {trace.id: trace for trace in rows.traces}
    for example in found.example_trace_ids:
        assert within(PERIODS.window, traces[example].timestamp)
        if "tool_name" in found.segment:
            assert any(row.name == found.segment["tool_name"] for row in rows.observations if row.trace_id == example)


@pytest.mark.parametrize("name", CASES)
def test_the_coverage_says_that_the_detector_ran(name: str, analysed: Analysed) -> None:
    report, _ = analysed(name)
    lines = {line.name: line for line in report.coverage.detectors}
    assert set(lines) == {*CASES, *ELSEWHERE}
    assert lines[name].status == "ran"
    assert lines[name].slices > 0


@pytest.mark.parametrize("schema", both("v4"))
def test_a_project_without_a_fault_has_no_finding(schema: Schema, engine: Analyse) -> None:
    report = engine(make_world(seed=5), schema)
    assert report.findings == []
    assert {line.name for line in report.coverage.detectors if line.status == "ran"} >= set(CASES)
