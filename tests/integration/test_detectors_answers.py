"""The detectors of what searches and models answer: nothing found, cut off; each beside what only looks like it.

The project is a small one, written as v3 or v4; the figures are computed once more from its rows, in Python.
"""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.support.faults import answers, ends_with, fills, on_step
from tests.support.in_memory import Analyse
from tests.support.schemas import both
from tests.support.world import PERIODS, Fault, Step, Visit, make_world

from hansei.contracts import Finding, Report, Window
from hansei.demo.rows import ObservationRow, Rows
from hansei.demo.tables import Schema

pytestmark = pytest.mark.long

ALWAYS = -7
"""A fault from the baseline's first day on."""


def calls(rows: Rows, span: Window, name: str) -> list[ObservationRow]:
    return [row for row in rows.observations if row.name == name and span.start <= row.start_time < span.end]


def only(report: Report) -> Finding:
    """The only finding of the report."""
    (found,) = report.findings
    return found


FOUND = '{"query": "refund", "results": [{"title": "Refunds", "sources": []}]}'
SEARCHES: list[Fault] = [
    on_step("support", "search_docs", answers(FOUND), day=ALWAYS),
    on_step("research", "web_search", answers('[{"title": "No results of the election yet"}]'), day=ALWAYS),
]


@pytest.mark.parametrize("schema", both("v3"))
@pytest.mark.parametrize("nothing", ['{"query": "refund", "results": []}', "No matching documents found.", "[]"])
def test_searches_that_find_nothing(engine: Analyse, schema: Schema, nothing: str) -> None:
    rows = make_world(*SEARCHES, on_step("support", "search_docs", answers(nothing), day=3, share=0.4))
    found = only(engine(rows, schema))
    assert (found.kind, found.direction) == ("empty_retrieval", "regression")
    assert found.segment == {"observation_name": "search_docs"}
    assert found.onset == PERIODS.window.start + timedelta(days=3)
    for estimate, span in ((found.current, PERIODS.window), (found.baseline, PERIODS.baseline)):
        searches = calls(rows, span, "search_docs")
        assert estimate is not None
        assert estimate.n == len(searches)
        assert estimate.value == pytest.approx(sum(row.output == nothing for row in searches) / len(searches))
    assert found.cause is not None
    assert nothing[:20] in found.cause


def test_a_search_that_mostly_finds_nothing_stands_out(engine: Analyse) -> None:
    rows = make_world(*SEARCHES, on_step("support", "search_docs", answers("null"), day=ALWAYS, share=0.6))
    found = only(engine(rows, "v4"))
    assert (found.kind, found.direction) == ("empty_retrieval", "hotspot")
    assert found.segment == {"observation_name": "search_docs"}


def test_searches_that_find_again_are_an_improvement(engine: Analyse) -> None:
    rows = make_world(
        *SEARCHES, on_step("research", "web_search", answers("[]"), day=ALWAYS, share=0.4),
        on_step("research", "web_search", answers(FOUND), day=2),
    )  # fmt: skip
    found = only(engine(rows, "v3"))
    assert (found.kind, found.direction, found.segment) == (
        "empty_retrieval", "improvement", {"tool_name": "web_search"}
    )  # fmt: skip


def test_no_search_and_empty_parts_of_a_result_are_no_empty_retrieval(engine: Analyse) -> None:
    """Outputs that are no longer recorded, a found text that speaks of no results, empty lists inside of a result."""
    quoted = '{"results": [{"title": "Why were no results found?", "tags": [], "matches": []}], "total": 10}'
    rows = make_world(
        *SEARCHES, on_step("support", "search_docs", answers(quoted), day=2),
        on_step("research", "web_search", answers("No. 1 result for the query: …"), day=2),
    )  # fmt: skip
    assert engine(rows, "v4").findings == []


LIMITED: list[Fault] = [
    on_step("support", "answer", ends_with("stop"), day=ALWAYS),
    on_step("research", "plan", ends_with("tool_calls"), day=ALWAYS),
]


@pytest.mark.parametrize("schema", both("v3"))
@pytest.mark.parametrize("reason", ["length", "MAX_TOKENS"])
def test_answers_that_the_model_says_are_cut_off(engine: Analyse, schema: Schema, reason: str) -> None:
    rows = make_world(*LIMITED, on_step("support", "answer", ends_with(reason), day=2, share=0.2))
    found = only(engine(rows, schema))
    assert (found.kind, found.direction) == ("truncation", "regression")
    assert found.segment in ({"observation_name": "answer"}, {"prompt_name": "answer", "prompt_version": "6"})
    assert found.onset == PERIODS.window.start + timedelta(days=2)
    for estimate, span in ((found.current, PERIODS.window), (found.baseline, PERIODS.baseline)):
        ended = [row.metadata["finish_reason"] for row in calls(rows, span, "answer")]
        assert estimate is not None
        assert (estimate.n, estimate.value) == (len(ended), pytest.approx(ended.count(reason) / len(ended)))


@pytest.mark.parametrize("schema", both("v3"))
def test_answers_that_take_all_their_tokens(engine: Analyse, schema: Schema) -> None:
    """No reason is noted; a fifth of the answers is as long as the call allows."""

    def allowed(visit: Visit, step: Step) -> None:
        step.parameters = '{"temperature": 0.2, "max_tokens": 300}'

    rows = make_world(
        on_step("support", "answer", allowed, day=ALWAYS), on_step("support", "answer", fills(300), day=4, share=0.2)
    )
    (found,) = [finding for finding in engine(rows, schema).findings if finding.kind == "truncation"]
    assert found.onset == PERIODS.window.start + timedelta(days=4)
    assert "300" in found.recommendation


def test_an_answer_that_is_always_cut_off_stands_out(engine: Analyse) -> None:
    rows = make_world(*LIMITED, on_step("research", "plan", ends_with("length"), day=ALWAYS, share=0.5))
    found = only(engine(rows, "v4"))
    assert (found.kind, found.direction, found.segment) == ("truncation", "hotspot", {"observation_name": "plan"})


def test_reasons_that_begin_to_be_noted_and_texts_about_limits_are_no_truncation(engine: Analyse) -> None:
    """Half of the answers are noted with a reason from one day on; others speak of a finish_reason."""
    rows = make_world(
        *LIMITED, on_step("research", "summarise", ends_with("stop"), day=1, share=0.5),
        on_step("support", "answer", answers('The API says "finish_reason": "length" when max_tokens is hit.'), day=3),
    )  # fmt: skip
    assert engine(rows, "v3").findings == []
