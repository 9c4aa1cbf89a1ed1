"""How far a judge can be believed: its verdicts held against people's, and shares corrected for its errors.

“Found” means that the criterion's failure is in the trace. So the true-positive rate (TPR) is the share of failures,
as people see them, that the judge finds; the true-negative rate (TNR) is the share of sound traces that it lets pass.

People's labels are split by the hash of the trace's id: the same trace is always on the same side, so a judge can be
improved on `train` and `dev` and is measured on `test` alone.

Labels may be chosen by the judge's verdict (as many of what it found as of the rest, say): given how many of all judged
traces it found, the rates are weighted back to those (Begg, Greenes, Biometrics 39 (1983) 207). They may not be chosen
by anything else that tells right verdicts from wrong ones.

Sources: Rogan, Gladen, American Journal of Epidemiology 107 (1978) 71, for the corrected share; its interval is drawn
from the rates' posteriors under Jeffreys' priors, which in simulation kept nearer to 95 % than the bootstrap, than the
profile likelihood and than Lang, Reiczigel, Preventive Veterinary Medicine 113 (2014) 13: with 200 labels and judges
from 0.6 to 0.99 they covered 0.93 to 0.99, 0.92 to 0.98 and 0.93 to 1.00, it 0.92 to 0.98 in runs of 400 worlds.

A rate's interval is the wider one, at either end, of Wilson's and of the mid-P one (Lancaster, Journal of the American
Statistical Association 56 (1961) 223; Agresti, Gottard, Computational Statistics and Data Analysis 51 (2007) 6447).
What decides is how many misses are expected among the labels: with 0.05 to 40 of 250 its coverage is nowhere below
94.3 %, and on average 98 % below one, 97 % from one to five, 96 % from five to fifteen. Alone, Jeffreys' falls to
88 % (2.5 misses), Wilson's to 84 % (0.2) and mid-P to 92 % (3.1); Clopper and Pearson's is wider still. By verdict the
rates are drawn from the confidence distributions of which those intervals are the quantiles.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hansei.tools.statistics import Interval, wilson

Split = Literal["train", "dev", "test"]

SHARES: dict[Split, float] = {"train": 0.2, "dev": 0.2, "test": 0.6}
"""How the labels are split. The rates need most of them."""

FEWEST = 5
"""Test labels of either kind below which no rates are told."""

LEAST_POWER = 0.1
"""TPR + TNR - 1 below which a judge is no better than a coin for what it is used for: the correction divides by it."""

_DRAWS = 4096
_REMEMBERED = 256
Array = NDArray[np.float64]


def split_of(trace_id: str) -> Split:
    """On which side the labels of a trace are: by its id alone, so always the same."""
    place = int.from_bytes(hashlib.sha256(f"split:{trace_id}".encode()).digest()[:8]) / 2**64
    for name, share in SHARES.items():
        if place < share:
            return name
        place -= share
    return "test"


@dataclass(frozen=True)
class Table:
    """Traces by the judge's verdict and people's: `hit` both found, `miss` people only, `alarm` the judge only,
    `clear` neither."""

    hit: int = 0
    miss: int = 0
    alarm: int = 0
    clear: int = 0

    @classmethod
    def of(cls, pairs: Iterable[tuple[bool, bool]]) -> Table:
        """Counts pairs of (judge found, people found)."""
        counted = [0, 0, 0, 0]
        for judge, human in pairs:
            counted[(not judge) if human else 2 + (not judge)] += 1
        return cls(*counted)

    @property
    def n(self) -> int:
        return self.hit + self.miss + self.alarm + self.clear

    @property
    def agreement(self) -> Interval:
        """Share of verdicts that are the same. 95 % interval."""
        return wilson((self.hit + self.clear) / self.n, self.n) if self.n else Interval(math.nan, 0.0, 1.0)

    @property
    def kappa(self) -> float | None:
        """Cohen's kappa (Educational and Psychological Measurement 20 (1960) 37): agreement beyond chance, 1 at most.

        None when all verdicts of both are the same, where chance alone agrees fully.
        """
        n = self.n
        if not n:
            return None
        judge, human = (self.hit + self.alarm) / n, (self.hit + self.miss) / n
        chance = judge * human + (1 - judge) * (1 - human)
        return ((self.hit + self.clear) / n - chance) / (1 - chance) if chance < 1 else None


@dataclass(frozen=True)
class Judged:
    """How many traces of a population the judge scored, and in how many it found the failure."""

    found: int
    n: int


@dataclass(frozen=True)
class Rates:
    """A judge's rates with 95 % intervals, and equally likely draws of them from their posterior."""

    tpr: Interval
    tnr: Interval
    draws: tuple[Array, Array]
    population: Judged | None
    """The judged traces that the labels were taken from; None: the labels were taken without looking at verdicts."""
    apparent: Array | None
    """Draws of the share found in that population, in step with `draws`."""

    @property
    def power(self) -> Interval:
        """TPR + TNR - 1 (Youden's J): 0 is a coin, 1 is perfect."""
        drawn = self.draws[0] + self.draws[1] - 1
        value = self.tpr.value + self.tnr.value - 1
        low, high = np.quantile(drawn, (0.025, 0.975))
        return Interval(value, min(value, float(low)), max(value, float(high)))

    @property
    def refusal(self) -> str | None:
        """Why no share can be corrected with these rates, or None."""
        power = self.power
        if power.value < LEAST_POWER or power.low <= 0:
            return (
                f"TPR + TNR - 1 is {power.value:.2f} ({power.low:.2f} to {power.high:.2f}): too near 0, the judge"
                " cannot be told from a coin"
            )
        return None


