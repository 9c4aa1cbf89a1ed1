"""What a p-value means among all that was looked at."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as some
from scipy.special import ndtr
from tests.support.sample_report import sample_report

from hansei.tools.playbook.catalogue import DETECTORS
from hansei.tools.playbook.multiplicity import (
    FALSE_DISCOVERY_RATE,
    MOST_DETECTORS,
    and_also,
    deviations_to_stand,
    q_values,
    slices_of,
)
from hansei.tools.statistics import benjamini_hochberg

LOOKED = {"latency": 5000, "error": 900, "quality": 70, "traffic": 6, "loop": 0}


def test_detectors_that_looked_at_as_much_are_alike() -> None:
    p_values = [0.0001, 0.02, 0.003]
    found = q_values(["error", "latency", "error"], p_values, {"error": 40, "latency": 40})
    assert found == pytest.approx(benjamini_hochberg(p_values, 80))
    alone = q_values(["error"] * 3, p_values, {"error": 40, "latency": 0})
    assert alone == pytest.approx(benjamini_hochberg(p_values, 40))


def test_what_is_clear_among_the_few_slices_of_its_detector_is_not_drowned_by_anothers() -> None:
    [traffic] = q_values(["traffic"], [0.0001], LOOKED)
    [latency] = q_values(["latency"], [0.0001], LOOKED)
    # By hand: 5976 slices, four detectors that looked; p / weight * slices.
    assert traffic == pytest.approx(0.0001 * 5976 / (0.5 + 0.5 * 5976 / (4 * 6)))
    assert traffic < 0.05 < benjamini_hochberg([0.0001], 5976)[0] < latency


@given(
    some.lists(some.tuples(some.sampled_from(sorted(LOOKED)), some.floats(0, 1)), max_size=30),
    some.dictionaries(some.sampled_from(sorted(LOOKED)), some.integers(0, 10_000)),
)
def test_no_detector_loses_more_than_a_factor_of_two(tested: list[tuple[str, float]], looked: dict[str, int]) -> None:
    detectors, p_values = [name for name, _ in tested], [p for _, p in tested]
    found = q_values(detectors, p_values, looked)
    total = sum(max(looked.get(name, 0), detectors.count(name)) for name in {*looked, *detectors})
    alike = benjamini_hochberg(p_values, total)
    assert all(q <= 2 * other + 1e-12 for q, other in zip(found, alike, strict=True))
    assert all(0 <= q <= 1 for q in found)


def test_where_nothing_is_wrong_a_finding_is_as_rare_as_it_shall_be() -> None:
    chance = random.Random(5)
    names = [name for name, count in LOOKED.items() for _ in range(count)]
    alarms = sum(min(q_values(names, [chance.random() for _ in names], LOOKED)) <= 0.05 for _ in range(400))
    assert 8 <= alarms <= 32  # of 400 a twentieth is 20, give or take three standard deviations


def test_the_slices_of_a_report_and_those_that_come_on_top() -> None:
    assert slices_of(sample_report()) == {"error": 112, "latency": 88, "quality": 12, "cache": 0}
    assert and_also({"error": 112, "loop": 0}, ["error", "cost", "error"]) == {"error": 114, "cost": 1}


def test_what_stands_whatever_else_is_looked_at_is_looked_at_closer() -> None:
    """Of few slices fewer standard errors do; what the screen lets pass by them stands beside any number of others."""
    assert len(DETECTORS) <= MOST_DETECTORS
    for mine in (1, 30, 400):
        p = float(ndtr(-deviations_to_stand(mine)))
        for others in (0, 1000, 10**6):
            looked = {f"other {i}": others for i in range(MOST_DETECTORS - 1)}
            assert q_values(["quality"], [p], {"quality": mine, **looked})[0] <= FALSE_DISCOVERY_RATE
    assert deviations_to_stand(1) < deviations_to_stand(30) < 4.1 < 4.5 < deviations_to_stand(400)
