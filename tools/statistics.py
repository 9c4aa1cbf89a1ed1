"""Intervals, tests and the bound on false alarms. Pure functions over daily sums; nothing here knows ClickHouse.

Everything that Hansei measures, except quantiles and traffic, is a ratio R = sum(y) / sum(x) over clusters (traces):
failing calls per call, dollars per call, tokens per trace, score per rating. Calls of one trace are alike, so the trace
is the unit of sampling, and the variance is that of the ratio estimator over clusters (Cochran, Sampling Techniques,
3rd ed., 1977, section 6.4): Var(R) = m / (m - 1) * sum((y_i - R x_i)^2) / sum(x)^2, which needs only the sums of x, y,
xx, xy and yy.

Days differ by more than chance lets them (releases, news, outages), so the variance is multiplied by a dispersion
factor estimated from the reference's own days (McCullagh and Nelder, Generalized Linear Models, 2nd ed., 1989, section
4.5), shrunk towards 1 because seven days are few.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from hansei.tools.fisher import fisher_p

PRIOR_DAYS = 10.0
"""How many days' worth of belief the dispersion factor has in 1, the value when days differ by chance only, as long as
the days do not contradict it."""

SMALL_COUNT = 10
"""With fewer affected traces than this on either side a proportion is tested exactly."""


@dataclass(frozen=True)
class Sums:
    """Sums over the clusters (traces) of one day or one period.

    clusters: number of traces; x: denominators (calls); y: numerators (failing calls, dollars …); xx, xy, yy: sums over
    clusters of the products of their totals; affected: clusters with y > 0.
    """

    clusters: int = 0
    x: float = 0.0
    y: float = 0.0
    xx: float = 0.0
    xy: float = 0.0
    yy: float = 0.0
    affected: int = 0

    def __add__(self, other: Sums) -> Sums:
        return Sums.total((self, other))

    @classmethod
    def total(cls, parts: Iterable[Sums]) -> Sums:
        clusters, x, y, xx, xy, yy, affected = 0, 0.0, 0.0, 0.0, 0.0, 0.0, 0
        for part in parts:
            clusters += part.clusters
            x += part.x
            y += part.y
            xx += part.xx
            xy += part.xy
            yy += part.yy
            affected += part.affected
        return cls(clusters, x, y, xx, xy, yy, affected)

    @property
    def ratio(self) -> float:
        """sum(y) / sum(x); nan without any x."""
        return self.y / self.x if self.x > 0 else math.nan

    def residual(self, ratio: float) -> float:
        """Sum over clusters of (y_i - ratio x_i)^2, never below zero."""
        return max(0.0, self.yy - 2 * ratio * self.xy + ratio * ratio * self.xx)

    @cached_property
    def variance(self) -> float:
        """Variance of the ratio over clusters; nan with fewer than two clusters."""
        if self.clusters < 2 or self.x <= 0:
            return math.nan
        return self.clusters / (self.clusters - 1) * self.residual(self.ratio) / self.x**2


@dataclass(frozen=True)
class Dispersion:
    """How much more days differ than chance lets them.

    `factor` (at least 1) widens intervals. `scatter` is the sum of the days' squared residuals over their expected
    size, with `freedom` degrees of freedom; 0 of them: the days say nothing.
    """

    factor: float = 1.0
    scatter: float = 0.0
    freedom: int = 0

    @cached_property
    def beliefs(self) -> list[tuple[float, float]]:
        """By which factor the variance of a day may exceed that of chance, each with its probability given the days."""
        return beliefs(self.scatter, self.freedom) if self.freedom else [(1.0, 1.0)]


def beliefs(scatter: float, freedom: int, *, none: float = 0.8, falling: float = 1.0) -> list[tuple[float, float]]:
    """Factors by which a variance may exceed that of chance, each with its probability given what was seen.

    Averaging a p-value over them keeps nearer to its nominal level, with more power, than an estimated factor and
    Student's t do: that p-value jumps by orders of magnitude as the estimate passes 1. Source: Meng, Annals of
    Statistics 22 (1994) 1142 (posterior predictive p-values).

    Args:
        scatter: sum of squared residuals over their size by chance.
        freedom: its degrees of freedom, above 0.
        none: belief, before anything was seen, that there is nothing beyond chance.
        falling: how fast the rest of the belief falls with the factor (a power of it).
    """
    beyond = 0.125 * 2.0 ** np.arange(13)
    factors = np.array([1.0, *(1.0 + beyond)])
    prior = np.array([none, *((1 - none) * beyond**-falling / (beyond**-falling).sum())])
    likely = np.log(prior) - scatter / factors / 2 - freedom / 2 * np.log(factors)
    weights = np.exp(likely - likely.max())
    return list(zip(factors.tolist(), (weights / weights.sum()).tolist(), strict=True))


def dispersion(days: Sequence[Sums], window: Sequence[Sums] = ()) -> Dispersion:
    """Dispersion from the reference's days: squared day residuals over their expected size.

    Days without clusters, and references of one day, say nothing and leave the prior.

    Args:
        days: the reference's.
        window: the days that are compared with it. They tell about the scatter too, around levels of their own.
    """
    return _dispersion(tuple(days), tuple(window))


@lru_cache(maxsize=4096)
def _dispersion(days: tuple[Sums, ...], window: tuple[Sums, ...]) -> Dispersion:
    from scipy.special import chdtrc

    total = Sums.total(days)
    ratio = total.ratio
    spread, counted = 0.0, 0
    if total.x > 0 and total.residual(ratio) > 0:
        per_cluster = total.residual(ratio) / total.clusters
        for day in days:
            if day.clusters < 1:
                continue
            # A day's own residual is too noisy (or zero) for small days, so the period's average stands in for it.
            expected = max(day.residual(ratio), per_cluster * day.clusters)
            spread += (day.y - ratio * day.x) ** 2 / expected
            counted += 1
    freedom = max(0, counted - 1)
    # The belief that days differ by chance only gives way as the days contradict it.
    prior = PRIOR_DAYS * min(1.0, float(chdtrc(freedom, spread)) / 0.2) if freedom else PRIOR_DAYS
    more, free = _around_a_change(window)
    return Dispersion(max(1.0, (prior + spread) / (prior + freedom)), spread + more, freedom + free)


def _around_a_change(days: Sequence[Sums]) -> tuple[float, int]:
    """Scatter of days with its degrees of freedom when some days in a row, from any to any, have a level of their own.

    So a change within these days, or a short outburst, does not count as scatter. The search costs five degrees of
    freedom; too few days say nothing, and with many the reference says enough.
    """
    seen = [day for day in days if day.clusters > 0]
    if not _FEWEST_DAYS <= len(seen) <= _MOST_DAYS:
        return 0.0, 0
    n, x, y, xx, xy, yy = (np.array([getattr(day, name) for day in seen], dtype=np.float64) for name in _COLUMNS)

    def scatter(piece: slice | NDArray[np.intp]) -> float:
        total = float(x[piece].sum())
        ratio = float(y[piece].sum()) / total if total > 0 else 0.0
        residual = np.maximum(yy[piece] - 2 * ratio * xy[piece] + ratio**2 * xx[piece], 0.0)
        expected = np.maximum(residual, residual.sum() / n[piece].sum() * n[piece])
        apart = (y[piece] - ratio * x[piece]) ** 2
        return float((apart[expected > 0] / expected[expected > 0]).sum())

    count = len(seen)
    best = scatter(slice(0, count))
    for first in range(count):
        for last in range(first + 1, count + (first > 0)):
            others = np.array([*range(first), *range(last, count)])
            best = min(best, scatter(slice(first, last)) + scatter(others))
    return best, count - _FEWEST_DAYS + 1


_FEWEST_DAYS, _MOST_DAYS = 6, 31
_COLUMNS = ("clusters", "x", "y", "xx", "xy", "yy")


@dataclass(frozen=True)
class Interval:
    """A value with its 95 % bounds."""

    value: float
    low: float
    high: float


def wilson(ratio: float, n: float, z: float = 1.959964) -> Interval:
    """Wilson's interval of a proportion with `n` (effective) independent trials.

    Source: Wilson, JASA 22 (1927) 209; Brown, Cai, DasGupta, Statistical Science 16 (2001) 101.
    """
    if n <= 0:
        return Interval(ratio, 0.0, 1.0)
    centre = (ratio + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(ratio * (1 - ratio) / n + z * z / (4 * n * n))
    return Interval(ratio, max(0.0, min(ratio, centre - half)), min(1.0, max(ratio, centre + half)))


def proportion_interval(sums: Sums, spread: Dispersion) -> Interval:
    """95 % interval of a share: Wilson's, with the number of trials cut to what the clustering is worth."""
    ratio = sums.ratio
    trials = float(sums.clusters)  # all or none: at most one independent trial a trace
    if 0 < ratio < 1 and sums.variance > 0:
        trials = min(sums.x, ratio * (1 - ratio) / sums.variance)
    return wilson(ratio, trials / spread.factor)