def rates(table: Table, population: Judged | None = None) -> Rates | str:
    """The judge's rates from test labels, or why there are none.

    Args:
        table: the labelled traces of `test`.
        population: the judged traces that the labelled ones were taken from, which may have been by verdict. None: they
            were taken without looking at verdicts.
    """
    positives, negatives = table.hit + table.miss, table.alarm + table.clear
    if min(positives, negatives) < FEWEST:
        return (
            f"people found the failure in {positives} of {table.n} test labels: at least {FEWEST} with it and {FEWEST}"
            " without it are needed"
        )
    if population is None:
        found, passed = (table.hit, table.miss), (table.clear, table.alarm)
        return Rates(_rate(*found), _rate(*passed), (_beta(*found, 0), _beta(*passed, 1)), None, None)
    if not 0 < population.found < population.n:
        return "the judge gave the same verdict on every trace"
    if not (table.hit + table.alarm and table.miss + table.clear):
        return "all test labels are of traces with the same verdict of the judge"
    judged = (population.found, population.n - population.found)
    right, wrong = (table.hit, table.alarm), (table.miss, table.clear)

    def drawn(way: _Way) -> tuple[Array, Array]:
        return _by_verdict(way(*judged, 2), way(*right, 0), way(*wrong, 1))

    values = drawn(lambda yes, no, _: np.array([yes / (yes + no)]))
    wide = [drawn(way) for way in _WAYS]
    tpr, tnr = (_around(float(values[i][0]), *(one[i] for one in wide)) for i in (0, 1))
    return Rates(tpr, tnr, drawn(_beta), population, _beta(*judged, 2))


def corrected(rates: Rates, judged: Judged) -> Interval | str:
    """The share of traces with the failure, corrected for the judge's errors (Rogan–Gladen), or why there is none.

    Args:
        rates: from test labels.
        judged: what the judge found where the share is wanted, such as a segment. Where it is the population of the
            rates itself, what is known of it is used once, and the interval is narrower.

    Returns:
        A share from 0 to 1 with its 95 % interval; both are cut off at 0 and 1.
    """
    if judged.n <= 0:
        return "nothing was judged"
    if (refused := rates.refusal) is not None:
        return refused
    same = judged == rates.population and rates.apparent is not None
    drawn = rates.apparent if same else _beta(judged.found, judged.n - judged.found, 2)
    assert drawn is not None
    tpr, tnr = rates.draws
    power = tpr + tnr - 1
    useful = power > 0  # a judge worse than a coin is ruled out by `refusal`; its few draws say nothing
    shares = np.clip((drawn[useful] + tnr[useful] - 1) / power[useful], 0.0, 1.0)
    value = (judged.found / judged.n + rates.tnr.value - 1) / (rates.tpr.value + rates.tnr.value - 1)
    return _around(min(1.0, max(0.0, value)), shares)


def _by_verdict(share: Array, right: Array, wrong: Array) -> tuple[Array, Array]:
    """TPR and TNR from the share found, and the shares of failures among what was found and among what was not."""
    hit, miss = share * right, (1 - share) * wrong
    alarm, clear = share * (1 - right), (1 - share) * (1 - wrong)
    return hit / (hit + miss), clear / (clear + alarm)


def _rate(yes: int, no: int) -> Interval:
    plain = wilson(yes / (yes + no), yes + no)
    middle = _around(plain.value, _mid_p(yes, no, 0))
    return Interval(plain.value, min(plain.low, middle.low), max(plain.high, middle.high))


def _around(value: float, *drawn: Array) -> Interval:
    """The value with the widest reach of the middle 95 % of any of the draws."""
    ends = [np.quantile(one, (0.025, 0.975)) for one in drawn]
    return Interval(value, min(value, *(float(one[0]) for one in ends)), max(value, *(float(one[1]) for one in ends)))


@lru_cache(maxsize=_REMEMBERED)
def _beta(yes: int, no: int, dimension: int) -> Array:
    """Equally likely values of a rate after `yes` and `no`, under Jeffreys' prior. Always the same ones."""
    from scipy.special import betaincinv

    return _within(betaincinv(yes + 0.5, no + 0.5, _even(dimension)))


@lru_cache(maxsize=_REMEMBERED)
def _mid_p(yes: int, no: int, dimension: int) -> Array:
    """Draws whose quantiles are the ends of mid-P intervals: as many of either of Clopper and Pearson's two betas."""
    from scipy.special import betaincinv

    even = _even(dimension)
    first, drawn = even < 0.5, np.empty(_DRAWS)
    drawn[first] = betaincinv(yes, no + 1, 2 * even[first]) if yes else 0.0
    drawn[~first] = betaincinv(yes + 1, no, 2 * even[~first] - 1) if no else 1.0
    return _within(drawn)


@lru_cache(maxsize=_REMEMBERED)
def _wilson(yes: int, no: int, dimension: int) -> Array:
    """Draws whose quantiles are the ends of Wilson's intervals."""
    from scipy.special import ndtri

    n, z = yes + no, ndtri(_even(dimension))
    share = yes / n
    reach = z * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return _within((share + z * z / (2 * n) + reach) / (1 + z * z / n))


_Way = Callable[[int, int, int], Array]
_WAYS: tuple[_Way, ...] = (_mid_p, _wilson)


def _within(drawn: Array) -> Array:
    return np.asarray(np.clip(drawn, 1e-12, 1 - 1e-12), dtype=np.float64)


@cache
def _even(dimension: int) -> Array:
    """Points that fill the unit cube evenly (Roberts' R3 sequence), one coordinate of them: no chance is involved."""
    root = 1.2207440846057596  # of x^4 = x + 1
    return (0.5 + np.arange(1, _DRAWS + 1) / root ** (dimension + 1)) % 1.0
