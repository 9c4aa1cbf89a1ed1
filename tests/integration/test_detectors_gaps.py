"""What the data lacks is found where it is lacking, once, and told with what closes it.

The project is a small one, written as v3 or v4; the figures are computed once more from its rows, in Python.
"""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.support.faults import on_step, uncounted, unpriced
from tests.support.in_memory import Analyse
from tests.support.schemas import both
from tests.support.world import PERIODS, Step, Visit, make_world

from hansei.contracts import Finding, Report
from hansei.demo.tables import Schema

pytestmark = pytest.mark.long

ALWAYS = -7
STEPS = (("support", "answer"), ("research", "summarise"), ("research", "plan"))


def only(report: Report) -> Finding:
    """The only finding of the report."""
    (found,) = report.findings
    return found


@pytest.mark.parametrize("schema", both("v3"))
def test_cost_that_vanishes_is_a_gap_where_and_since_when(engine: Analyse, schema: Schema) -> None:
    rows = make_world(on_step("research", "summarise", unpriced, day=2))
    found = only(engine(rows, schema))
    assert (found.kind, found.metric, found.direction) == (
        "instrumentation_gap", "generations_without_cost", "regression"
    )  # fmt: skip
    assert found.segment == {"observation_name": "summarise"}
    assert found.onset == PERIODS.window.start + timedelta(days=2)
    window = PERIODS.window
    calls = [r for r in rows.observations if r.name == "summarise" and window.start <= r.start_time < window.end]
    assert found.current.n == len(calls)
    assert found.current.value == pytest.approx(sum(r.total_cost is None for r in calls) / len(calls))
    assert found.severity in ("medium", "low")
    assert {echo.kind for echo in found.echoes} <= {"cost"}, "what was not recorded was not saved"


def test_usage_that_vanishes_takes_the_cost_with_it_and_is_told_once(engine: Analyse) -> None:
    found = only(engine(make_world(on_step("research", "summarise", uncounted, day=2)), "v4"))
    assert found.metric == "generations_without_usage"
    assert "generations_without_cost" in {echo.metric for echo in found.echoes}


def test_a_model_without_a_price_stands_out(engine: Analyse) -> None:
    found = only(engine(make_world(on_step("research", "plan", unpriced, day=ALWAYS)), "v3"))
    assert (found.metric, found.direction) == ("generations_without_cost", "hotspot")
    assert found.segment == {"model": "small-1"}


@pytest.mark.parametrize("schema", both("v3"))
def test_what_the_whole_project_lacks_is_one_finding(engine: Analyse, schema: Schema) -> None:
    found = only(engine(make_world(*(on_step(app, name, unpriced, day=ALWAYS) for app, name in STEPS)), schema))
    assert (found.metric, found.segment, found.baseline) == ("generations_without_cost", {}, None)
    assert found.current.value == 1
    assert found.verdict == "confirmed"


def test_users_that_one_app_stops_naming_are_a_gap_and_users_nobody_names_are_none(engine: Analyse) -> None:
    def anonymous(visit: Visit) -> None:
        if visit.app == "support" and visit.day >= 3:
            visit.user = ""

    def nobody(visit: Visit) -> None:
        visit.user = ""

    found = only(engine(make_world(anonymous), "v4"))
    assert (found.metric, found.segment) == ("traces_without_user", {"trace_name": "support"})
    assert found.severity == "low"
    assert engine(make_world(nobody), "v3").findings == []


def test_calls_that_fail_have_no_cost_and_that_is_no_gap(engine: Analyse) -> None:
    def fails_without_usage(visit: Visit, step: Step) -> None:
        uncounted(visit, step)
        step.level, step.status = "ERROR", "overloaded"

    report = engine(make_world(on_step("research", "summarise", fails_without_usage, day=2, share=0.4)), "v4")
    assert "error" in {finding.kind for finding in report.findings}
    assert "instrumentation_gap" not in {finding.kind for finding in report.findings}


def test_an_app_whose_steps_never_end_was_not_told_to_end_them(engine: Analyse) -> None:
    def fault(visit: Visit) -> None:
        for step in visit.steps:
            step.finished = step.finished and visit.app != "research"

    found = only(engine(make_world(fault, share_of_research=lambda day: 0.1, per_day=150), "v4"))
    assert (found.metric, found.direction) == ("steps_without_end", "hotspot")
    assert found.segment == {"trace_name": "research"}
    assert "unfinished" in {echo.kind for echo in found.echoes}


def test_steps_that_no_longer_end_are_unfinished_and_no_gap(engine: Analyse) -> None:
    def fault(visit: Visit) -> None:
        for step in visit.steps:
            step.finished = visit.app != "research" or visit.day < 2

    report = engine(make_world(fault, share_of_research=lambda day: 0.1, per_day=150), "v3")
    kinds = {found.kind for found in report.findings}
    assert "unfinished" in kinds
    assert "instrumentation_gap" not in kinds


def test_links_to_prompts_that_are_lost_are_a_gap(engine: Analyse) -> None:
    def fault(visit: Visit) -> None:
        for step in visit.steps:
            if step.name == "answer" and visit.day >= 2:
                step.prompt = None

    found = only(engine(make_world(fault), "v4"))
    assert (found.metric, found.direction) == ("generations_without_prompt", "regression")
    assert found.severity == "low"


def test_an_app_that_links_no_prompt_while_the_rest_does_stands_out(engine: Analyse) -> None:
    def fault(visit: Visit) -> None:
        for step in visit.steps:
            if visit.app == "research":
                step.prompt = None

    found = only(engine(make_world(fault, share_of_research=lambda day: 0.1, per_day=150), "v3"))
    assert (found.metric, found.segment) == ("generations_without_prompt", {"trace_name": "research"})


@pytest.mark.parametrize("schema", both("v4"))
def test_an_app_whose_users_nobody_asks_is_a_gap_where_the_others_are_asked(engine: Analyse, schema: Schema) -> None:
    def unasked(visit: Visit) -> None:
        if visit.app == "research":
            visit.scores = []

    def judged(visit: Visit) -> None:
        unasked(visit)
        visit.user, visit.session = "", ""

    found = only(engine(make_world(unasked, per_day=120), schema))
    assert (found.metric, found.direction, found.segment) == (
        "traces_without_feedback", "hotspot", {"trace_name": "research"}
    )  # fmt: skip
    assert (found.current.value, found.severity) == (1, "low")
    assert found.baseline is not None
    assert found.baseline.value == pytest.approx(0.5, abs=0.02)
    assert "create_score" in found.recommendation
    rows = make_world(per_day=120)
    for score in rows.scores:
        if score.trace_id.startswith("research-"):
            score.id = f"hansei-{score.id}"
    (own,) = engine(rows, schema).findings
    assert (own.metric, own.segment) == (found.metric, found.segment), "what Hansei wrote itself is no feedback"
    assert engine(make_world(judged, per_day=120), schema).findings == [], (
        "where nobody uses an app, nobody can say how it does"
    )


def test_feedback_that_ends_is_a_gap_and_less_of_it_is_none(engine: Analyse) -> None:
    def ends(visit: Visit) -> None:
        if visit.app == "support" and visit.day >= 0:
            visit.scores = []

    def shrinks(visit: Visit) -> None:
        if visit.app == "support" and visit.day >= 0 and visit.random.random() < 0.5:
            visit.scores = []

    found = only(engine(make_world(ends), "v3"))
    assert (found.metric, found.direction, found.segment) == (
        "traces_without_feedback", "regression", {"trace_name": "support"}
    )  # fmt: skip
    assert engine(make_world(shrinks), "v3").findings == []
