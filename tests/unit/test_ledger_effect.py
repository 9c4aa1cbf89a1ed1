"""The effect of a fix: the interval covers what was planted, and the verdicts say what it was."""

from __future__ import annotations

import random

import pytest

from hansei.tools.ledger.effect import Days, difference, verdict
from hansei.tools.statistics import Sums


def days(source: random.Random, rate: float, traces: int = 80, count: int = 7, calls: int = 3) -> list[Sums]:
    """Daily sums of traces with up to `calls` calls each, which fail at `rate`, alike within a trace."""
    out = []
    for _ in range(count):
        clusters = []
        for _ in range(traces):
            x = source.randint(1, calls)
            # A trace fails more or less as a whole: beta-distributed, so that its calls are alike.
            own = source.betavariate(2 * rate + 1e-9, 2 * (1 - rate))
            y = sum(source.random() < own for _ in range(x))
            clusters.append(Sums(1, x, y, x * x, x * y, y * y, int(y > 0)))
        out.append(Sums.total(clusters))
    return out


def world(
    seed: int, *, effect: float, shock: float, siblings: int = 6, apart: float = 0.015
) -> tuple[Days, dict[str, Days]]:
    """A tool that failed at 20 % and now by `effect` less; all tools move by `shock`, each a little `apart`."""
    source = random.Random(seed)

    def moved() -> float:
        return shock + source.gauss(0, apart)

    treated = Days(days(source, 0.2), days(source, min(0.9, max(0.005, 0.2 + moved() - effect))))
    others = {f"s{i}": Days(days(source, 0.08), days(source, max(0.005, 0.08 + moved()))) for i in range(siblings)}
    return treated, others


@pytest.mark.parametrize("effect", [0.0, pytest.param(0.1, marks=pytest.mark.long)])
def test_the_interval_covers_what_was_planted(effect: float) -> None:
    covered, naive, of = 0, 0, 150
    for seed in range(of):
        treated, others = world(seed, effect=effect, shock=0.04)
        found = difference(treated, others, relative=False)
        assert found is not None
        covered += found.low <= -effect <= found.high
        alone = difference(treated, {}, relative=False)
        assert alone is not None
        naive += alone.low <= -effect <= alone.high
    # The truth at 95 %; 150 worlds tell it to within five points. Before and after alone misses the common shock.
    assert 0.90 <= covered / of <= 0.995
    assert naive / of < 0.75


def test_siblings_in_proportion() -> None:
    def spent(source: random.Random, dollars: float) -> list[Sums]:
        out = []
        for _ in range(7):
            values = [dollars * source.lognormvariate(-0.125, 0.5) for _ in range(60)]
            out.append(Sums(60, 60, sum(values), 60, sum(values), sum(v * v for v in values), 60))
        return out

    covered = 0
    for seed in range(60):
        source = random.Random(seed)
        # Prices rise by a third for all; the fix halves what the treated calls cost.
        treated = Days(spent(source, 1.0), spent(source, 4 / 3 / 2))
        others = {str(price): Days(spent(source, price), spent(source, price * 4 / 3)) for price in (0.1, 3.0, 20.0)}
        found = difference(treated, others, relative=True)
        assert found is not None
        covered += found.low <= -2 / 3 <= found.high
    assert covered >= 53


@pytest.mark.parametrize(
    ("effect", "said"), [(0.18, "worked"), (0.08, "partly"), (0.0, "no_effect"), (-0.12, "made_worse")]
)
def test_verdicts(effect: float, said: str) -> None:
    source = random.Random(5)
    treated = Days(days(source, 0.2, 600), days(source, 0.2 - effect, 600))
    others = {f"s{i}": Days(days(source, 0.08, 600), days(source, 0.08, 600)) for i in range(6)}
    found = difference(treated, others, relative=False)
    assert found is not None
    assert verdict(found, treated, 1, 0.18, complete=True, traces_a_day=600, left=0) == (said, None)
    # Before the agreed days are over nothing is said.
    early = verdict(found, treated, 1, 0.18, complete=False, traces_a_day=600, left=2.0)
    assert early == ("too_early", 1200)


def test_what_is_missing_is_computed_and_enough() -> None:
    source = random.Random(2)
    treated = Days(days(source, 0.1, 400), days(source, 0.07, 6))
    others = {f"s{i}": Days(days(source, 0.08, 400), days(source, 0.08, 400)) for i in range(6)}
    found = difference(treated, others, relative=False)
    assert found is not None
    said, more = verdict(found, treated, 1, 0.08, complete=True, traces_a_day=6, left=0)
    assert said == "too_early"
    assert more is not None
    assert more > 42
    again = Days(treated.before, days(source, 0.07, (more + 42) // 7 + 20))
    longer = difference(again, others, relative=False)
    assert longer is not None
    assert verdict(longer, again, 1, 0.08, complete=True, traces_a_day=6, left=0)[0] != "too_early"


def test_siblings_without_events_or_traffic() -> None:
    source = random.Random(3)
    treated = Days(days(source, 0.2), days(source, 0.02))
    silent = Days(days(source, 0.0), days(source, 0.0))
    found = difference(treated, {"silent": silent, "gone": Days([Sums()] * 7, [Sums()] * 7)}, relative=False)
    assert found is not None
    assert found.siblings == ("silent",)
    assert found.high < -0.1
    assert difference(Days([Sums()], [Sums()]), {}, relative=False) is None
