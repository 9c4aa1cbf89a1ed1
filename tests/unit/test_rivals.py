"""What the answers to a rival explanation may do to a finding: whoever chose the question, nothing true falls."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from tests.support.drafts import FACTS, Day, built, draft_of, evidence, measured

from hansei.contracts import Check, Evidence
from hansei.tools.playbook.catalogue import detector_of
from hansei.tools.playbook.checks import check_all, verdict_of
from hansei.tools.playbook.rivals import TRAFFIC, Rival, carriers

WEEK: list[Day] = [(100, 10)] * 7
BEFORE: list[Day] = [(100, 2)] * 7
"""10 % of 700 cases fail, up from 2 %."""

Kind = tuple[str, tuple[int, int], tuple[int, int]]
"""A name, with cases and failures in the window and before."""


def held_fixed(*kinds: Kind, dimension: str = "user_id") -> Evidence:
    """The answer to: is it the mix of these?"""
    columns = ["kind", "period", "traces", "x", "y", "xx", "xy", "yy", "affected"]
    rows = [
        [name, period, n, n, float(hit), float(n), float(hit), float(hit), hit]
        for name, *sides in kinds
        for period, (n, hit) in zip(("window", "baseline"), sides, strict=True)
        if n
    ]
    return evidence(f"rival:hold_fixed:{dimension}", columns, rows)


def judged(answer: Evidence, now: Sequence[Day] = WEEK, before: Sequence[Day] = BEFORE) -> Check:
    finding = built(draft_of(now, before, answer))
    checks = check_all(detector_of(finding.metric)[1], finding, FACTS, 0.001)
    rival = checks[-1]
    # Only a mix that is shown can count against a finding.
    assert verdict_of(checks) == ("refuted" if (rival.name, rival.passed) == ("rival_mix", False) else "confirmed")
    return rival


def test_a_mix_that_shifted_refutes() -> None:
    shifted = held_fixed(("heavy", (3500, 670), (700, 130)), ("light", (3500, 30), (6300, 10)))
    assert judged(shifted, [(1000, 100)] * 7, [(1000, 20)] * 7).passed is False
    few = held_fixed(("heavy", (350, 67), (70, 13)), ("light", (350, 3), (630, 1)))
    assert judged(few).passed is True


@pytest.mark.parametrize(
    "kinds",
    [
        pytest.param([("all", (700, 70), (700, 14))], id="the whole as one part"),
        pytest.param([("a", (350, 35), (350, 7)), ("b", (350, 35), (350, 7))], id="parts that say nothing"),
        pytest.param([("old", (600, 12), (700, 14)), ("new", (100, 58), (0, 0))], id="the fault is a new part"),
        pytest.param(
            [("old", (580, 12), (600, 12)), ("v1", (0, 0), (100, 2)), ("v2", (120, 58), (0, 0))], id="a part renamed"
        ),
        pytest.param([("fine", (600, 12), (650, 10)), ("rare", (100, 58), (50, 4))], id="one part fails and grows"),
        pytest.param([(f"u{i}", (1, int(i < 70)), (1, int(i < 14))) for i in range(700)], id="each case its own part"),
        pytest.param([("a", (560, 12), (600, 12))], id="parts that were not told hold the fault"),
        pytest.param([("heavy", (300, 50), (100, 6)), ("light", (400, 20), (600, 8))], id="a true change within a mix"),
        pytest.param([], id="nothing"),
    ],
)  # fmt: skip
def test_a_true_change_is_not_talked_away_by_the_choice_of_parts(kinds: list[Kind]) -> None:
    assert judged(held_fixed(*kinds)).passed is not False


def test_what_the_application_does_is_no_traffic_to_be_held_fixed() -> None:
    """A step that only runs when something fails would make each true fault a mix."""
    assert set(TRAFFIC) == {"trace_name", "environment", "user_id", "hour"}
    finding = draft_of(WEEK, BEFORE, segment={}).candidate
    metric = detector_of(finding.metric)[1]
    for dimension in ("observation_name", "model", "prompt_version", "release", "tool_name", ""):
        assert not Rival("hold_fixed", dimension).applies_to(metric, finding)


def left_out(now: Sequence[Day], before: Sequence[Day]) -> Evidence:
    answer = measured(now, before, purpose="rival:leave_out:user_id")
    return answer.model_copy(update={"parameters": {"rival0": "u-1"}})


@pytest.mark.parametrize(
    ("now", "before", "passed"),
    [
        ([(90, 9)] * 7, [(90, 2)] * 7, True),
        ([(80, 2)] * 7, [(80, 2)] * 7, False),
        ([(50, 1), (50, 2)], [(50, 2)] * 2, None),  # the change is gone in what is left, which may be chance
        ([(10, 0)], [(10, 0)], None),
    ],
)
def test_a_part_carries_a_change_only_where_what_is_left_shows_it(
    now: list[Day], before: list[Day], passed: bool | None
) -> None:
    answer = left_out(now, before)
    check = judged(answer)
    assert (check.name, check.passed) == ("rival_without", passed)
    finding = built(draft_of(WEEK, BEFORE, answer))
    told = finding.model_copy(update={"checks": [check]})
    assert bool(carriers(told)) is (passed is False)
