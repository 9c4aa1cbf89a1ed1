"""What the scorecard showed: a step inside a root step is the cause, and one stray runaway does not hide the others."""

from __future__ import annotations

from datetime import timedelta

import pytest
from benchmarks.quality.scorer import Scorer
from benchmarks.quality.session import analysed
from benchmarks.quality.world import make_world as make_simulated
from tests.support.faults import on_step, takes, wanders
from tests.support.in_memory import Analyse
from tests.support.world import Visit, make_world

from hansei.demo.rows import ObservationRow, Rows


def wrapped(rows: Rows) -> Rows:
    """The rows with a root step of type AGENT around each trace's steps, as most SDKs send it."""
    end = {trace.id: trace.timestamp for trace in rows.traces}
    for row in rows.observations:
        end[row.trace_id] = max(end[row.trace_id], row.end_time or row.start_time)
        row.parent_observation_id = f"{row.trace_id}-root"
    rows.observations += [
        ObservationRow(
            id=f"{trace.id}-root", trace_id=trace.id, start_time=trace.timestamp,
            end_time=end[trace.id] + timedelta(milliseconds=5), type="AGENT", name="agent", project_id=trace.project_id,
            environment=trace.environment, output="ok",
        )
        for trace in rows.traces
    ]  # fmt: skip
    return rows


@pytest.mark.parametrize(("app", "step"), [("support", "answer"), ("research", "web_search")])
def test_a_slow_step_is_told_and_not_the_root_around_it(engine: Analyse, app: str, step: str) -> None:
    report = engine(wrapped(make_world(on_step(app, step, takes(3.0), day=2))), "v3")
    (found,) = report.findings
    assert step in found.segment.values()
    assert found.kind == "latency"
    assert any("agent" in echo.segment.values() for echo in found.echoes)


def test_one_runaway_before_does_not_hide_those_of_the_window(engine: Analyse) -> None:
    def stray(visit: Visit) -> None:
        if visit.app == "research" and not done and visit.day == -3:
            done.append(visit)
            wanders("research", "web_search", 230, day=-7)(visit)

    done: list[Visit] = []
    rows = make_world(stray, wanders("research", "web_search", 60, day=1, share=0.15))
    report = engine(rows, "v4")
    assert ("runaway", {"trace_name": "research"}) in [(found.kind, found.segment) for found in report.findings]


@pytest.mark.long
def test_two_steps_that_never_end_where_all_did_are_not_told_of_the_whole_project() -> None:
    world = make_simulated("faulty", 61, only=("never_ends", "release_never_ends"))
    with analysed(world) as session:
        planted = Scorer(world, session.report).score()["planted"]
    places = {one["fault"]: one.get("place") for one in planted if one["kind"] == "unfinished"}
    assert places == {"never_ends": "right", "release_never_ends": "right"}
