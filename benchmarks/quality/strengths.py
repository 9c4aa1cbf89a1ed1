"""How large a fault must be to be weak, medium or strong: from the power of the two-sample test at the world's size.

Weak is the change that a careful statistician sees in 8 of 10 worlds, when she compares the window's calls of the right
segment with the baseline's, allows for calls of one trace being alike, and guards against chance over 300 slices: then
the change must be ``z(1 - 0.05 / 300 / 2) + z(0.8)`` = 4.6 standard errors; 5.1 for what is confined to a user, a tag,
a language, a value of metadata or some hours, where ten times as many slices have to be looked at. What is planted is
larger, since it holds only from its first day on. Medium is 1.6 times, strong 2.5 times as large. No fault is smaller
than what a person would care about (`MATTERS`), however much data there is.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

Strength = Literal["weak", "medium", "strong"]
STRENGTHS: tuple[Strength, ...] = ("weak", "medium", "strong")
TIMES: dict[Strength, float] = {"weak": 1.0, "medium": 1.6, "strong": 2.5}
SLICES = 300
POWER = 0.8

CARRIED_SLICES = 3000
"""The same steps, each looked at once more for some ten users, tags, values of metadata and hours."""

MATTERS = {"share": 0.02, "score": 0.05, "relative": 0.2, "longer": 0.35, "traffic": 0.3, "part": 0.15}
"""Least change over the whole window that a person cares about: points of a share and of a score, the relative change
of amounts, the logarithm of how many times longer, and the relative change of traffic; where only a part of an app's
visitors come more or less often, what this is of all its traffic."""


def _z(slices: int) -> float:
    return NormalDist().inv_cdf(1 - 0.05 / slices / 2) + NormalDist().inv_cdf(POWER)


@dataclass(frozen=True)
class Sample:
    """The calls (traces, scores) of a segment: in the window, in the baseline, and how much of the window comes after
    the onset."""

    window: float
    baseline: float
    after_onset: float
    """Share of the window's rows, 0 to 1."""
    design_effect: float = 1.0
    slices: int = SLICES
    """Among how many the right one has to be found."""

    @property
    def z(self) -> float:
        """Standard errors that a weak change has."""
        return _z(self.slices)

    @property
    def spread(self) -> float:
        """1 / n + 1 / m, widened by the clustering."""
        return self.design_effect * (1 / self.window + 1 / self.baseline)


def share_change(sample: Sample, usual: float, strength: Strength, least: float = MATTERS["share"]) -> float:
    """By how many points a share must rise from the onset on. Unequal variances; solved by iteration."""
    change = 0.05
    for _ in range(40):
        now = min(0.99, usual + change)
        variance = usual * (1 - usual) / sample.baseline + now * (1 - now) / sample.window
        change = sample.z * math.sqrt(variance * sample.design_effect)
    return max(change, least) * TIMES[strength] / sample.after_onset


def relative_change(sample: Sample, sigma: float, strength: Strength) -> float:
    """By which share the mean of a lognormal amount must rise from the onset on."""
    variation = math.sqrt(math.exp(sigma**2) - 1)
    change = sample.z * variation * math.sqrt(sample.spread)
    return max(change, MATTERS["relative"]) * TIMES[strength] / sample.after_onset


def times_longer(sample: Sample, sigma: float, strength: Strength) -> float:
    """By which factor durations must grow from the onset on, for the 95th percentile to show it: its standard error
    follows from the density there (of lognormal durations)."""
    at = NormalDist().inv_cdf(0.95)
    error = sigma * math.sqrt(0.95 * 0.05 * sample.spread) / NormalDist().pdf(at)
    change = max(sample.z * error, MATTERS["longer"])
    return math.exp(change * TIMES[strength] / sample.after_onset)


def mean_change(sample: Sample, spread: float, strength: Strength) -> float:
    """By how much the mean of a score with that standard deviation must move from the onset on."""
    change = sample.z * spread * math.sqrt(sample.spread)
    return max(change, MATTERS["score"]) * TIMES[strength] / sample.after_onset


def traffic_change(
    per_day: float, days: int, weeks: int, noise: float, strength: Strength, sample: Sample, part: float = 1.0
) -> float:
    """By which share daily traces must fall or grow: a quasi-Poisson count with that day-to-day noise.

    Args:
        part: which share of its app's traces the segment is.
    """
    factor = 1 + per_day * noise**2
    error = math.sqrt(factor * (1 + 1 / weeks) / (per_day * days))
    # Few days tell how much days scatter, so the test is Student's: a third more.
    matters = MATTERS["traffic"] if part == 1 else max(0.5, MATTERS["part"] / part)
    return max(1.33 * sample.z * error, matters) * TIMES[strength] / sample.after_onset


Sizing = Callable[[Sample, Strength], float]
"""(sample, strength) → the change to plant."""
