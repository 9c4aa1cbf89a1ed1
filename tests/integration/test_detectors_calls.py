"""The detectors of model calls' finer sides: first token, cache, token limit; each beside what only looks like it.

The project is a small one, written as v3 or v4; the figures are computed once more from its rows, in Python.
"""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.support.faults import on_step, reads_from_cache, starts_after, streams, uncounted
from tests.support.in_memory import Analyse
from tests.support.schemas import both
from tests.support.world import PERIODS, Fault, Step, Visit, make_world

from hansei.contracts import Direction, Finding, Kind, Report, Window
from hansei.demo.rows import ObservationRow, Rows
from hansei.demo.tables import Schema

pytestmark = pytest.mark.long

ALWAYS = -7
"""A fault from the baseline's first day on."""


def calls(rows: Rows, span: Window, name: str) -> list[ObservationRow]:
    return [row for row in rows.observations if row.name == name and span.start <= row.start_time < span.end]


def told(report: Report) -> list[tuple[Kind, Direction, dict[str, str]]]:
    return [(finding.kind, finding.direction, finding.segment) for finding in report.findings]


def only(report: Report) -> Finding:
    """The only finding of the report."""
    (found,) = report.findings
    return found


def onset(day: int) -> object:
    return PERIODS.window.start + timedelta(days=day)


STREAMING: list[Fault] = [
    on_step("support", "answer", streams, day=ALWAYS), on_step("research", "summarise", streams, day=ALWAYS),
]  # fmt: skip


def first_tokens(rows: Rows, span: Window, name: str) -> list[float]:
    started = [(row.completion_start_time, row.start_time) for row in calls(rows, span, name)]
    return sorted((first - start).total_seconds() for first, start in started if first)


@pytest.mark.parametrize("schema", both("v4"))
def test_answers_that_start_later_are_told_by_their_first_token(engine: Analyse, schema: Schema) -> None:
    rows = make_world(*STREAMING, on_step("support", "answer", starts_after(3.0), day=2))
    found = only(engine(rows, schema))
    assert (found.kind, found.metric, found.direction) == ("first_token_latency", "first_token_p95", "regression")
    assert found.segment == {"observation_name": "answer"}
    assert found.onset == onset(2)
    now, before = (first_tokens(rows, span, "answer") for span in (PERIODS.window, PERIODS.baseline))
    assert found.baseline is not None
    assert (found.current.n, found.baseline.n) == (len(now), len(before))
    assert found.current.value == pytest.approx(now[int(0.95 * len(now))])
    assert found.baseline.value == pytest.approx(before[int(0.95 * len(before))])
    assert "latency" in {echo.kind for echo in found.echoes}
    assert "did not grow" in found.recommendation


def test_answers_that_start_sooner_are_an_improvement(engine: Analyse) -> None:
    rows = make_world(
        *STREAMING, on_step("support", "answer", starts_after(3.0), day=ALWAYS),
        on_step("support", "answer", starts_after(-2.5), day=3),
    )  # fmt: skip
    report = engine(rows, "v4")
    assert ("first_token_latency", "improvement", {"observation_name": "answer"}) in told(report)
    assert not [finding for finding in report.findings if finding.direction != "improvement"]


def test_slower_writing_is_no_later_start(engine: Analyse) -> None:
    def writes_slower(visit: Visit, step: Step) -> None:
        step.seconds = round(step.seconds + 4.0, 3)

    rows = make_world(*STREAMING, on_step("support", "answer", writes_slower, day=2))
    assert {finding.kind for finding in engine(rows, "v3").findings} == {"latency"}


def test_more_streaming_of_a_slow_step_is_no_later_start(engine: Analyse) -> None:
    """Only the slower of two steps begins to stream more: the average moves, no step does."""
    rows = make_world(
        on_step("support", "answer", streams, day=ALWAYS),
        on_step("research", "summarise", streams, day=ALWAYS, share=0.1),
        on_step("research", "summarise", streams, day=0),
    )
    assert engine(rows, "v4").findings == []


