"""The critic's checks, each where it passes and where it fails, on hand-made answers whose figures are known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from tests.support.drafts import FACTS, Day, built, draft_of, evidence, measured

from hansei.contracts import Check, Evidence, Finding, Verdict
from hansei.tools.playbook.catalogue import detector_of
from hansei.tools.playbook.checks import check_all, left_without, verdict_of

WEEK: list[Day] = [(100, 10)] * 7
BEFORE: list[Day] = [(100, 2)] * 7


def check(name: str, finding: Finding, q: float | None = 0.001) -> Check:
    """The check of that name; there must be one."""
    _, metric = detector_of(finding.metric)
    (found,) = [entry for entry in check_all(metric, finding, FACTS, q) if entry.name == name]
    return found


def found(now: Sequence[Day], before: Sequence[Day], *more: Evidence, **options: Any) -> Finding:
    return built(draft_of(now, before, *more, **options))


# Reference and amount of data


def test_without_a_reference_nothing_is_compared() -> None:
    assert check("has_reference", found(WEEK, BEFORE)).passed is True
    alone = found(WEEK, [])
    assert alone.baseline is None
    assert check("has_reference", alone).passed is False
    assert verdict_of([check("has_reference", alone)]) == "not_measurable"


@pytest.mark.parametrize(
    ("now", "before", "passed"),
    [
        ([(50, 5)], [(50, 1)], True),
        ([(49, 5)], [(500, 1)], False),
        ([(500, 50)], [(49, 1)], False),
        ([(500, 5)], [(500, 0)], True),
        ([(500, 4)], [(500, 0)], False),
        ([(3, 3)], [(500, 0)], False),
    ],
)
def test_there_must_be_enough_cases_on_both_sides_and_enough_that_were_hit(
    now: list[Day], before: list[Day], passed: bool
) -> None:
    assert check("enough_data", found(now, before)).passed is passed


def test_traffic_counts_the_traces_of_both_spans() -> None:
    few = found([(6, 6)] * 7, [(8, 8)] * 7, metric="traces_per_day", segment={"trace_name": "support"})
    many = found([(6, 6)] * 7, [(9, 9)] * 7, metric="traces_per_day", segment={"trace_name": "support"})
    assert check("enough_data", few).passed is False
    assert check("enough_data", many).passed is True


# Size and chance


@pytest.mark.parametrize(
    ("now", "before", "passed"),
    [
        (31, 20, True),  # half as much again, and one in a hundred more
        (29, 20, False),
        (44, 30, False),
        (11, 2, False),  # five times as much, but less than one in a hundred more
        (12, 2, True),
        (10, 30, False),  # the other direction
    ],
)
def test_a_regression_must_be_large_enough_and_for_the_worse(now: int, before: int, passed: bool) -> None:
    finding = found([(1000, now)], [(1000, before)])
    assert check("large_enough", finding).passed is passed


@pytest.mark.parametrize(
    ("now", "before", "passed"), [(59, 100, True), (61, 100, False), (15, 24, False), (99, 60, False)]
)
def test_an_improvement_must_be_large_enough_and_for_the_better(now: int, before: int, passed: bool) -> None:
    finding = found([(1000, now)], [(1000, before)], direction="improvement")
    assert check("large_enough", finding).passed is passed


def test_less_is_worse_for_a_score() -> None:
    place = {"score_name": "helpful"}
    fell = found([(100, 60)] * 7, [(100, 80)] * 7, metric="score_rate", segment=place)
    rose = found([(100, 80)] * 7, [(100, 60)] * 7, metric="score_rate", segment=place)
    assert (check("large_enough", fell).passed, check("large_enough", rose).passed) == (True, False)


def test_more_traffic_is_claimed_by_a_hotspot_and_less_by_a_regression() -> None:
    place = {"trace_name": "support"}
    for now, direction, passed in ((200, "hotspot", True), (50, "regression", True), (200, "regression", False)):
        finding = found([(now, now)] * 7, [(100, 100)] * 7, metric="traces_per_day", segment=place, direction=direction)
        assert check("large_enough", finding).passed is passed


@pytest.mark.parametrize(("q", "passed"), [(0.05, True), (0.0501, False), (None, False)])
def test_chance_is_judged_by_the_q_value(q: float | None, passed: bool) -> None:
    assert check("not_by_chance", found(WEEK, BEFORE), q).passed is passed


# The second query


def rederived(*rows: tuple[str, str, float | None]) -> Evidence:
    return evidence("rederive", ["source", "period", "value", "n"], [[*row, 1] for row in rows])


@pytest.mark.parametrize(
    ("now", "before", "passed"),
    [(0.1, 0.02, True), (0.1004, 0.02, True), (0.101, 0.02, False), (0.1, 0.0202, False), (None, 0.02, False)],
)
def test_the_second_query_must_give_the_same(now: float | None, before: float, passed: bool) -> None:
    answer = rederived(("critic", "window", now), ("critic", "baseline", before))
    assert check("rederived", found(WEEK, BEFORE, answer)).passed is passed


def test_a_second_query_without_the_window_is_no_proof() -> None:
    assert check("rederived", found(WEEK, BEFORE, rederived(("critic", "baseline", 0.02)))).passed is False


def test_on_a_sample_the_critic_is_held_against_the_analyst_on_the_same_sample() -> None:
    critic = [("critic", "window", 0.12), ("critic", "baseline", 0.03)]
    same = rederived(*critic, ("analyst", "window", 0.12), ("analyst", "baseline", 0.03))
    other = rederived(*critic, ("analyst", "window", 0.12), ("analyst", "baseline", 0.02))
    assert check("rederived", found(WEEK, BEFORE, same)).passed is True
    assert check("rederived", found(WEEK, BEFORE, other)).passed is False


# The mix


def strata(*rows: tuple[str, float, float, float, float]) -> Evidence:
    columns = ["stratum", "x", "y", "reference_x", "reference_y"]
    return evidence("strata", columns, [[[row[0], "production"], *row[1:]] for row in rows])


MEANS: dict[str, Any] = {"metric": "cost_per_trace", "segment": {}, "spread": 0.2}


def test_a_change_of_the_mix_alone_is_refuted_with_its_size() -> None:
    """Kitagawa by hand: $1 and $5 a trace before and after; their shares go from 8:2 to 4:6, so all of +1.6 is mix."""
    answer = strata(("cheap", 400, 400, 800, 800), ("dear", 600, 3000, 200, 1000))
    found_check = check("mix_shift", found([(1000, 3400)], [(1000, 1800)], answer, **MEANS))
    assert found_check.passed is False
    assert "of +89 %, +89 points came from what the traffic is made of" in found_check.detail
    assert "“dear” went from 20 % to 60 % of the cases" in found_check.detail
    assert "and 0 points from changes within" in found_check.detail


@pytest.mark.parametrize(
    ("dear", "shown", "passed"),
    [
        # within (13 - 5) * 0.3 = 2.4 of 0.6 + 0.4 * 13 - 1.8 = 4.0, against 1.8 before
        (13.0, "Of +222 %, +133 points happened within kinds of traffic (app, environment, step), +89 points", True),
        # within (6 - 5) * 0.3 = 0.3 of 0.6 + 0.4 * 6 - 1.8 = 1.2
        (6.0, "of +67 %, +50 points came from what the traffic is made of", False),
    ],
)
def test_part_mix_part_change_is_split_by_hand(dear: float, shown: str, passed: bool) -> None:
    """The cheap traces stay at $1; the dear ones go from $5 to `dear`, and their part from 0.2 to 0.4."""
    answer = strata(("cheap", 600, 600, 800, 800), ("dear", 400, 400 * dear, 200, 1000))
    finding = found([(1000, 600 + 400 * dear)], [(1000, 1800)], answer, **MEANS)
    found_check = check("mix_shift", finding)
    assert found_check.passed is passed
    assert shown in found_check.detail


def test_the_mix_of_a_share_is_told_in_points_of_it() -> None:
    """10 % and 50 % fail before and after; the shares go from 8:2 to 4:6, so 18 % become 34 %."""
    answer = strata(("calm", 400, 40, 800, 80), ("wild", 600, 300, 200, 100))
    detail = check("mix_shift", found([(1000, 340)], [(1000, 180)], answer)).detail
    assert "of +16 points, +16 points came from what the traffic is made of" in detail


def test_one_kind_of_traffic_has_no_mix() -> None:
    answer = strata(("cheap", 1000, 1500, 1000, 1000))
    assert check("mix_shift", found([(1000, 1500)], [(1000, 1000)], answer, **MEANS)).passed is True


# One user, one day


def users(*rows: tuple[str, int, float, int, float], count: int = 40) -> Evidence:
    columns = ["user_id", "x", "y", "reference_x", "reference_y", "users", "affected_users"]
    return evidence("users", columns, [[*row, count, count] for row in rows])


def test_a_finding_that_one_user_makes_names_this_user() -> None:
    """Without the user's 56 failures of 60 calls, 14 of 640 are left: 2.19 % against 2 % before."""
    found_check = check("one_user", found(WEEK, BEFORE, users(("mallory", 60, 56, 20, 0.4))))
    assert found_check.passed is False
    assert "“mallory”" in found_check.detail