def mean_interval(sums: Sums, spread: Dispersion) -> Interval:
    """95 % interval of an average, by Student's t over clusters."""
    from scipy.special import stdtrit

    if not sums.variance >= 0:
        return Interval(sums.ratio, sums.ratio, sums.ratio)
    half = float(stdtrit(max(1, sums.clusters - 1), 0.975)) * math.sqrt(sums.variance * spread.factor)
    return Interval(sums.ratio, sums.ratio - half, sums.ratio + half)


def difference_p(current: Sums, reference: Sums, spread: Dispersion, *, proportion: bool) -> float:
    """Two-sided p-value that two ratios differ only by chance; 1 when that cannot be said.

    Student's t on the difference with Welch's degrees of freedom, averaged over how much the days may differ beyond
    chance (`Dispersion.beliefs`); for shares with few affected traces, where the normal approximation fails, Fisher's
    exact test over traces.
    """
    if current.clusters < 2 or reference.clusters < 2 or current.x <= 0 or reference.x <= 0:
        return 1.0
    if proportion and min(current.affected, reference.affected) < SMALL_COUNT:
        return fisher_p(current.affected, current.clusters, reference.affected, reference.clusters)
    from scipy.special import stdtr

    a, b = current.variance, reference.variance
    if a + b <= 0:
        return 1.0 if current.ratio == reference.ratio else 0.0
    welch = (a + b) ** 2 / (a**2 / (current.clusters - 1) + b**2 / (reference.clusters - 1))
    apart = abs(current.ratio - reference.ratio) / math.sqrt(a + b)
    p = sum(belief * 2 * float(stdtr(welch, -apart / math.sqrt(factor))) for factor, belief in spread.beliefs)
    return min(1.0, p)


