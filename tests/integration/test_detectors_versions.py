"""Versions that run side by side, categories of scores, and what else was new when a finding began."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.support.faults import fails, on_step
from tests.support.in_memory import Analyse
from tests.support.schemas import both
from tests.support.world import PERIODS, Visit, make_world

from hansei.demo.rows import Rows
from hansei.demo.tables import SCHEMAS, Schema

pytestmark = pytest.mark.long


def two_versions(visit: Visit) -> None:
    """Half of the answers are made with version 7 of the prompt, in both periods."""
    for step in visit.steps:
        if step.name == "answer" and visit.random.random() < 0.5:
            step.prompt = ("answer", 7)


def seventh_fails(share: float, day: int) -> object:
    def fault(visit: Visit) -> None:
        for step in visit.steps:
            if step.prompt == ("answer", 7) and visit.day >= day and visit.random.random() < share:
                step.level, step.status = "ERROR", "no answer"

    return fault


@pytest.mark.parametrize("schema", both("v4"))
def test_of_two_versions_side_by_side_the_worse_is_told_against_the_other(schema: Schema, engine: Analyse) -> None:
    rows = make_world(two_versions, seventh_fails(0.12, -30), seed=31, per_day=200)  # type: ignore[arg-type]
    (found,) = engine(rows, schema).findings
    assert (found.kind, found.direction) == ("error", "hotspot")
    assert found.segment == {"prompt_name": "answer", "prompt_version": "7"}
    assert (found.comparison.against, found.comparison.segment) == ("rest_of_window", {"prompt_name": "answer"})
    assert found.baseline is not None
    assert found.baseline.value == 0.0
    assert "the rest of prompt “answer” in the same window" in found.summary


def test_what_is_also_new_against_the_baseline_is_told_once(engine: Analyse) -> None:
    rows = make_world(two_versions, seventh_fails(0.2, 2), seed=32, per_day=200)  # type: ignore[arg-type]
    (found,) = engine(rows, "v3").findings
    assert (found.kind, found.direction) == ("error", "regression")
    assert found.segment == {"prompt_name": "answer", "prompt_version": "7"}
    assert found.onset == PERIODS.window.start + timedelta(days=2)


def test_two_versions_that_are_alike_give_nothing(engine: Analyse) -> None:
    assert engine(make_world(two_versions, seed=33, per_day=200), "v4").findings == []


def with_outcomes(bad: float, day: int = 0) -> object:
    """Every second visit ends with an outcome; from that day on more of the support's are unresolved."""

    def fault(visit: Visit) -> None:
        share = bad if visit.app == "support" and visit.day >= day else 0.1
        drawn = visit.random.random()
        outcome = "unresolved" if drawn < share else "resolved" if drawn < 0.8 else "handed_over"
        visit.metadata = {"outcome": outcome}

    return fault


def as_scores(rows: Rows) -> Rows:
    """The outcomes as categorical scores in place of metadata."""
    from hansei.demo.rows import ScoreRow

    for i, trace in enumerate(rows.traces):
        if i % 2:
            rows.scores.append(
                ScoreRow(
                    id=f"{trace.id}-outcome", timestamp=trace.timestamp, name="outcome", project_id=trace.project_id,
                    trace_id=trace.id, environment=trace.environment, value=0.0, data_type="CATEGORICAL", source="EVAL",
                    string_value=trace.metadata["outcome"],
                )
            )  # fmt: skip
        trace.metadata = {}
    return rows


@pytest.mark.parametrize("schema", both("v4"))
def test_a_bad_category_that_grew_is_a_regression(schema: Schema, engine: Analyse) -> None:
    rows = as_scores(make_world(with_outcomes(0.4, 3), seed=34, per_day=200))  # type: ignore[arg-type]
    (found,) = engine(rows, schema).findings
    assert (found.kind, found.metric, found.direction) == ("quality", "score_category_share", "regression")
    assert found.segment == {"score_name": "outcome", "score_category": "unresolved", "trace_name": "support"}
    support = {trace.id for trace in rows.traces if trace.name == "support"}
    given = [s for s in rows.scores if s.name == "outcome" and s.trace_id in support]
    now = [s.string_value == "unresolved" for s in given if s.timestamp >= PERIODS.window.start]
    assert (found.current.n, found.current.value) == (len(now), pytest.approx(sum(now) / len(now)))
    assert "share of “unresolved”" in found.title
    assert found.onset == PERIODS.window.start + timedelta(days=3)


def test_categories_that_stay_give_nothing(engine: Analyse) -> None:
    for seed in (35, 36):
        rows = as_scores(make_world(with_outcomes(0.1), seed=seed, per_day=200))  # type: ignore[arg-type]
        assert engine(rows, SCHEMAS[seed % 2]).findings == []


@pytest.mark.parametrize("schema", both("v4"))
def test_a_release_that_was_new_on_the_first_day_is_named_in_the_cause(schema: Schema, engine: Analyse) -> None:
    """Only half of the failing calls are in it: so it is not the cause, but it is what happened at that time."""

    def rollout(visit: Visit) -> None:
        if visit.app == "support" and visit.day >= 3 and visit.random.random() < 0.5:
            visit.release = "2.0"

    rows = make_world(rollout, on_step("support", "lookup_order", fails("down"), day=3, share=0.3), seed=37)
    found = next(one for one in engine(rows, schema).findings if one.kind == "error")
    assert found.segment == {"tool_name": "lookup_order"}
    assert found.cause is not None
    assert "Also new at that time: app “support” (release “2.0”)" in found.cause
