"""Faults that are confined to a user, a session, a tag, a value of metadata or hours of the day are told as that."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.support.faults import answers, carrying, costs, fails, on_step, on_visits, takes
from tests.support.in_memory import Analyse
from tests.support.schemas import both
from tests.support.world import PERIODS, Visit, make_world

from hansei.contracts import Finding, Report, Segment
from hansei.demo.tables import SCHEMAS, Schema

pytestmark = pytest.mark.long


def only(report: Report) -> Finding:
    assert [(found.kind, found.segment) for found in report.findings] == [
        (report.findings[0].kind, report.findings[0].segment)
    ]
    return report.findings[0]


FAILS = on_step("support", "lookup_order", fails("no such customer"), share=0.5, day=-30)


@pytest.mark.parametrize(
    ("name", "which", "segment"),
    [
        ("tag", lambda visit: "beta" in visit.tags, {"tag": "beta"}),
        ("metadata", lambda visit: visit.metadata["plan"] == "pro", {"metadata.plan": "pro"}),
        ("hours", lambda visit: 2 <= visit.at.hour < 5, {"hour_of_day": "02:00-05:00"}),
        pytest.param(
            "midnight",
            lambda visit: visit.at.hour in (22, 23, 0, 1),
            {"hour_of_day": "22:00-02:00"},
            marks=pytest.mark.long,
        ),
    ],
)
@pytest.mark.parametrize("schema", both("v3"))
def test_a_new_fault_of_one_cohort_is_told_as_that(
    name: str, which: object, segment: Segment, schema: Schema, engine: Analyse
) -> None:
    fault = on_visits(lambda visit: visit.day >= 2 and which(visit), FAILS)  # type: ignore[operator]
    found = only(engine(make_world(carrying, fault, seed=21, per_day=300), schema))
    assert (found.kind, found.direction) == ("error", "regression")
    assert found.segment == {"tool_name": "lookup_order", **segment}
    assert found.comparison.segment == found.segment
    assert found.baseline is not None
    assert found.baseline.value == 0.0
    assert found.onset == PERIODS.window.start + timedelta(days=2)
    assert len(found.example_trace_ids) == 3


@pytest.mark.parametrize("schema", both("v3"))
def test_what_always_happens_at_certain_hours_stands_out_against_the_other_hours(
    schema: Schema, engine: Analyse
) -> None:
    fault = on_visits(lambda visit: 2 <= visit.at.hour < 4, FAILS)
    found = only(engine(make_world(carrying, fault, seed=22, per_day=300), schema))
    assert (found.kind, found.direction) == ("error", "hotspot")
    assert found.segment == {"tool_name": "lookup_order", "hour_of_day": "02:00-04:00"}
    assert (found.comparison.against, found.comparison.segment) == ("rest_of_window", {"tool_name": "lookup_order"})
    assert "the hours 02:00-04:00 UTC" in found.title
    assert "the rest of tool “lookup_order” in the same window" in found.summary
    assert found.baseline is not None
    assert found.baseline.value == 0.0


@pytest.mark.parametrize("schema", both("v3"))
def test_a_user_and_a_session_stand_out(schema: Schema, engine: Analyse) -> None:
    def mallory(visit: Visit) -> None:
        if visit.app == "support" and visit.random.random() < 0.04:
            visit.user = "mallory"

    fault = on_visits(lambda visit: visit.user == "mallory", FAILS)
    found = only(engine(make_world(carrying, mallory, fault, seed=23, per_day=300), schema))
    assert (found.kind, found.direction) == ("error", "hotspot")
    assert found.segment == {"tool_name": "lookup_order", "user_id": "mallory"}

    def stuck(visit: Visit) -> None:
        if visit.app == "support" and visit.day >= 0 and visit.random.random() < 0.05:
            visit.session = "stuck"

    fault = on_visits(lambda visit: visit.session == "stuck", FAILS)
    found = only(engine(make_world(carrying, stuck, fault, seed=23, per_day=300), schema))
    assert found.segment == {"tool_name": "lookup_order", "session_id": "stuck"}


@pytest.mark.parametrize(
    ("change", "step", "kind"),
    [
        (takes(3.0), "lookup_order", "latency"),
        (costs(1.8), "answer", "cost"),
        (answers('{"error": "down"}'), "lookup_order", "silent_failure"),
    ],
    ids=["latency", "cost", "silent_failure"],
)
def test_time_money_and_silent_failures_too(change: object, step: str, kind: str, engine: Analyse) -> None:
    fault = on_visits(
        lambda visit: visit.day >= 1 and visit.metadata["region"] == "eu",
        on_step("support", step, change),  # type: ignore[arg-type]
    )
    report = engine(make_world(carrying, fault, seed=24, per_day=200), SCHEMAS[len(kind) % 2])
    found = only(report)
    assert found.kind == kind
    assert found.segment["metadata.region"] == "eu"


@pytest.mark.parametrize(
    ("change", "kind", "metric"),
    [
        (fails("no such customer"), "error", "error_rate"),
        (takes(3), "latency", "step_latency_p50"),
        (answers('{"error": "timeout"}'), "silent_failure", "silent_failure_rate"),
    ],
    ids=["error", "latency", "silent_failure"],
)
def test_what_ended_for_one_cohort_is_told_as_that(change: object, kind: str, metric: str, engine: Analyse) -> None:
    fault = on_visits(
        lambda visit: visit.day < 2 and visit.metadata["region"] == "eu",
        on_step("support", "lookup_order", change, share=0.5 if kind == "error" else 1.0, day=-30),  # type: ignore[arg-type]
    )
    found = only(engine(make_world(carrying, fault, seed=26, per_day=200), SCHEMAS[len(kind) % 2]))
    assert (found.kind, found.direction, found.metric) == (kind, "improvement", metric)
    assert found.segment == {"tool_name": "lookup_order", "metadata.region": "eu"}
    assert found.onset == PERIODS.window.start + timedelta(days=2)


def test_what_ended_for_all_is_not_told_by_a_cohort(engine: Analyse) -> None:
    fault = on_visits(lambda visit: visit.day < 2, FAILS)
    found = only(engine(make_world(carrying, fault, seed=27, per_day=200), "v3"))
    assert (found.direction, found.segment) == ("improvement", {"tool_name": "lookup_order"})


@pytest.mark.parametrize("schema", both("v3"))
def test_what_hits_all_alike_is_not_told_by_a_cohort(schema: Schema, engine: Analyse) -> None:
    found = only(engine(make_world(carrying, FAILS, seed=25, per_day=200), schema))
    assert found.segment == {"tool_name": "lookup_order"}
    fault = on_visits(lambda visit: visit.day >= 0, FAILS)
    found = only(engine(make_world(carrying, fault, seed=25, per_day=200), schema))
    assert found.segment == {"tool_name": "lookup_order"}


@pytest.mark.long
def test_quiet_projects_that_carry_much_have_no_finding(engine: Analyse) -> None:
    for seed in range(6):
        report = engine(make_world(carrying, seed=seed, per_day=80), SCHEMAS[seed % 2])
        assert report.findings == [], [found.title for found in report.findings]


QUESTIONS = {
    "en": "Where is my order? I have not received it yet.",
    "ja": "注文がまだ届いていません。いつ届きますか。",
    "": "order 4711",
}


def speaking(visit: Visit) -> None:
    """A fifth of the customers ask in Japanese, some too briefly to tell."""
    visit.input = QUESTIONS[visit.random.choice(["en"] * 7 + ["ja"] * 2 + [""])]


@pytest.mark.parametrize("schema", SCHEMAS)
def test_errors_of_questions_in_one_language_are_told_as_that(schema: Schema, engine: Analyse) -> None:
    fault = on_visits(lambda visit: visit.day >= 2 and visit.input == QUESTIONS["ja"], FAILS)
    found = only(engine(make_world(carrying, speaking, fault, seed=25, per_day=200), schema))
    assert found.segment == {"tool_name": "lookup_order", "language": "ja"}
    assert found.current.value == pytest.approx(0.36, abs=0.08)
    assert "questions in Japanese" in found.title


@pytest.mark.parametrize(
    ("schema", "which", "segment"),
    [
        ("v3", lambda visit: visit.metadata["plan"] == "pro", {"metadata.plan": "pro"}),
        ("v4", lambda visit: visit.input == QUESTIONS["ja"], {"language": "ja"}),
        ("v4", lambda visit: "beta" in visit.tags, {"tag": "beta"}),
    ],
)
def test_scores_that_fall_for_some_alone_are_told_as_that(
    schema: Schema, which: object, segment: Segment, engine: Analyse
) -> None:
    def fault(visit: Visit) -> None:
        disliked = visit.day >= 1 and which(visit)  # type: ignore[operator]
        visit.scores = [("helpful", float(visit.random.random() < (0.4 if disliked else 0.85)), "BOOLEAN")]

    found = only(engine(make_world(carrying, speaking, fault, seed=26, per_day=200), schema))
    assert (found.kind, found.direction) == ("quality", "regression")
    assert segment.items() <= found.segment.items()
    assert found.segment.keys() - segment.keys() - {"score_name", "trace_name"} == set()


def test_scores_that_differ_between_languages_as_they_did_before_are_no_finding(engine: Analyse) -> None:
    """Japanese customers like it less, in both periods, and there are more of them now."""

    def fault(visit: Visit) -> None:
        share = 0.4 if visit.day >= 0 else 0.2
        visit.input = QUESTIONS["ja" if visit.random.random() < share else "en"]
        liked = visit.random.random() < (0.55 if visit.input == QUESTIONS["ja"] else 0.85)
        visit.scores = [("helpful", float(liked), "BOOLEAN")]

    report = engine(make_world(fault, seed=27, per_day=150), "v4")
    assert [found for found in report.findings if "language" in found.segment] == []
