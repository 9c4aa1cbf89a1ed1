"""Two measurements of the same items: is the difference real? Intervals and tests that use the pairing.

Sources: McNemar (1947), Psychometrika 12:153, in its exact form; Newcombe (1998), Statistics in Medicine 17:2635,
method 10, for the interval of a difference of paired proportions; Student's t on the differences for other numbers;
Holm (1979), Scandinavian Journal of Statistics 6:65, for several comparisons at once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from hansei.tools.statistics import wilson

FEWEST = 10
"""Pairs below which nothing is called worse or better."""


@dataclass(frozen=True)
class Paired:
    """A comparison of paired values.

    Args:
        n: pairs.
        baseline, candidate: means.
        difference: candidate minus baseline.
        low, high: its 95 % interval; None for fewer than two pairs.
        p: two-sided, that there is no difference; 1 for fewer than two pairs.
        better, worse: pairs in which the candidate's value is higher, and lower.
        p_margin: the same that the difference is the margin; `p` without one.
    """

    n: int
    baseline: float
    candidate: float
    difference: float
    low: float | None
    high: float | None
    p: float
    better: int
    worse: int
    p_margin: float = 1.0


def compare_pairs(baseline: Sequence[float], candidate: Sequence[float], margin: float = 0.0) -> Paired:
    """Compares the values of the same items, in the same order.

    Values that are all 0 or 1 are taken as proportions (McNemar, Newcombe), others as numbers (t on differences).

    Args:
        baseline, candidate: the values.
        margin: a difference that is tested as well.

    Raises:
        ValueError: the sequences differ in length, or there are no pairs.
    """
    if len(baseline) != len(candidate) or not baseline:
        raise ValueError("as many values as pairs are needed")
    n = len(baseline)
    first, second = sum(baseline) / n, sum(candidate) / n
    better = sum(b < c for b, c in zip(baseline, candidate, strict=True))
    worse = sum(b > c for b, c in zip(baseline, candidate, strict=True))
    low: float | None = None
    high: float | None = None
    p = p_margin = 1.0
    if {*baseline, *candidate} <= {0.0, 1.0}:
        p = p_margin = sign_p(better, worse)
        if n > 1:
            low, high = _newcombe(baseline, candidate)
            if margin:
                p_margin = _newcombe_p(baseline, candidate, margin)
    elif n > 1:
        differences = [c - b for b, c in zip(baseline, candidate, strict=True)]
        low, high, p = _student(differences)
        p_margin = _student([one - margin for one in differences])[2] if margin else p
    return Paired(n, first, second, second - first, low, high, p, better, worse, p_margin)


def sign_p(better: int, worse: int) -> float:
    """The exact two-sided p-value of McNemar's test: discordant pairs fall either way with one half."""
    n, fewer = better + worse, min(better, worse)
    if n == 0:
        return 1.0
    if n > 1000:  # the normal approximation with continuity correction; the exact sum would differ in the fifth digit
        return math.erfc(max(0.0, abs(better - worse) - 1) / math.sqrt(2 * n))
    return float(min(1.0, 2 * sum(math.comb(n, k) for k in range(fewer + 1)) / 2**n))


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values, raised so that the chance of one false alarm among all of them is what each one says."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = highest
    return adjusted


def _newcombe_p(baseline: Sequence[float], candidate: Sequence[float], margin: float) -> float:
    """How likely a difference as far from the margin is: 1 less the level of the interval that just ends there."""
    beside, around = 0.0, 8.0
    for _ in range(40):
        z = (beside + around) / 2
        low, high = _newcombe(baseline, candidate, z)
        beside, around = (beside, z) if low <= margin <= high else (z, around)
    return math.erfc(beside / math.sqrt(2))


def _newcombe(baseline: Sequence[float], candidate: Sequence[float], z: float = 1.959964) -> tuple[float, float]:
    n = len(baseline)
    both = sum(b * c for b, c in zip(baseline, candidate, strict=True))
    lost, won = sum(baseline) - both, sum(candidate) - both
    neither = n - both - lost - won
    p1, p2 = sum(candidate) / n, sum(baseline) / n
    one, two = wilson(p1, n, z), wilson(p2, n, z)
    margins = (both + won) * (lost + neither) * (both + lost) * (won + neither)
    cross = both * neither - lost * won
    # Newcombe's correction: a positive correlation is taken as a little smaller than it looks.
    cross = max(0.0, cross - n / 2) if cross > 0 else cross
    phi = cross / math.sqrt(margins) if margins > 0 else 0.0

    def spread(a: float, b: float) -> float:
        return math.sqrt(max(0.0, a * a - 2 * phi * a * b + b * b))

    d = p1 - p2
    return (
        max(-1.0, d - spread(p1 - one.low, two.high - p2)),
        min(1.0, d + spread(one.high - p1, p2 - two.low)),
    )


def _student(differences: Sequence[float]) -> tuple[float, float, float]:
    from scipy import stats

    n = len(differences)
    mean = sum(differences) / n
    deviation = math.sqrt(sum((value - mean) ** 2 for value in differences) / (n - 1))
    error = deviation / math.sqrt(n)
    if error <= 1e-12 * max(1.0, abs(mean)):
        # All differ by the same: only the signs say something about chance.
        positive, negative = (n, 0) if mean > 0 else (0, n)
        return mean, mean, sign_p(positive, negative) if mean else 1.0
    reach = float(stats.t.ppf(0.975, n - 1)) * error
    return mean - reach, mean + reach, float(2 * stats.t.sf(abs(mean) / error, n - 1))
