"""What looks like a finding and is none: quiet projects, and the traps that data of this kind holds."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import timedelta

import pytest
from tests.support.faults import fails, never_ends, on_step
from tests.support.in_memory import Analyse
from tests.support.schemas import both
from tests.support.world import END, PERIODS, Step, Visit, make_world

from hansei.contracts import Check, Finding
from hansei.demo.rows import Rows
from hansei.demo.tables import SCHEMAS, Schema

pytestmark = pytest.mark.long


def failed(finding: Finding) -> list[Check]:
    return [check for check in finding.checks if check.passed is False]


@pytest.mark.parametrize(
    ("seeds", "at_most"), [(range(8), 0), pytest.param(range(8, 40), 2, marks=pytest.mark.long)], ids=["eight", "more"]
)
def test_quiet_projects_give_next_to_no_finding(engine: Analyse, seeds: range, at_most: int) -> None:
    found = [
        (seed, finding.title)
        for seed in seeds
        for finding in engine(make_world(seed=seed, per_day=40), SCHEMAS[seed % 2]).findings
    ]
    assert len(found) <= at_most, found


def lookups(rows: Rows) -> list[int]:
    """Where the window's first 150 calls of lookup_order are."""
    wanted = (i for i, row in enumerate(rows.observations) if row.name == "lookup_order")
    return [i for i in wanted if rows.observations[i].start_time >= PERIODS.window.start][:150]


@pytest.mark.parametrize("schema", both("v4"))
def test_errors_that_a_newer_version_took_back_are_none(schema: Schema, engine: Analyse) -> None:
    rows = make_world(seed=3)
    for i in lookups(rows):
        good = rows.observations[i]
        assert good.end_time is not None
        rows.observations[i] = replace(good, level="ERROR", event_ts=good.end_time)
        rows.observations.append(replace(good, event_ts=good.end_time + timedelta(seconds=5)))
    report = engine(rows, schema)
    assert report.findings == []
    assert report.coverage.errors.window == 0
    assert report.coverage.observations.window + report.coverage.observations.baseline == len(
        {row.id for row in rows.observations}
    )


@pytest.mark.parametrize("schema", both("v4"))
def test_deleted_errors_and_errors_of_other_projects_are_none(schema: Schema, engine: Analyse) -> None:
    rows = make_world(seed=3)
    kept = len(rows.observations)
    for n, i in enumerate(lookups(rows)):
        call = rows.observations[i]
        assert call.end_time is not None
        bad = replace(call, id=f"{call.id}-bad", level="ERROR", event_ts=call.end_time)
        if n % 2:
            rows.observations.append(replace(bad, project_id="someone-else"))
        else:
            rows.observations.append(bad)
            rows.observations.append(replace(bad, is_deleted=True, event_ts=call.end_time + timedelta(seconds=5)))
    report = engine(rows, schema)
    assert report.findings == []
    assert report.coverage.observations.window + report.coverage.observations.baseline == kept


def test_three_failures_of_three_calls_are_no_finding(engine: Analyse) -> None:
    times = itertools.count()

    def fault(visit: Visit) -> None:
        if visit.app == "support" and visit.day >= 4 and next(times) % 40 == 0:
            visit.steps.insert(1, Step("TOOL", "refund", 0.5, level="ERROR", status="no such order"))

    rows = make_world(fault, seed=4)
    assert sum(row.name == "refund" for row in rows.observations) in (3, 4)
    assert engine(rows, "v4").findings == []


def one_user(visit: Visit) -> None:
    """A user who makes an eighth of the visits, and from the window's first day on only failures."""
    if visit.app == "support" and visit.random.random() < 0.125:
        visit.user = "mallory"
    if visit.app == "support" and visit.user == "mallory" and visit.day >= 0:
        visit.steps[1].level, visit.steps[1].status = "ERROR", "no such customer"


@pytest.mark.parametrize("schema", both("v4"))
def test_errors_of_one_user_are_told_as_this_users(schema: Schema, engine: Analyse) -> None:
    report = engine(make_world(one_user, seed=6, per_day=120), schema)
    (found,) = report.findings
    assert found.kind == "error"
    assert found.segment == {"tool_name": "lookup_order", "user_id": "mallory"}
    assert found.comparison.segment == found.segment
    assert found.current.value == 1.0
    assert found.baseline is not None
    assert found.baseline.value == 0.0
    assert "“mallory”" in found.title
    (general,) = [finding for finding in report.refuted if finding.kind == "error"]
    assert general.segment == {"tool_name": "lookup_order"}
    (why,) = failed(general)
    assert why.name == "own_cause"
    assert found.id in why.detail or found.title in why.detail