CACHING: list[Fault] = [
    on_step("support", "answer", reads_from_cache(0.3), day=ALWAYS),
    on_step("research", "summarise", reads_from_cache(0.8), day=ALWAYS),
]


def cached_share(rows: Rows, span: Window, name: str) -> tuple[float, int]:
    usages = [row.usage_details for row in calls(rows, span, name) if row.usage_details]
    cached = sum(usage.get("input_cached_tokens", 0) for usage in usages)
    given = cached + sum(usage["input"] for usage in usages)
    return cached / given, given


def without_prices(visit: Visit, step: Step) -> None:
    step.priced = False


@pytest.mark.parametrize("schema", both("v4"))
def test_a_lost_cache_is_told_by_the_share_of_tokens(engine: Analyse, schema: Schema) -> None:
    """Without costs nothing but the tokens tells it."""
    free = [on_step(app, name, without_prices, day=ALWAYS) for app, name in PAIRS]
    rows = make_world(*CACHING, *free, on_step("research", "summarise", reads_from_cache(0.1), day=4))
    report = engine(rows, schema)
    (found,) = [finding for finding in report.findings if finding.kind == "cache"]
    assert (found.metric, found.direction) == ("cached_input_share", "regression")
    assert found.segment == {"observation_name": "summarise"}
    assert found.onset == onset(4)
    for estimate, span in ((found.current, PERIODS.window), (found.baseline, PERIODS.baseline)):
        assert estimate is not None
        assert (estimate.value, estimate.n) == pytest.approx(cached_share(rows, span, "summarise"))
    assert found.impact.cost_per_week is None
    assert "input tokens that the cache used to serve" in found.summary


PAIRS = (("support", "answer"), ("research", "summarise"))


def test_a_lost_cache_that_shows_in_the_cost_is_told_once(engine: Analyse) -> None:
    """The same prompt costs more: told as cost, with the cache as its reason."""
    rows = make_world(*CACHING, on_step("research", "summarise", reads_from_cache(0.0), day=0))
    report = engine(rows, "v3")
    found = only(report)
    assert found.kind == "cost"
    assert found.cause is not None
    assert "cached input tokens fell" in found.cause
    (side,) = [finding for finding in report.refuted if finding.kind == "cache"]
    share, _ = cached_share(rows, PERIODS.baseline, "summarise")
    assert side.baseline is not None
    assert side.baseline.value == pytest.approx(share)
    assert [echo.kind for echo in found.echoes if echo.kind == "cache"] == ["cache"]


def test_what_a_lost_cache_costs_is_told_by_the_prices_in_the_data(engine: Analyse) -> None:
    """Too little to move the cost per call, but not nothing: a fresh token costs 1.8e-6 US dollars more."""
    rows = make_world(*CACHING, on_step("support", "answer", reads_from_cache(0.17), day=0))
    found = only(engine(rows, "v4"))
    assert found.kind == "cache"
    now, before = (cached_share(rows, span, "answer") for span in (PERIODS.window, PERIODS.baseline))
    assert found.impact.cost_per_week == pytest.approx((before[0] - now[0]) * now[1] * 1.8e-6, rel=0.01)
    assert "Expected gain: $" in found.recommendation


def test_a_fuller_cache_is_an_improvement(engine: Analyse) -> None:
    rows = make_world(*CACHING, on_step("support", "answer", reads_from_cache(0.9), day=3))
    kinds = {(finding.kind, finding.direction) for finding in engine(rows, "v4").findings}
    assert kinds <= {("cache", "improvement"), ("cost", "improvement")}
    assert kinds


def test_fewer_counted_calls_and_more_of_another_app_are_no_lost_cache(engine: Analyse) -> None:
    """The app that caches little grows, and half of the calls that cache much lose their usage."""
    rows = make_world(
        *CACHING, on_step("research", "summarise", uncounted, day=0, share=0.5),
        share_of_research=lambda day: 0.3 if day < 0 else 0.1,
    )  # fmt: skip
    report = engine(rows, "v4")
    assert "cache" not in {finding.kind for finding in report.findings}
