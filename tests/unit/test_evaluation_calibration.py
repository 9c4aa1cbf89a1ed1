"""A judge held against people: rates, corrected shares, and how often their intervals hold the truth."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest

from hansei.tools.evaluation.calibration import Judged, Table, corrected, rates, split_of

QUICK = [(0.6, 0.99, 0.3, True), (0.9, 0.8, 0.1, False)]
GRID = [(tpr, tnr, share) for tpr in (0.6, 0.8, 0.99) for tnr in (0.6, 0.8, 0.99) for share in (0.1, 0.4)]


@cache
def _worlds(tpr: float, tnr: float, share: float, worlds: int, *, by_verdict: bool) -> tuple[int, int, int]:
    """Simulated judges with known rates: how often there was an interval of the share, and how often it held it; and
    how often that of the TPR held the TPR."""
    chance, labels, judged = np.random.default_rng(11), 500, 2000
    apparent = share * tpr + (1 - share) * (1 - tnr)
    told = held = held_tpr = 0
    for _ in range(worlds):
        population = Judged(int(chance.binomial(judged, apparent)), judged)
        if by_verdict:
            half = labels // 2
            hit = int(chance.binomial(half, share * tpr / apparent))
            miss = int(chance.binomial(half, share * (1 - tpr) / (1 - apparent)))
            found = rates(Table(hit, miss, half - hit, half - miss), population)
        else:
            failures = int(chance.binomial(labels, share))
            hit, clear = int(chance.binomial(failures, tpr)), int(chance.binomial(labels - failures, tnr))
            found = rates(Table(hit, failures - hit, labels - failures - clear, clear))
        assert not isinstance(found, str)
        interval = corrected(found, population)
        if not isinstance(interval, str):
            told += 1
            held += interval.low <= share <= interval.high
            held_tpr += found.tpr.low <= tpr <= found.tpr.high
            assert 0 <= interval.low <= interval.value <= interval.high <= 1
    return told, held, held_tpr


@pytest.mark.parametrize(("tpr", "tnr", "share", "by_verdict"), QUICK)
def test_the_corrected_share_is_covered(tpr: float, tnr: float, share: float, by_verdict: bool) -> None:
    told, held, _ = _worlds(tpr, tnr, share, 120, by_verdict=by_verdict)
    assert told >= 118
    assert held / told >= 0.90


CHANCE = 3 * math.sqrt(0.95 * 0.05 / 500)
"""What 500 worlds may stray from a coverage of 95 % by chance; one cell in 400 does."""


@pytest.mark.long
@pytest.mark.parametrize("by_verdict", [False, True])
@pytest.mark.parametrize(("tpr", "tnr", "share"), GRID)
def test_the_corrected_share_is_covered_in_95_of_100_worlds_but_for_chance(
    tpr: float, tnr: float, share: float, by_verdict: bool
) -> None:
    told, held, held_tpr = _worlds(tpr, tnr, share, 500, by_verdict=by_verdict)
    assert told >= 350, "the others are told apart from a coin by nobody"
    assert held / told == pytest.approx(0.95, abs=CHANCE)
    assert held_tpr / told >= 0.95 - CHANCE, "it may be wider where few misses are expected, and no narrower"


@pytest.mark.long
def test_share_and_rate_are_covered_in_93_to_97_of_100_worlds_of_all_judges_together() -> None:
    told, held, held_tpr = np.sum(
        [_worlds(*cell, 500, by_verdict=way) for cell in GRID for way in (False, True)], axis=0
    )
    assert 0.93 <= held / told <= 0.97
    assert 0.93 <= held_tpr / told <= 0.97


def test_rates_agreement_and_kappa_are_those_of_the_table() -> None:
    table = Table.of([(True, True)] * 40 + [(False, True)] * 10 + [(True, False)] * 15 + [(False, False)] * 35)
    assert table == Table(hit=40, miss=10, alarm=15, clear=35)
    assert table.agreement.value == 0.75
    assert table.kappa == pytest.approx(0.5)
    found = rates(table)
    assert not isinstance(found, str)
    assert (found.tpr.value, found.tnr.value) == (0.8, 0.7)
    assert found.tpr.low == pytest.approx(0.6696, abs=1e-4), "Wilson's end, the wider one here"
    assert found.tpr.high == pytest.approx(0.8934, abs=1e-3), "that of mid-P"
    share = corrected(found, Judged(500, 1000))
    assert not isinstance(share, str)
    assert share.value == pytest.approx((0.5 + 0.7 - 1) / (0.8 + 0.7 - 1))
    assert corrected(found, Judged(500, 1000)) == share, "no chance is involved"
    assert Table(hit=3).kappa is None
    assert math.isnan(Table().agreement.value)


@pytest.mark.parametrize("expected", [0.1, 0.2, 0.5, 1.0, 2.5, 3.1, 6.5, 12.0])
def test_the_interval_of_a_rate_is_wide_enough_for_few_misses(expected: float) -> None:
    """At the worst places of Jeffreys' (2.5), Wilson's (0.2) and mid-P intervals (3.1) too: added up, not simulated."""
    from scipy.stats import binom

    labels, tpr = 250, 1 - expected / 250
    held = 0.0
    for misses in range(45):
        found = rates(Table(labels - misses, misses, 50, 50))
        assert not isinstance(found, str)
        if found.tpr.low <= tpr <= found.tpr.high:
            held += float(binom.pmf(misses, labels, 1 - tpr))
    assert 0.943 <= held <= 0.999


def test_labels_chosen_by_verdict_are_weighted_back() -> None:
    """Of 1,000 the judge found 100. People looked at 50 of each: 40 of these were right, 5 of those wrong."""
    found = rates(Table(hit=40, miss=5, alarm=10, clear=45), Judged(100, 1000))
    assert not isinstance(found, str)
    failures = 100 * 0.8 + 900 * 0.1
    assert found.tpr.value == pytest.approx(80 / failures)
    assert found.tnr.value == pytest.approx(810 / (1000 - failures))
    share = corrected(found, Judged(100, 1000))
    assert not isinstance(share, str)
    assert share.value == pytest.approx(failures / 1000)


def test_a_corrected_share_is_cut_off_at_nothing_and_all() -> None:
    found = rates(Table(hit=90, miss=10, alarm=30, clear=70))
    assert not isinstance(found, str)
    low, high = corrected(found, Judged(100, 1000)), corrected(found, Judged(990, 1000))
    assert not isinstance(low, str)
    assert not isinstance(high, str)
    assert (low.value, low.low, high.value, high.high) == (0.0, 0.0, 1.0, 1.0)


def test_no_share_is_corrected_with_a_coin() -> None:
    for table in (Table(26, 24, 25, 25), Table(20, 30, 30, 20), Table(4, 2, 2, 4)):
        found = rates(table)
        assert not isinstance(found, str)
        assert "cannot be told from a coin" in str(corrected(found, Judged(50, 100)))


def test_too_few_labels_give_no_rates() -> None:
    assert "at least 5 with it" in str(rates(Table(hit=4, clear=100)))
    assert "at least 5 with it" in str(rates(Table(hit=40, clear=4)))
    assert "same verdict" in str(rates(Table(hit=9, clear=9), Judged(0, 50)))
    assert "same verdict" in str(rates(Table(hit=9, alarm=9), Judged(10, 50)))
    perfect = rates(Table(hit=9, clear=9))
    assert not isinstance(perfect, str)
    assert "nothing was judged" in str(corrected(perfect, Judged(0, 0)))


def test_a_trace_is_always_on_the_same_side() -> None:
    sides = [split_of(f"trace-{number}") for number in range(5000)]
    assert sides == [split_of(f"trace-{number}") for number in range(5000)]
    for side, share in (("train", 0.2), ("dev", 0.2), ("test", 0.6)):
        assert abs(sides.count(side) / 5000 - share) < 0.03