def test_averages_that_only_the_mix_moved_are_refuted_as_that(engine: Analyse) -> None:
    def strict(visit: Visit) -> None:
        if visit.app == "research" and visit.scores:
            visit.scores = [("helpful", float(visit.random.random() < 0.2), "BOOLEAN")]

    rows = make_world(strict, seed=7, per_day=150, share_of_research=lambda day: 0.2 if day < 0 else 0.5)
    report = engine(rows, "v3")
    assert [finding for finding in report.findings if finding.kind != "traffic"] == []
    moved = {
        finding.metric: finding for finding in report.refuted if "mix_shift" in [one.name for one in failed(finding)]
    }
    assert moved.keys() >= {"cost_per_trace", "tokens_per_call", "score_rate"}
    for metric, segment in (("cost_per_trace", {}), ("tokens_per_call", {}), ("score_rate", {"score_name": "helpful"})):
        average = moved[metric]
        assert (average.segment, average.direction) == (segment, "regression")
        assert average.baseline is not None
        assert abs(average.current.value / average.baseline.value - 1) > 0.1
        (why,) = failed(average)
        assert "“research” went from" in why.detail
    assert "“research” went from 20 % to 50 %" in failed(moved["cost_per_trace"])[0].detail


def weekly(day: int, app: str) -> float:
    """Little traffic on Saturdays and Sundays; the window begins on a Monday."""
    return 0.3 if day % 7 in (5, 6) else 1.0


def test_a_weekend_is_no_drop_of_traffic(engine: Analyse) -> None:
    rows = make_world(seed=8, per_day=100, days=38, volume=weekly)
    assert END.weekday() == 0
    report = engine(rows, "v4", window="3d", baseline="3d")
    now, before = report.coverage.traces.window, report.coverage.traces.baseline
    assert now < 0.6 * before  # Friday to Sunday, after Tuesday to Thursday
    assert report.findings == []
    (line,) = [line for line in report.coverage.detectors if line.name == "traffic"]
    assert line.status == "ran"


def test_without_a_former_weekend_traffic_is_not_judged(engine: Analyse) -> None:
    rows = make_world(seed=8, per_day=100, days=13, volume=lambda day, app: weekly(day, app) if day > 0 else 1.0)
    rows.traces = [row for row in rows.traces if row.timestamp >= END - timedelta(days=5)]
    kept = {row.id for row in rows.traces}
    rows.observations = [row for row in rows.observations if row.trace_id in kept]
    rows.scores = [row for row in rows.scores if row.trace_id in kept]
    report = engine(rows, "v4", window="2d", baseline="3d")
    assert report.findings == []
    (line,) = [line for line in report.coverage.detectors if line.name == "traffic"]
    assert line.status == "skipped"
    assert "weekday" in line.reason


@pytest.mark.parametrize("schema", both("v4"))
def test_steps_of_the_last_hour_may_still_be_running(schema: Schema, engine: Analyse) -> None:
    def fault(visit: Visit) -> None:
        if visit.at >= END - timedelta(minutes=50):
            for step in visit.steps:
                step.finished = False

    rows = make_world(fault, seed=9, per_day=700, days=9)
    assert sum(row.end_time is None for row in rows.observations) > 50
    assert engine(rows, schema, window="1d", baseline="1d").findings == []
    earlier = make_world(on_step("support", "answer", never_ends, day=6, share=0.2), seed=9, per_day=200, days=9)
    (found,) = engine(earlier, schema, window="1d", baseline="1d").findings
    assert (found.kind, found.segment) == ("unfinished", {"observation_name": "answer"})


def test_one_bad_day_is_told_as_one(engine: Analyse) -> None:
    """A burst is real, and the report says that it is one day's."""
    burst = on_step("support", "lookup_order", fails("connection reset"), share=0.9)

    def fault(visit: Visit) -> None:
        if visit.day == 3:
            burst(visit)

    (found,) = engine(make_world(fault, seed=10), "v3").findings
    assert found.segment == {"tool_name": "lookup_order"}
    assert [check.name for check in failed(found)] == ["one_day"]
    assert found.onset == PERIODS.window.start + timedelta(days=3)
