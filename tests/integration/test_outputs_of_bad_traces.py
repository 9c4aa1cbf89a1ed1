"""What steps say in badly scored traces and seldom in others."""

from __future__ import annotations

import pytest
from tests.support.in_memory import Analyse
from tests.support.schemas import both
from tests.support.world import Visit, make_world

from hansei.demo.tables import Schema
from hansei.tools.report.reword import in_language

ALWAYS = "Your order has been shipped. You can track it."


def stale_index(visit: Visit) -> None:
    """From the third day on the search of one app answers from an index that is being rebuilt, which nothing but its
    words tells, and customers dislike what comes of it. The other app is liked less all the time."""
    number = visit.random.randrange(9999)
    if visit.app == "research":
        visit.steps[-1].output = f"Report {number}: nothing out of the ordinary."
        visit.scores = [(name, float(visit.random.random() < 0.6), kind) for name, _, kind in visit.scores]
        return
    visit.steps[0].output = f'[{{"doc": {number}, "text": "Returns are free for 30 days."}}]'
    visit.steps[-1].output = f"{ALWAYS} Your number is {number}."
    if visit.day >= 2 and visit.random.random() < 0.6:
        visit.steps[0].output = f"The index is being rebuilt (job {number}).\nShowing what is left of it."
        visit.scores = [(name, float(visit.random.random() < 0.1), kind) for name, _, kind in visit.scores]


@pytest.mark.parametrize("schema", both("v4"))
def test_what_bad_traces_say_is_told_as_what_is_to_be_mended(engine: Analyse, schema: Schema) -> None:
    report = engine(make_world(stale_index, per_day=90), schema)
    (found,) = report.findings
    assert (found.kind, found.segment) == ("quality", {"score_name": "helpful", "trace_name": "support"})
    (said,) = [one for one in found.evidence if one.purpose == "outputs"]
    rows = said.records()
    assert [(row["step"], row["message"]) for row in rows] == [
        ("search_docs", "The index is being rebuilt (job <n>)"),
        ("search_docs", "Showing what is left of it."),
    ]
    first = rows[0]
    assert first["of_bad"] + first["of_good"] == found.current.n
    assert first["of_good"] == round(found.current.value * found.current.n)
    assert first["bad"] > 0.6 * first["of_bad"]
    assert first["good"] < 0.2 * first["of_good"]
    assert (first["before"], first["of_before"]) == (0, 217)
    assert found.cause is not None
    assert f"Of the {first['of_bad']} badly scored traces with step “search_docs”" in found.cause
    assert found.recommendation is not None
    assert found.recommendation.startswith(
        "Mend what makes step “search_docs” say “The index is being rebuilt (job <n>)”"
    )

    (japanese,) = in_language(report, "ja").findings
    assert japanese.recommendation is not None
    assert japanese.recommendation.startswith("ステップ「search_docs」が「The index is being rebuilt (job <n>)」")