def test_a_finding_that_many_users_share_holds_without_the_first() -> None:
    assert check("one_user", found(WEEK, BEFORE, users(("alice", 60, 9, 60, 1)))).passed is True


def test_all_of_it_from_one_user_of_several_is_told() -> None:
    found_check = check("one_user", found(WEEK, BEFORE, users(("mallory", 700, 70, 0, 0), count=2)))
    assert found_check.passed is False
    assert "“mallory”" in found_check.detail


@pytest.mark.parametrize(
    ("answer", "segment"),
    [
        (users(), None),
        (users(("bob", 700, 70, 700, 14), count=1), None),
        (users(("bob", 9, 9, 9, 0)), {"user_id": "bob"}),
    ],
)
def test_without_users_to_compare_the_question_stays_open(answer: Evidence, segment: dict[str, str] | None) -> None:
    assert check("one_user", found(WEEK, BEFORE, answer, segment=segment)).passed is None


def test_a_change_of_one_day_is_said_to_be_one_and_stands() -> None:
    burst = found([(100, 2)] * 3 + [(100, 58)] + [(100, 2)] * 3, BEFORE)
    found_check = check("one_day", burst)
    assert found_check.passed is False
    assert "2026-11-12" in found_check.detail
    assert verdict_of([found_check]) == "confirmed"
    assert check("one_day", found(WEEK, BEFORE)).passed is True
    assert check("one_day", found([(700, 70)], BEFORE)).passed is not True