def quantile_interval(levels: Sequence[float], values: Sequence[float], level: float, deviation: float) -> Interval:
    """95 % interval of a quantile from the quantile function around it (Woodruff, JASA 47 (1952) 635).

    Args:
        levels: ascending levels at which the quantile function is known.
        values: its values there.
        level: the level asked for; must be one of `levels`.
        deviation: standard error of the share of rows below the quantile.
    """

    def at(q: float) -> float:
        q = min(max(q, levels[0]), levels[-1])
        for i in range(1, len(levels)):
            if q <= levels[i]:
                share = (q - levels[i - 1]) / (levels[i] - levels[i - 1])
                return values[i - 1] + share * (values[i] - values[i - 1])
        return values[-1]

    value = values[list(levels).index(level)]
    return Interval(value, min(value, at(level - 1.959964 * deviation)), max(value, at(level + 1.959964 * deviation)))


def benjamini_hochberg(p_values: Sequence[float], tests: int) -> list[float]:
    """q-values in the order of `p_values`, when `tests` hypotheses were looked at in all.

    Those that did not pass the screen count with p = 1, so they can only make the others' q larger.
    Source: Benjamini, Hochberg, JRSS B 57 (1995) 289.
    """
    tests = max(tests, len(p_values))
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    out = [1.0] * len(p_values)
    smallest = 1.0
    for rank in range(len(order), 0, -1):
        index = order[rank - 1]
        smallest = min(smallest, p_values[index] * tests / rank)
        out[index] = smallest
    return out


