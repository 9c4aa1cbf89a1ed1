"""One cause, one finding: several faults are told apart, and what follows from a fault is told with it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from tests.support.faults import costs, fails, on_step, repeats, takes
from tests.support.in_memory import Analyse
from tests.support.world import Visit, make_world

from hansei.contracts import Report, Segment
from hansei.demo.tables import Schema


def told(report: Report) -> set[tuple[str, str, tuple[tuple[str, str], ...]]]:
    return {(found.kind, found.direction, tuple(sorted(found.segment.items()))) for found in report.findings}


def entry(kind: str, segment: Segment, direction: str = "regression") -> tuple[str, str, tuple[tuple[str, str], ...]]:
    return kind, direction, tuple(sorted(segment.items()))


def test_two_tools_that_begin_to_fail_are_two_findings(engine: Analyse) -> None:
    faults = (
        on_step("support", "lookup_order", fails("timeout"), day=3, share=0.3),
        on_step("research", "web_search", fails("429"), day=1, share=0.15),
    )
    report = engine(make_world(*faults), "v3")
    assert told(report) == {
        entry("error", {"tool_name": "lookup_order"}),
        entry("error", {"tool_name": "web_search"}),
    }


def test_one_of_several_tools_that_begins_to_loop_is_named(engine: Analyse) -> None:
    report = engine(make_world(repeats("research", "web_search", 5, day=1, share=0.3)), "v4")
    assert entry("loop", {"tool_name": "web_search"}) in told(report)


def test_when_every_step_fails_it_is_the_whole_project(engine: Analyse) -> None:
    def fault(visit: Visit) -> None:
        for step in visit.steps:
            if visit.day >= 2 and visit.random.random() < 0.2:
                step.level, step.status = "ERROR", "out of memory"

    assert told(engine(make_world(fault), "v4")) == {entry("error", {})}


def test_a_slow_step_is_told_with_the_slow_traces_that_follow(engine: Analyse) -> None:
    report = engine(make_world(on_step("support", "answer", takes(2.5), day=2)), "v3")
    (found,) = report.findings
    assert found.segment == {"observation_name": "answer"}
    assert [(echo.kind, echo.segment) for echo in found.echoes] == [("latency", {"trace_name": "support"})]


def test_a_dear_step_is_told_with_the_averages_that_it_moves(engine: Analyse) -> None:
    report = engine(make_world(on_step("support", "answer", costs(1.8), day=2)), "v4")
    assert told(report) == {entry("cost", {"observation_name": "answer"})}
    assert {str(echo.segment) for echo in report.findings[0].echoes} >= {"{'trace_name': 'support'}"}


def test_two_steps_that_get_dearer_in_the_same_traces_are_two_findings(engine: Analyse) -> None:
    def fault(visit: Visit) -> None:
        if visit.app == "research" and visit.day >= 2:
            visit.steps[-1].prompt = ("summarise", 4)

    faults = (on_step("research", "summarise", costs(1.6), day=2), on_step("research", "plan", costs(1.8), day=2))
    assert told(engine(make_world(fault, *faults), "v4")) == {
        entry("cost", {"prompt_name": "summarise", "prompt_version": "4"}),
        entry("cost", {"observation_name": "plan"}),
    }


def test_an_average_that_two_faults_moved_by_halves_is_told_by_both(engine: Analyse) -> None:
    def plans_on(visit: Visit) -> None:
        if visit.app == "research" and visit.day >= 1 and visit.random.random() < 0.25:
            visit.steps[1:1] = [replace(visit.steps[0], cost=0.0011, input=f"page {n}") for n in range(22)]

    report = engine(make_world(plans_on, on_step("research", "summarise", costs(1.5), day=1)), "v4")
    dearer = entry("cost", {"observation_name": "summarise"})
    assert told(report) == {entry("runaway", {"trace_name": "research"}), dearer}
    (per_trace,) = [found for found in report.refuted if found.metric == "cost_per_trace"]
    (check,) = [check for check in per_trace.checks if check.passed is False]
    assert check.name == "own_cause"
    assert all(one.title in check.detail for one in report.findings)


def test_a_new_prompt_version_is_named_and_compared_with_the_former(engine: Analyse) -> None:
    def fault(visit: Visit) -> None:
        if visit.app == "support" and visit.day >= 2 and visit.random.random() < 0.7:
            step = visit.steps[-1]
            step.prompt, step.tokens = ("answer", 7), (step.tokens[0] + 900, step.tokens[1])
            step.cost = (step.tokens[0] * 2 + step.tokens[1] * 8) / 1e6

    report = engine(make_world(fault), "v4")
    (found,) = report.findings
    assert (found.kind, found.segment) == ("cost", {"prompt_name": "answer", "prompt_version": "7"})
    assert found.comparison.segment == {"prompt_name": "answer"}
    assert "token_usage" in {echo.kind for echo in found.echoes}
    assert found.cause is not None
    assert "version 7 of prompt “answer”" in found.cause


def test_a_new_model_is_named_and_compared_with_what_it_replaced(engine: Analyse) -> None:
    def fault(visit: Visit) -> None:
        if visit.app == "support" and visit.day >= 2:
            visit.steps[-1].model = "large-2"
            visit.steps[-1].cost *= 1.3

    (found,) = engine(make_world(fault), "v3").findings
    assert (found.kind, found.segment) == ("cost", {"model": "large-2"})
    assert found.comparison.segment != found.segment


def fixed(visit: Visit) -> None:
    """A tool that failed until the window's second day."""
    if visit.app == "support" and visit.random.random() < (0.25 if visit.day < 2 else 0.02):
        visit.steps[1].level, visit.steps[1].status = "ERROR", "timeout"