# Verdicts


@pytest.mark.parametrize(
    ("failed", "verdict"),
    [
        ([], "confirmed"), (["one_day"], "confirmed"), (["not_by_chance"], "refuted"), (["mix_shift"], "refuted"),
        (["enough_data"], "not_measurable"), (["has_reference", "not_by_chance"], "not_measurable"),
        (["one_user"], "refuted"), (["rederived"], "refuted"),
    ],
)  # fmt: skip
def test_verdicts(failed: list[str], verdict: Verdict) -> None:
    checks = [Check(name=name, passed=False, detail="") for name in failed]
    open_or_passed = [Check(name="a", passed=None, detail=""), Check(name="b", passed=True, detail="")]
    assert verdict_of([*open_or_passed, *checks]) == verdict


# What is left without another finding


@pytest.mark.parametrize(("failing", "left"), [(10, 1.0), (6, 0.5), (2, 0.0), (0, -0.25)])
def test_what_is_left_is_the_effect_on_the_other_traces(failing: int, left: float) -> None:
    without = measured([(80, 80 * failing / 100)] * 7, BEFORE, purpose="without:x")
    assert left_without(found(WEEK, BEFORE), without, FACTS) == pytest.approx(left)


def test_nothing_is_left_without_any_trace() -> None:
    assert left_without(found(WEEK, BEFORE), measured([], BEFORE, purpose="without:x"), FACTS) == 0.0
