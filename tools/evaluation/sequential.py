"""When enough traces have been judged: intervals that hold however often they are looked at.

A judge is asked trace by trace, in random order, until the interval of the share it finds is narrow enough. An interval
for a fixed number of traces would then be too narrow: it is looked at again and again, and the chance that it misses
once is far above 5 %. These are confidence sequences: with probability 95 % they hold the truth at all times at once,
so also at the moment at which somebody stops, for whatever reason.

Source: Waudby-Smith, Ramdas, Confidence sequences for sampling without replacement, NeurIPS 2020 (the prior-posterior
ratio martingale); for an endless population it is the Beta mixture of Robbins, Annals of Mathematical Statistics 41
(1970) 1397. The belief before the first trace is Jeffreys': it costs validity nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from hansei.tools.statistics import Interval

ERROR = 0.05
_PRIOR = 0.5


def anytime_interval(found: int, n: int, population: int | None = None, error: float = ERROR) -> Interval:
    """The share found, with an interval that holds at all times at once.

    Args:
        found, n: of the first `n` traces in random order, in how many the judge found it.
        population: how many traces there are to draw from, without putting any back; None: without end.
        error: the chance that any of the intervals of a run misses the truth.

    Raises:
        ValueError: the counts are impossible.
    """
    if not 0 <= found <= n or (population is not None and n > population):
        raise ValueError("no such counts")
    if n == 0:
        return Interval(math.nan, 0.0, 1.0)
    # What an urn that learns from Jeffreys' prior gave for this run of verdicts. A share is ruled out when it gave
    # less than `error` of that.
    least = math.log(error) + _log_beta(found + _PRIOR, n - found + _PRIOR) - _log_beta(_PRIOR, _PRIOR)
    value = found / n
    if population is None:
        low, high = _edges(lambda p: _log_likelihood(p, found, n) - least, value)
        return Interval(value, low, high)
    fewest, most = found, population - (n - found)
    peak = min(most, max(fewest, round(value * population)))

    def above(positives: int) -> bool:
        return _log_drawn(positives, found, n, population) > least

    # The likelihood falls to both sides of its peak.
    low_count = _first(fewest, peak, above)
    high_count = -_first(-most, -peak, lambda count: above(-count))
    return Interval(value, min(value, low_count / population), max(value, high_count / population))


def narrow_enough(found: int, n: int, half_width: float, population: int | None = None, error: float = ERROR) -> bool:
    """Whether to stop: the interval reaches at most `half_width` (a share) to either side of its middle."""
    if not n:
        return False
    interval = anytime_interval(found, n, population, error)
    return interval.high - interval.low <= 2 * half_width


def expected_traces(half_width: float, share: float = 0.5, population: int | None = None) -> int:
    """How many traces are judged until the interval is narrow enough when the judge finds it in `share` of them.

    A half is the worst case: what an estimate of costs should count with.
    """
    most = population if population is not None else 2**31
    low, high = 1, most
    while low < high:
        n = (low + high) // 2
        if narrow_enough(min(n, round(share * n)), n, half_width, population):
            high = n
        else:
            low = n + 1
    return low


def combined(strata: Iterable[tuple[int, int, int]], error: float = ERROR) -> Interval:
    """The share over several strata that were each sampled on their own, with an interval that holds at all times.

    Each stratum gets its part of the error, so the sum of their bounds holds for all of them together.

    Args:
        strata: of each one (traces in it, traces judged, traces in which it was found).
    """
    parts = [part for part in strata if part[0]]
    total = sum(size for size, _, _ in parts)
    if not total:
        return Interval(math.nan, 0.0, 1.0)
    value = low = high = 0.0
    for size, n, found in parts:
        interval = anytime_interval(found, n, size, error / len(parts))
        value += size / total * (interval.value if n else 0.5)
        low += size / total * interval.low
        high += size / total * interval.high
    return Interval(value, low, high)


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def _log_likelihood(p: float, found: int, n: int) -> float:
    if (p <= 0 and found) or (p >= 1 and found < n):
        return -math.inf
    return (found * math.log(p) if found else 0.0) + ((n - found) * math.log1p(-p) if found < n else 0.0)


def _log_drawn(positives: int, found: int, n: int, population: int) -> float:
    """Log of the chance of one run of verdicts, in its order, when `positives` of the population have it."""

    def falling(start: int, steps: int) -> float:
        return math.lgamma(start + 1) - math.lgamma(start - steps + 1)

    return falling(positives, found) + falling(population - positives, n - found) - falling(population, n)


def _edges(height: Callable[[float], float], peak: float) -> tuple[float, float]:
    """Where a function that falls to both sides of its peak, on 0 to 1, passes 0. Outside by less than 1e-9."""

    def edge(outside: float) -> float:
        inside = peak
        if height(outside) > 0:
            return outside
        for _ in range(60):
            middle = (inside + outside) / 2
            if height(middle) > 0:
                inside = middle
            else:
                outside = middle
        return outside

    return edge(0.0), edge(1.0)


def _first(low: int, high: int, holds: Callable[[int], bool]) -> int:
    """The first of low … high from which something holds; it holds at `high`."""
    while low < high:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle + 1
    return low
