"""What texts say without a model: the templates of failures, and loops over nearly the same input.

The project is a small one, written as v3 or v4; the figures are computed once more from its rows, in Python.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import timedelta

import pytest
from tests.support.faults import on_step
from tests.support.in_memory import Analyse
from tests.support.schemas import both
from tests.support.world import PERIODS, Fault, Step, Visit, make_world

from hansei.contracts import Finding, Report
from hansei.demo.tables import Schema

pytestmark = pytest.mark.long

ALWAYS = -7
"""A fault from the baseline's first day on."""


def only(report: Report) -> Finding:
    """The only finding of the report."""
    (found,) = report.findings
    return found


def times_out(visit: Visit, step: Step) -> None:
    """Each with its own address and number of milliseconds."""
    n = visit.random.randrange(10**6)
    step.level, step.status = "ERROR", f"timeout after {20_000 + n} ms calling https://orders.example/{n}/{visit.user}"


def is_refused(visit: Visit, step: Step) -> None:
    step.level, step.status = "ERROR", f"customer {visit.user} is not known"


def times_out_in_the_output(visit: Visit, step: Step) -> None:
    times_out(visit, step)
    step.output, step.status = step.status or "", None


@pytest.mark.parametrize("schema", both("v4"))
def test_errors_are_told_by_their_template(engine: Analyse, schema: Schema) -> None:
    """Two messages before, one of them new since the third day."""
    rows = make_world(
        on_step("support", "lookup_order", is_refused, day=ALWAYS, share=0.05),
        on_step("support", "lookup_order", times_out, day=2, share=0.3),
    )
    found = only(engine(rows, schema))
    assert found.segment == {"tool_name": "lookup_order"}
    failing = [row for row in rows.observations if row.level == "ERROR" and row.start_time >= PERIODS.window.start]
    late = sum(str(row.status_message).startswith("timeout") for row in failing)
    assert found.cause is not None
    assert f"{round(100 * late / len(failing))} % of the {len(failing)} failing calls" in found.cause
    assert "“timeout after <n> ms calling <url>” (new since 11 Nov 2026)" in found.cause
    assert "timeout" in found.recommendation
    (detail,) = [item for item in found.evidence if item.purpose == "detail"]
    assert detail.row_count == 2


@pytest.mark.parametrize("schema", both("v4"))
def test_errors_without_a_message_are_told_by_their_output(engine: Analyse, schema: Schema) -> None:
    rows = make_world(on_step("support", "lookup_order", times_out_in_the_output, day=2, share=0.3))
    found = only(engine(rows, schema))
    assert found.kind == "error"
    assert "“timeout after <n> ms calling <url>” (new since 11 Nov 2026)" in (found.cause or "")


def test_spans_that_report_an_error_fail_silently_and_answers_that_tell_of_one_do_not(engine: Analyse) -> None:
    """Tools that an older SDK recorded as spans."""

    def as_spans(visit: Visit) -> None:
        for step in visit.steps:
            if step.name == "lookup_order":
                step.type = "SPAN"
                if visit.day >= 2 and visit.random.random() < 0.2:
                    step.output = '{"status": 403, "message": "Forbidden"}'
            elif step.name == "search_docs":
                step.type, step.output = "SPAN", ""
                if visit.day >= 2:
                    step.output = "Your payment timed out. Please try again, the service is unavailable at night."

    (found,) = engine(make_world(as_spans), "v4").findings
    assert (found.kind, found.segment) == ("silent_failure", {"observation_name": "lookup_order"})


def test_silent_failures_are_told_by_their_template(engine: Analyse) -> None:
    def answers_an_error(visit: Visit, step: Step) -> None:
        step.output = f'{{"error": "no stock for <b>{visit.random.randrange(10**6)}</b>", "code": 17}}'

    rows = make_world(on_step("support", "lookup_order", answers_an_error, day=3, share=0.3))
    found = only(engine(rows, "v4"))
    assert (found.kind, found.direction) == ("silent_failure", "regression")
    assert found.onset == PERIODS.window.start + timedelta(days=3)
    assert '“{"error": "no stock for <b><n></b>", "code": <n>}” (new since 12 Nov 2026)' in (found.cause or "")


def varies(app: str, name: str, inputs: Callable[[Visit, int], str], output: str | None, *, share: float) -> Fault:
    """From the third day on, that share of the visits makes six more calls of a tool; each with an input of its own."""

    def fault(visit: Visit) -> None:
        if visit.app != app or visit.day < 2 or visit.random.random() >= share:
            return
        at = next(i for i, step in enumerate(visit.steps) if step.name == name)
        visit.steps[at:at] = [
            Step(
                "TOOL", name, 0.01, input=inputs(visit, n), output=f"{output} {n}" if output == "row" else output or ""
            )
            for n in range(6)
        ]

    return fault


def spelled(visit: Visit, n: int) -> str:
    """The same question with other case, white space and order of keys."""
    pairs = ['"q": "Red  Shoes"', '"limit": 5'] if n % 2 else ['"limit":5', '"q":"red shoes"']
    return "{" + ", ".join(pairs) + " " * (n // 2) + "}"


def counted(visit: Visit, n: int) -> str:
    """The next page, or the next order."""
    return f'{{"q": "red shoes", "page": {n + 1}}}'


def asks_for_unknown(visit: Visit, n: int) -> str:
    return f'{{"order": "A-{visit.random.randrange(10**6)}"}}'


NOT_FOUND = '{"error": "no such order"}'


@pytest.mark.parametrize("schema", both("v4"))
@pytest.mark.parametrize(("inputs", "output"), [(spelled, '{"results": ["7"]}'), (counted, NOT_FOUND)])
def test_loops_over_nearly_the_same_input(
    engine: Analyse, schema: Schema, inputs: Callable[[Visit, int], str], output: str
) -> None:
    rows = make_world(varies("research", "web_search", inputs, output, share=0.25), per_day=90)
    report = engine(rows, schema)
    loops = [finding for finding in (*report.findings, *report.refuted) if finding.kind == "loop"]
    (found,) = [finding for finding in loops if finding.segment == {"tool_name": "web_search"}]
    inside = [row for row in rows.observations if row.start_time >= PERIODS.window.start and row.name == "web_search"]
    calls = Counter(row.trace_id for row in inside)
    assert found.current.value == pytest.approx(sum(count > 6 for count in calls.values()) / len(calls))
    assert found.baseline is not None
    assert found.baseline.value == 0
    if output == NOT_FOUND:  # what fails is tried again: told once, as what fails
        assert [finding.kind for finding in report.findings] == ["silent_failure"]
        assert [finding.kind for finding in report.findings for finding in finding.echoes] == ["loop"]
    else:
        assert found.verdict == "confirmed"
        assert "nearly the same input" in found.title
        assert "red shoes" in (found.cause or "").lower()


@pytest.mark.parametrize(
    ("inputs", "output"),
    [(counted, "row"), (counted, "ok"), (counted, "null"), (counted, ""), (asks_for_unknown, '{"status": "shipped"}')],
)
def test_pages_and_lists_that_are_worked_off_are_no_loops(
    engine: Analyse, inputs: Callable[[Visit, int], str], output: str
) -> None:
    rows = make_world(varies("support", "lookup_order", inputs, output, share=0.3))
    report = engine(rows, "v4")
    assert "loop" not in {finding.kind for finding in (*report.findings, *report.refuted)}
