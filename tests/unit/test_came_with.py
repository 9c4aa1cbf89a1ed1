"""What is told of what is new: as the cause only where the change came with it; and the steps in which an app fails."""

from __future__ import annotations

import pytest
from tests.support.drafts import Day, built, draft_of, evidence

from hansei.contracts import Segment
from hansei.tools.playbook.catalogue import detector_of

NEW: Segment = {"observation_name": "rerank", "release": "r9"}
OLD: Segment = {"observation_name": "rerank"}
PARAMETERS = {"many_steps": 25.0, "repeats": 4.0}
NONE: list[Day] = [(0, 0), (0, 0)]
PARTS = ["part", "names", "x", "y", "reference_x", "reference_y", "users", "affected_users"]


def cause(metric: str, now: list[Day]) -> str:
    finding = built(draft_of([*NONE, *now], [(100, 2)] * 7, metric=metric, segment=NEW, against=OLD, **PARAMETERS))
    detector, _ = detector_of(metric)
    return detector.tell(finding).cause or ""


@pytest.mark.parametrize(
    "metric", ["unfinished_rate", "silent_failure_rate", "error_rate", "loop_rate", "runaway_rate"]
)
def test_what_came_with_a_release_is_told_to_have_come_with_it(metric: str) -> None:
    assert cause(metric, [(100, 30)] * 5) == "It came with release “r9”, which the baseline hardly has."


def test_what_began_days_after_a_release_did_not_come_with_it() -> None:
    told = "It began later than release “r9”, which ran without it at first."
    assert cause("unfinished_rate", [(100, 2), *[(100, 30)] * 4]) == told
    finding = built(draft_of([*NONE, (100, 2), *[(100, 30)] * 4], [(100, 2)] * 7, segment=NEW, against=OLD))
    advice = detector_of("error_rate")[0].tell(finding).recommendation
    assert "Roll back" not in advice


@pytest.mark.parametrize("first", [(100, 28), (5, 0), (30, 6)])
def test_a_first_day_with_the_change_or_with_few_cases_does_not_clear_a_release(first: Day) -> None:
    assert "It came with release" in cause("unfinished_rate", [first, *[(100, 30)] * 4])


def test_an_app_s_failures_are_told_of_the_steps_that_fail_more() -> None:
    """A dependency that two tools need is gone: neither of them tells it alone, and the app's share hides how bad."""
    rows = [
        ["stratum", ["kb", "production", name], 700, failing, 700, 7, 5, 5]
        for name, failing in (("search", 140), ("fetch", 77), ("answer", 7))
    ]
    app: Segment = {"trace_name": "kb"}
    days = draft_of([(300, 32)] * 7, [(300, 3)] * 7, evidence("parts", PARTS, rows), segment=app)
    told = detector_of("error_rate")[0].tell(built(days)).cause
    steps = "“search” (20 % of them, 1 % before), “fetch” (11 % of them, 1 % before)"
    assert told == f"The calls that fail more are those of {steps}."
    tool = draft_of([(300, 32)] * 7, [(300, 3)] * 7, evidence("parts", PARTS, rows))
    assert detector_of("error_rate")[0].tell(built(tool)).cause is None


def test_traffic_that_was_not_there_before_is_told_without_a_percentage() -> None:
    came = draft_of(
        [(110, 110)] * 7, [(1, 0)], metric="traces_per_day", direction="hotspot",
        segment={"metadata.tenant": "cyberdyne"}, history_days=28,
    )  # fmt: skip
    summary = detector_of("traces_per_day")[0].tell(built(came)).summary
    assert summary.startswith("There were no such traces in the baseline. Measured: 770 traces in the window.")