def test_a_fix_is_told_as_the_improvement_of_its_place(engine: Analyse) -> None:
    assert told(engine(make_world(fixed), "v3")) == {entry("error", {"tool_name": "lookup_order"}, "improvement")}


def test_a_faster_step_is_told_with_the_faster_traces_that_follow(engine: Analyse) -> None:
    report = engine(make_world(on_step("support", "answer", takes(0.5), day=2)), "v4")
    assert told(report) == {entry("latency", {"observation_name": "answer"}, "improvement")}


def test_what_always_fails_is_a_hotspot(engine: Analyse) -> None:
    report = engine(make_world(on_step("research", "web_search", fails("429"), day=-99, share=0.2)), "v3")
    (found,) = report.findings
    assert (found.kind, found.direction, found.segment) == ("error", "hotspot", {"tool_name": "web_search"})
    assert found.onset is None


def test_an_outage_of_all_apps_is_the_whole_projects(engine: Analyse) -> None:
    rows = make_world(days=35, per_day=150, volume=lambda day, app: 0.3 if day >= 3 else 1.0)
    assert told(engine(rows, "v4")) == {entry("traffic", {})}


def test_a_new_user_who_causes_all_errors_is_named(engine: Analyse) -> None:
    def fault(visit: Visit) -> None:
        if visit.app == "support" and visit.day >= 0 and visit.random.random() < 0.125:
            visit.user = "mallory"
            visit.steps[1].level, visit.steps[1].status = "ERROR", "no such customer"

    report = engine(make_world(fault, per_day=120), "v3")
    assert told(report) == {entry("error", {"tool_name": "lookup_order", "user_id": "mallory"})}


@pytest.mark.parametrize(("schema", "in_input"), [("v4", False), ("v3", True)])
def test_a_tool_that_was_defined_anew_when_it_began_to_fail_is_named(
    engine: Analyse, schema: Schema, in_input: bool
) -> None:
    def fault(visit: Visit) -> None:
        late = visit.app == "support" and visit.day >= 2
        for step in visit.steps:
            if step.type == "GENERATION":
                kinds = {
                    "lookup_order": "string" if late else "integer",
                    "refund": "number",
                    "today": f"{visit.at:%H:%M:%S}",  # another text in each call is no change of anything
                }
                tools = {name: {"name": name, "parameters": {"of": kind}} for name, kind in kinds.items()}
                if in_input:
                    functions = [{"type": "function", "function": tool} for tool in tools.values()]
                    step.input = json.dumps({"messages": [{"role": "user", "content": "Hi"}], "tools": functions})
                else:
                    step.tools = {name: json.dumps(tool) for name, tool in tools.items()}
            if late and step.name == "lookup_order" and visit.random.random() < 0.3:
                step.level, step.status = "ERROR", "no such order"

    report = engine(make_world(fault), schema)
    (found,) = report.findings
    assert found.segment == {"tool_name": "lookup_order"}
    assert found.cause is not None
    assert "Also new at that time: the definition of tool “lookup_order”, first seen 11 Nov 2026" in found.cause
    assert "refund" not in found.cause
    assert report.health is not None
    assert {change.segment.get("tool_name") for change in report.health.changes} == {"lookup_order"}
