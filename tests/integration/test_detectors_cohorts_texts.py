"""What texts tell of (loops, cut-off answers, refusals, searches that find nothing), confined to what traces carry; and
answers that start late for some alone."""

from __future__ import annotations

import pytest
from tests.support.faults import answers, carrying, ends_with, on_step, on_visits, repeats, starts_after, streams
from tests.support.in_memory import Analyse
from tests.support.world import Fault, Visit, make_world

from hansei.contracts import Finding, Report, Segment
from hansei.demo.tables import SCHEMAS

pytestmark = pytest.mark.long

ALWAYS = -7
QUESTIONS = {
    "en": "Where is my order? I have not received it yet.",
    "ja": "注文がまだ届いていません。いつ届きますか。",
}
ANSWER = "Your order left our warehouse on Monday, and it should be with you by Thursday."
REFUSAL = "I am sorry, but I cannot help with that request."


def asking(visit: Visit) -> None:
    """What visits carry, and a question in some language."""
    carrying(visit)
    visit.input = QUESTIONS["ja" if visit.random.random() < 0.3 else "en"]


TELLS = [
    on_step("support", "answer", ends_with("stop"), day=ALWAYS),
    on_step("research", "summarise", ends_with("stop"), day=ALWAYS),
    on_step("support", "answer", answers(ANSWER), day=ALWAYS),
    on_step("research", "summarise", answers(ANSWER), day=ALWAYS),
    on_step("support", "search_docs", answers('[{"title": "Refunds"}]'), day=ALWAYS),
    on_step("research", "web_search", answers('[{"title": "Elections"}]'), day=ALWAYS),
]
"""All calls end well, and say so."""
CUT = on_step("support", "answer", ends_with("length"), day=ALWAYS, share=0.4)
LOOPS = repeats("support", "lookup_order", 4, day=ALWAYS, share=0.4)
REFUSES = on_step("support", "answer", answers(REFUSAL), day=ALWAYS, share=0.4)
FINDS_NOTHING = on_step("support", "search_docs", answers("[]"), day=ALWAYS, share=0.4)


def only(report: Report) -> Finding:
    told = [(found.kind, found.segment) for found in report.findings]
    assert len(told) == 1, told
    return report.findings[0]