def change_point(days: Sequence[Sums], start: int) -> int:
    """Index of the day from which the ratio differs most from before: the best split into two levels.

    Args:
        days: consecutive days, reference first.
        start: index of the first day that may be the onset (the window's first).

    Returns:
        The onset; `start` when the change was there from the window's first day.
    """
    best, onset = -math.inf, start
    whole = Sums.total(days)
    variance = whole.residual(whole.ratio) / max(1, whole.clusters)
    if variance <= 0:
        return start
    for split in range(max(1, start), len(days)):
        before, after = Sums.total(days[:split]), Sums.total(days[split:])
        if before.x <= 0 or after.x <= 0:
            continue
        gain = (before.ratio - after.ratio) ** 2 / (
            variance * (before.clusters / before.x**2 + after.clusters / after.x**2)
        )
        # Days without rows leave the gain as it is: the change began with the first day that has some.
        if gain >= best:
            best, onset = gain, split
    return onset


@dataclass(frozen=True)
class CountTest:
    """Traffic against what the same weekdays led to expect, per day."""

    expected: float
    p: float
    factor: float


def count_test(history: Sequence[float], window: Sequence[float]) -> CountTest | None:
    """Tests daily counts against the same weekdays before.

    Quasi-Poisson: the factor by which days scatter more than a Poisson count would is estimated from the history's
    residuals around the weekday means. When no weekday occurs twice, it is judged by how evenly the weekdays moved
    (see `_one_week`), or around the overall mean when there are too few of them.

    Args:
        history: counts of the days before the window, oldest first, the last one just before it.
        window: counts of the days of the window.

    Returns:
        None when no day of the window has the same weekday in the history, so nothing can be said.
    """
    from scipy.special import stdtr

    seven: dict[int, list[float]] = {}
    for back, count in enumerate(reversed(history), start=1):
        seven.setdefault(-back % 7, []).append(count)
    expected, uncertainty, compared = 0.0, 0.0, 0.0
    for day, count in enumerate(window):
        same = seven.get(day % 7)
        if same is None:
            continue
        mean = sum(same) / len(same)
        expected += mean
        uncertainty += mean * (1 + 1 / len(same))
        compared += count
    if (expected <= 0 and compared <= 0) or not any(day % 7 in seven for day in range(len(window))):
        return None
    repeated = [counts for counts in seven.values() if len(counts) > 1]
    pairs = [(seven[day % 7][0], count) for day, count in enumerate(window) if day % 7 in seven]
    if not repeated and len(pairs) >= FEWEST_PAIRS:
        return _one_week(pairs, len(window))
    groups: list[list[float]] = repeated or [list(history)]
    spread, freedom = 0.0, 0
    for counts in groups:
        mean = sum(counts) / len(counts)
        if mean > 0:
            spread += sum((count - mean) ** 2 for count in counts) / mean
            freedom += len(counts) - 1
    factor = max(1.0, spread / freedom) if freedom else 1.0
    deviation = math.sqrt(max(uncertainty, 1.0) * factor)
    p = float(2 * stdtr(max(1, freedom), -abs(compared - expected) / deviation))
    return CountTest(expected / len(window), min(1.0, p), factor)


FEWEST_PAIRS = 5
"""Fewer weekdays that occur before and in the window than this say nothing about how evenly they moved."""


def _one_week(pairs: Sequence[tuple[float, float]], days: int) -> CountTest:
    """The test with each weekday once before and once in the window, `pairs` in the order of days.

    The weekly pattern is in both, so the ratio of the two is free of it. Their scatter is what is left around one
    common ratio, or around two when traffic changed within the window; that search costs two degrees of freedom.
    """
    # Half a trace a day more: where there was none before, what comes is not infinitely uneven.
    before, now = (np.array(side) + 0.5 for side in zip(*pairs, strict=True))

    def unlike(first: int, last: int) -> float:
        b, w = before[first:last], now[first:last]
        ratio = float(w.sum()) / max(float(b.sum()), 1.0)
        return float(((w - ratio * b) ** 2 / np.maximum(ratio * b * (1 + ratio), 1.0)).sum())

    n = len(pairs)
    scatter = min(unlike(0, n), *(unlike(0, split) + unlike(split, n) for split in range(1, n)))
    factors = beliefs(scatter, n - 3, none=0.2, falling=0.0)
    apart = abs(float(now.sum() - before.sum())) / math.sqrt(max(float(now.sum() + before.sum()), 1.0))
    p = sum(belief * math.erfc(apart / math.sqrt(2 * factor)) for factor, belief in factors)
    return CountTest(
        float(before.sum() - n / 2) / days, min(1.0, p), sum(factor * belief for factor, belief in factors)
    )
