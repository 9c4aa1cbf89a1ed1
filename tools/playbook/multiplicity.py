"""What a p-value means among all that was looked at.

A detector of latency compares thousands of slices, that of traffic some ten. Were all slices alike, a fall of traffic
would have to be as clear as one latency among thousands. So half of what may be false is shared equally by all slices,
and half by the detectors: a detector of many slices loses at most a factor of two, one of few gains much. The weights
come from the numbers of slices alone, never from what was found in them, and are 1 on average, so the bound on false
alarms stays what it is (Genovese, Roeder, Wasserman, Biometrika 93 (2006) 509).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from hansei.contracts import Report
from hansei.tools import statistics

FALSE_DISCOVERY_RATE = 0.05
"""Bound on the share of false alarms among all findings of a run."""

MOST_DETECTORS = 20
"""At most so many detectors share their half of the bound."""

Slices = Mapping[str, int]
"""How many slices each detector compared, by its name."""


def q_values(detectors: Sequence[str], p_values: Sequence[float], slices: Slices) -> list[float]:
    """The q-value of each p-value; `detectors` names whose each is.

    What was not among the slices, since it was looked at because of another finding, counts as one of its detector's.
    """
    tested = Counter(detectors)
    looked = {name: max(slices.get(name, 0), tested[name]) for name in {*slices, *tested}}
    total, share = sum(looked.values()), sum(count > 0 for count in looked.values())
    weights = [0.5 + 0.5 * total / (share * looked[name]) for name in detectors]
    return statistics.benjamini_hochberg([p / weight for p, weight in zip(p_values, weights, strict=True)], total)


def deviations_to_stand(slices: int) -> float:
    """Standard errors, in the direction asked for, by which one of a detector's slices stands, however many slices the
    other detectors compare.

    Args:
        slices: how many the detector compares.
    """
    from scipy.special import ndtri

    return float(-ndtri(FALSE_DISCOVERY_RATE / 2 / (MOST_DETECTORS * max(1, slices))))


def slices_of(report: Report) -> dict[str, int]:
    """What the run of a report looked at."""
    return {detector.name: detector.slices for detector in report.coverage.detectors}


def and_also(slices: Slices, detectors: Sequence[str]) -> dict[str, int]:
    """The slices and one more for each detector that is named."""
    return dict(Counter(slices) + Counter(detectors))