@pytest.mark.parametrize(
    ("fault", "metric", "which", "segment"),
    [
        (CUT, "truncation_rate", lambda visit: "beta" in visit.tags, {"tag": "beta", "observation_name": "answer"}),
        (CUT, "truncation_rate", lambda visit: visit.metadata["plan"] == "free",
         {"metadata.plan": "free", "observation_name": "answer"}),
        (LOOPS, "loop_rate", lambda visit: visit.metadata["plan"] == "pro",
         {"metadata.plan": "pro", "tool_name": "lookup_order"}),
        (LOOPS, "loop_rate", lambda visit: "beta" in visit.tags, {"tag": "beta", "tool_name": "lookup_order"}),
        (LOOPS, "loop_rate", lambda visit: visit.input == QUESTIONS["ja"],
         {"language": "ja", "tool_name": "lookup_order"}),
        (LOOPS, "loop_rate", lambda visit: 2 <= visit.at.hour < 6,
         {"hour_of_day": "02:00-06:00", "tool_name": "lookup_order"}),
        (REFUSES, "refusal_rate", lambda visit: visit.input == QUESTIONS["ja"],
         {"language": "ja", "observation_name": "answer"}),
        (FINDS_NOTHING, "empty_retrieval_rate", lambda visit: visit.metadata["region"] == "eu",
         {"metadata.region": "eu", "observation_name": "search_docs"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else value if isinstance(value, str) else "",
)  # fmt: skip
def test_a_new_fault_of_one_cohort_is_told_as_that(
    fault: Fault, metric: str, which: object, segment: Segment, engine: Analyse
) -> None:
    new = on_visits(lambda visit: visit.day >= 2 and which(visit), fault)  # type: ignore[operator]
    schema = SCHEMAS[len(metric + "".join(segment)) % 2]
    found = only(engine(make_world(asking, *TELLS, new, seed=31, per_day=300), schema))
    assert (found.metric, found.direction, found.segment) == (metric, "regression", segment)
    assert found.verdict == "confirmed"
    assert found.baseline is not None
    assert found.baseline.value == 0.0
    assert len(found.example_trace_ids) == 3


def test_of_many_rows_a_day_of_each_period_is_looked_at(engine: Analyse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hansei.tools.playbook.share_cohorts.ENOUGH", 2000)
    new = on_visits(lambda visit: visit.day >= 2 and visit.metadata["plan"] == "pro", CUT)
    report = engine(make_world(asking, *TELLS, new, seed=31, per_day=300), "v4")
    assert only(report).segment == {"metadata.plan": "pro", "observation_name": "answer"}
    (truncation,) = [one for one in report.coverage.detectors if one.name == "truncation"]
    assert truncation.status == "partial"
    assert truncation.reason.startswith("Where texts tell of failures, users, sessions, tags")
    assert truncation.reason.endswith("were looked for on 2026-11-15 and 2026-11-08 only.")


def loud(visit: Visit) -> None:
    """One customer asks more than the others, in a session that never ends."""
    if visit.app == "support" and visit.random.random() < 0.05:
        visit.user, visit.session = "mallory", "endless"


@pytest.mark.parametrize(
    ("fault", "metric", "segment"),
    [
        (REFUSES, "refusal_rate", {"observation_name": "answer"}),
        (LOOPS, "loop_rate", {"tool_name": "lookup_order"}),
        (CUT, "truncation_rate", {"observation_name": "answer"}),
        (FINDS_NOTHING, "empty_retrieval_rate", {"observation_name": "search_docs"}),
    ],
    ids=["refusals", "loops", "cut", "empty"],
)
def test_one_user_alone_stands_out(fault: Fault, metric: str, segment: Segment, engine: Analyse) -> None:
    hit = on_visits(lambda visit: visit.user == "mallory", fault)
    found = only(engine(make_world(asking, *TELLS, loud, hit, seed=32, per_day=300), SCHEMAS[len(metric) % 2]))
    assert (found.metric, found.direction) == (metric, "hotspot")
    assert found.segment in ({**segment, "user_id": "mallory"}, {**segment, "session_id": "endless"})
    assert found.comparison.segment == segment
    # Nothing is known of what was searched for.
    assert metric != "empty_retrieval_rate" or (found.cause or "").endswith("is “[]”.")


@pytest.mark.parametrize("since", [2, ALWAYS])
def test_what_hits_all_alike_is_not_told_by_what_they_carry(since: int, engine: Analyse) -> None:
    faults = [on_visits(lambda visit: visit.day >= since, fault) for fault in (CUT, LOOPS, FINDS_NOTHING)]
    report = engine(make_world(asking, *TELLS, *faults, seed=33, per_day=200), SCHEMAS[since % 2])
    told = [(found.metric, found.segment) for found in report.findings]
    steps: list[tuple[str, Segment]] = [
        ("empty_retrieval_rate", {"observation_name": "search_docs"}),
        ("loop_rate", {"tool_name": "lookup_order"}),
        ("truncation_rate", {"observation_name": "answer"}),
    ]
    assert told
    assert [one for one in told if one not in steps] == []
    assert since == ALWAYS or len(told) == len(steps)


def test_what_happens_now_and_then_is_no_finding(engine: Analyse) -> None:
    """Enough of everything to be asked about, as often in both periods and whatever traces carry."""
    now_and_then = [
        on_step("support", "answer", ends_with("length"), day=ALWAYS, share=0.03),
        on_step("support", "answer", answers(REFUSAL), day=ALWAYS, share=0.03),
        on_step("support", "search_docs", answers("[]"), day=ALWAYS, share=0.05),
        repeats("research", "web_search", 4, day=ALWAYS, share=0.02),
    ]
    for seed in range(4):
        rows = make_world(asking, *TELLS, loud, *now_and_then, seed=seed, per_day=200)
        report = engine(rows, SCHEMAS[seed % 2])
        assert report.findings == [], [found.title for found in report.findings]


def test_answers_that_start_later_in_one_region(engine: Analyse) -> None:
    streaming = [
        on_step("support", "answer", streams, day=ALWAYS), on_step("research", "summarise", streams, day=ALWAYS),
    ]  # fmt: skip
    late = on_step("support", "answer", starts_after(2.5), day=2)
    rows = make_world(
        asking, *streaming, on_visits(lambda visit: visit.metadata["region"] == "eu", late), seed=34, per_day=200
    )
    found = only(engine(rows, "v3"))
    assert (found.metric, found.direction) == ("first_token_p95", "regression")
    assert found.segment == {"metadata.region": "eu", "observation_name": "answer"}
