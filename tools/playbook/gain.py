"""What putting a finding right is expected to bring, with its 95 % interval, from the finding's own figures.

The gain is the distance back to the reference. Its interval is made of the intervals of both values by the method of
variance estimates recovery (Zou and Donner, Statistics in Medicine 27 (2008) 1693), which keeps what is not symmetric
about them: of a share near zero, or of a quantile.
"""

from __future__ import annotations

import math

from hansei.contracts import Direction, Estimate, Gain, Impact, Window
from hansei.tools.playbook.model import Metric


def gain_of(
    metric: Metric, direction: Direction, current: Estimate, reference: Estimate | None, impact: Impact, window: Window
) -> Gain | None:
    """The gain of going back to the reference.

    Money, tokens and events add up over a week of traffic like the window's; seconds and scores are per row. None for
    what got better already, for traffic, and where there is no reference.
    """
    if direction == "improvement" or metric.shape == "count" or not metric.judged or reference is None:
        return None
    low, value, high = _back(metric, current, reference)
    if value <= 0:
        return None
    weekly = current.n / (window.days / 7)
    if metric.unit in ("usd", "tokens"):
        return Gain(value=value * weekly, low=low * weekly, high=high * weekly, unit=metric.unit, per="week")
    if metric.shape == "share" and metric.worse > 0:
        return Gain(
            value=value * weekly, low=low * weekly, high=high * weekly, unit="count", per="week", counted=metric.per
        )
    money = impact.cost_per_week
    if metric.kind == "cache" and money is not None and money > 0:
        # What the lost tokens cost is in proportion to how many were lost.
        return Gain(value=money, low=money * low / value, high=money * high / value, unit="usd", per="week")
    return Gain(value=value, low=low, high=high, unit=metric.unit, per="row", counted=metric.per)


def _back(metric: Metric, current: Estimate, reference: Estimate) -> tuple[float, float, float]:
    """The distance back to the reference, positive for the better: its lower bound, itself, its upper bound."""
    worse, better = (current, reference) if metric.worse > 0 else (reference, current)
    value = worse.value - better.value
    below = math.hypot(worse.value - worse.low, better.high - better.value)
    above = math.hypot(worse.high - worse.value, better.value - better.low)
    return value - below, value, value + above
