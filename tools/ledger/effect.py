"""What a fix has done: difference in differences over clustered sums. Pure functions; nothing here knows ClickHouse.

The treated rows' change from before to after, less the change of siblings that the fix did not touch: whatever moved
all of them alike (a new model behind them, a holiday) is taken out (Angrist, Pischke, Mostly Harmless Econometrics,
2009, chapter 5). Siblings are taken to change by the same amount, or, where values are amounts of money, tokens or
steps, in the same proportion.

Its variance has three parts: that of each ratio over traces (Cochran, see `hansei.tools.statistics`); times the factor
by which days differ more than chance lets them; and how much siblings differ among each other in their change, since
the treated rows may differ as much without any fix (Donald, Lang, Review of Economics and Statistics 89 (2007) 221).
The last is estimated by the method of moments (DerSimonian, Laird, Controlled Clinical Trials 7 (1986) 177), and
Student's t has then the siblings' degrees of freedom.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hansei.contracts.since import EffectVerdict
from hansei.tools.statistics import Dispersion, Sums, dispersion

MOSTLY = 0.75
"""A fix that removed this share of what there was to remove has worked."""

HALF = 0.5
"""A fix of which it is sure that it removed less than this share, and not that it removed any, had no effect."""

LEAST_CLUSTERS = 30
"""Traces that a sibling must have on either side."""


@dataclass(frozen=True)
class Days:
    """Daily sums before and after."""

    before: Sequence[Sums]
    after: Sequence[Sums]

    @property
    def first(self) -> Sums:
        return Sums.total(self.before)

    @property
    def last(self) -> Sums:
        return Sums.total(self.after)


@dataclass(frozen=True)
class Difference:
    """The effect in the metric's unit with its 95 % interval; `floor` is the part of its variance that more traces of
    the treated rows after the fix do not take away."""

    value: float
    low: float
    high: float
    floor: float
    quantile: float
    siblings: tuple[str, ...]
    before: float | None
    after: float | None


def difference(treated: Days, siblings: Mapping[str, Days], *, relative: bool) -> Difference | None:
    """The effect; None when there are too few traces before or after to say anything.

    Args:
        treated: of the rows that the fix is about.
        siblings: of the others, by name; those with too few traces are left out.
        relative: siblings change in proportion.
    """
    from scipy.stats import t

    first, last = treated.first, treated.last
    if min(first.clusters, last.clusters) < 2 or not (first.variance >= 0 and last.variance >= 0):
        return None
    spread = max(_spread(treated).factor, 1.0)
    used = {name: days for name, days in sorted(siblings.items()) if _usable(days, relative)}
    trend = _trend(used, relative)
    base = first.ratio
    if relative:
        change = base * math.exp(trend.value)
        slope = math.exp(trend.value)
        from_trend = (change**2) * trend.variance
        from_shocks = (change**2) * trend.between
    else:
        change, slope = base + trend.value, 1.0
        from_trend, from_shocks = trend.variance, trend.between
    floor = slope**2 * first.variance * spread + from_trend + from_shocks
    variance = floor + last.variance * spread
    freedom = trend.freedom if trend.between > 0 else min(first.clusters, last.clusters) - 1
    quantile = float(t.ppf(0.975, max(1, freedom)))
    value, half = last.ratio - change, quantile * math.sqrt(variance)
    pooled = [Sums.total(part) for part in ([d.first for d in used.values()], [d.last for d in used.values()])]
    return Difference(
        value, value - half, value + half, floor, quantile, tuple(used),
        pooled[0].ratio if used else None, pooled[1].ratio if used else None,
    )  # fmt: skip


def _usable(days: Days, relative: bool) -> bool:
    first, last = days.first, days.last
    if min(first.clusters, last.clusters) < LEAST_CLUSTERS:
        return False
    return not relative or (first.ratio > 0 and last.ratio > 0)


def _spread(days: Days) -> Dispersion:
    """How much days differ, from both sides, each around its own level."""
    parts = [dispersion(side) for side in (days.before, days.after) if side]
    return max(parts, key=lambda part: part.factor, default=Dispersion())


@dataclass(frozen=True)
class _Trend:
    value: float = 0.0
    variance: float = 0.0
    between: float = 0.0
    freedom: int = 0


def _trend(siblings: Mapping[str, Days], relative: bool) -> _Trend:
    """The siblings' common change (on the logarithm's scale when relative), its variance, and how they differ."""
    changes, variances = [], []
    for days in siblings.values():
        first, last, spread = days.first, days.last, _spread(days).factor
        a, b = first.variance * spread, last.variance * spread
        # A sibling without a single event has no variance of its own; what one more would make of it stands in.
        a, b = (max(part, _least(sums)) for part, sums in ((a, first), (b, last)))
        if relative:
            changes.append(math.log(last.ratio / first.ratio))
            variances.append(a / first.ratio**2 + b / last.ratio**2)
        else:
            changes.append(last.ratio - first.ratio)
            variances.append(a + b)
    if not changes:
        return _Trend()
    if len(changes) == 1:
        return _Trend(changes[0], variances[0])
    weights = [1 / variance for variance in variances]
    mean = sum(w * c for w, c in zip(weights, changes, strict=True)) / sum(weights)
    excess = sum(w * (c - mean) ** 2 for w, c in zip(weights, changes, strict=True)) - (len(changes) - 1)
    between = max(0.0, excess / (sum(weights) - sum(w * w for w in weights) / sum(weights)))
    again = [1 / (variance + between) for variance in variances]
    value = sum(w * c for w, c in zip(again, changes, strict=True)) / sum(again)
    return _Trend(value, 1 / sum(again), between, len(changes) - 1)


def _least(sums: Sums) -> float:
    """A small positive variance for rows that are all alike."""
    scale = max(abs(sums.ratio), 1 / max(sums.x, 1.0))
    return (scale / max(sums.clusters, 1)) ** 2


def verdict(
    found: Difference,
    treated: Days,
    worse: int,
    needed: float | None,
    *,
    complete: bool,
    traces_a_day: float,
    left: float,
) -> tuple[EffectVerdict, int | None]:
    """What is said of a fix, and how many more traces are needed when it is too early.

    Args:
        found: the effect.
        treated: the rows that the fix is about.
        worse: 1 when more is worse, -1 when less is.
        needed: how much there was to remove, without sign; None: not known, so only the sign is told.
        complete: whether the days that were agreed on are over. Until then nothing is said: who looks again and again
            and stops when it suits would be wrong more often than once in twenty.
        traces_a_day, left: of the treated rows, and how many days are still missing.
    """
    low, high = sorted((-worse * found.low, -worse * found.high))
    gain = -worse * found.value
    if not complete:
        return "too_early", max(1, math.ceil(traces_a_day * left))
    if high < 0:
        return "made_worse", None
    if low > 0 and (needed is None or gain >= MOSTLY * needed):
        return "worked", None
    if low > 0 and needed is not None:
        return "partly", None
    if needed is not None and high < HALF * needed:
        return "no_effect", None
    return "too_early", _more(found, treated, needed)


def _more(found: Difference, treated: Days, needed: float | None) -> int | None:
    """Traces after the fix that are still needed until the interval is so narrow that it cannot hold both nothing and
    half of what there was to remove; None when the rest of the variance is too much for any number."""
    if not needed:
        return None
    last = treated.last
    wanted = (HALF * needed / 2 / found.quantile) ** 2 - found.floor
    if wanted <= 0:
        return None
    own = ((found.high - found.low) / 2 / found.quantile) ** 2 - found.floor
    return max(1, math.ceil(last.clusters * (own / wanted - 1)))
