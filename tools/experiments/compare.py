"""Comparing two runs over the same dataset: per criterion, item by item."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from hansei.tools.experiments.runs import Run
from hansei.tools.paired_statistics import FEWEST, Paired, compare_pairs, holm

LEVEL = 0.05
"""Chance that a gate over all its criteria fails though nothing changed."""

Verdict = Literal["better", "worse", "no difference shown", "too few"]


@dataclass(frozen=True)
class Criterion:
    """One criterion: its comparison (None: no item has it in both runs), p over all criteria, and the verdict."""

    name: str
    paired: Paired | None
    p_adjusted: float
    verdict: Verdict


@dataclass(frozen=True)
class Comparison:
    """Two runs, compared.

    Args:
        shared: items that both runs had.
        only_baseline, only_candidate: items that one of them had.
        criteria: by name.
        uncounted: scores that are texts or categories, or that only one of the runs has.
    """

    baseline: str
    candidate: str
    shared: int
    only_baseline: int
    only_candidate: int
    criteria: list[Criterion]
    uncounted: list[str]

    @property
    def worse(self) -> list[str]:
        return [one.name for one in self.criteria if one.verdict == "worse"]

    @property
    def unmeasured(self) -> list[str]:
        return [one.name for one in self.criteria if one.verdict == "too few"]


def compare_runs(
    baseline: Run,
    candidate: Run,
    *,
    names: Collection[str] = (),
    lower_is_better: Collection[str] = (),
    margin: float = 0.0,
    fewest: int = FEWEST,
) -> Comparison:
    """Compares two runs.

    Args:
        baseline, candidate: the runs.
        names: the criteria that count; empty: all that both have.
        lower_is_better: criteria of which a smaller value is better, such as a latency.
        margin: how much worse is still accepted, in the criterion's own unit.
        fewest: pairs below which there is no verdict.

    Returns:
        A criterion is worse when its whole interval lies beyond the margin and its p-value, raised after Holm for the
        number of criteria, is below `LEVEL`; better, when the same holds in the other direction without a margin.
    """
    both = baseline.scores.keys() & candidate.scores.keys()
    wanted = sorted(names or both)
    pairs: dict[str, Paired | None] = {}
    for name in wanted:
        first, second = baseline.scores.get(name, {}), candidate.scores.get(name, {})
        items = sorted(first.keys() & second.keys())
        pairs[name] = compare_pairs([first[i] for i in items], [second[i] for i in items]) if items else None
    measured = [name for name in wanted if (one := pairs[name]) is not None and one.n >= fewest]
    adjusted = dict(zip(measured, holm([one.p for name in measured if (one := pairs[name]) is not None]), strict=True))
    criteria = [
        Criterion(
            name,
            pairs[name],
            adjusted.get(name, 1.0),
            _verdict(pairs[name], adjusted.get(name), name in lower_is_better, margin),
        )
        for name in wanted
    ]
    left = (baseline.scores.keys() ^ candidate.scores.keys()) | baseline.uncounted | candidate.uncounted
    return Comparison(
        baseline=baseline.name,
        candidate=candidate.name,
        shared=len(baseline.items & candidate.items),
        only_baseline=len(baseline.items - candidate.items),
        only_candidate=len(candidate.items - baseline.items),
        criteria=criteria,
        uncounted=sorted(left - set(wanted)),
    )


def _verdict(paired: Paired | None, p: float | None, lower_is_better: bool, margin: float) -> Verdict:
    if paired is None or p is None or paired.low is None or paired.high is None:
        return "too few"
    low, high = (-paired.high, -paired.low) if lower_is_better else (paired.low, paired.high)
    if p < LEVEL and high < -margin:
        return "worse"
    if p < LEVEL and low > 0:
        return "better"
    return "no difference shown"
