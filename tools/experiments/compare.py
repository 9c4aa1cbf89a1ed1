"""Comparing two runs over the same dataset: per criterion, item by item."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from hansei.tools.experiments.runs import Run
from hansei.tools.paired_statistics import FEWEST, Paired, compare_pairs, holm, sign_p

LEVEL = 0.05
"""Chance that a gate over all its criteria fails though nothing changed."""

Verdict = Literal["better", "worse", "no difference shown", "too few"]


@dataclass(frozen=True)
class Criterion:
    """One criterion.

    Args:
        name: of the score.
        paired: the comparison; None: no item has it in both runs.
        p_adjusted: over all criteria.
        verdict: what it comes to.
        only_baseline, only_candidate: items that have it in one of the runs alone.
        repeated: items that have it several times in one of the runs: each counts once, by its mean.
        lower_is_better: whether less of it is better.
    """

    name: str
    paired: Paired | None
    p_adjusted: float
    verdict: Verdict
    only_baseline: int = 0
    only_candidate: int = 0
    repeated: int = 0
    lower_is_better: bool = False

    @property
    def is_lopsided(self) -> bool:
        """Whether one of the runs lacks values where the other has them, more often than chance lets it."""
        return sign_p(self.only_baseline, self.only_candidate) < LEVEL


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
    def is_lopsided(self) -> bool:
        """The same as `Criterion.is_lopsided` of whole items."""
        return sign_p(self.only_baseline, self.only_candidate) < LEVEL

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
    least_share: float = 0.0,
) -> Comparison:
    """Compares two runs. An item that was run several times counts once, by its mean: the items are what is drawn, and
    what is run again more often (since it failed, say) is no better example of the others.

    Args:
        baseline, candidate: the runs.
        names: the criteria that count; empty: all that both have.
        lower_is_better: criteria of which a smaller value is better, such as a latency.
        margin: how much worse is still accepted, in the criterion's own unit.
        fewest: pairs below which there is no verdict.
        least_share: of the items that have a criterion in the baseline run, how many must have it in both.

    Returns:
        A criterion is worse when its whole interval lies beyond the margin and its p-value (that the difference is the
        margin), raised after Holm for the number of criteria, is below `LEVEL`; better, when the same holds in the
        other direction without a margin.
    """
    both = baseline.scores.keys() & candidate.scores.keys()
    wanted = sorted(set(names) or both)
    pairs: dict[str, Paired | None] = {}
    for name in wanted:
        first, second = baseline.scores.get(name, {}), candidate.scores.get(name, {})
        items, shift = sorted(first.keys() & second.keys()), margin if name in lower_is_better else -margin
        pairs[name] = compare_pairs([first[i] for i in items], [second[i] for i in items], shift) if items else None
    measured = {
        name: one
        for name, one in pairs.items()
        if one is not None and one.n >= max(fewest, least_share * len(baseline.scores.get(name, {})))
    }
    adjusted = dict(zip(measured, holm([one.p for one in measured.values()]), strict=True))
    beyond = dict(zip(measured, holm([one.p_margin for one in measured.values()]), strict=True))
    criteria = []
    for name in wanted:
        first, second = baseline.scores.get(name, {}), candidate.scores.get(name, {})
        verdict = _verdict(measured.get(name), adjusted.get(name), beyond.get(name), name in lower_is_better, margin)
        criteria.append(
            Criterion(
                name, pairs[name], adjusted.get(name, 1.0), verdict, len(first.keys() - second.keys()),
                len(second.keys() - first.keys()),
                len(baseline.repeated.get(name, frozenset()) | candidate.repeated.get(name, frozenset())),
                name in lower_is_better,
            )
        )  # fmt: skip
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


def _verdict(
    paired: Paired | None, p: float | None, p_margin: float | None, lower_is_better: bool, margin: float
) -> Verdict:
    if paired is None or p is None or p_margin is None or paired.low is None or paired.high is None:
        return "too few"
    low, high = (-paired.high, -paired.low) if lower_is_better else (paired.low, paired.high)
    if p_margin < LEVEL and high < -margin:
        return "worse"
    if p < LEVEL and low > 0:
        return "better"
    return "no difference shown"
