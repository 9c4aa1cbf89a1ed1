"""How far judges of categories, of numbers and of pairs can be believed: their verdicts held against people's.

Sources: Cohen's kappa (Educational and Psychological Measurement 20 (1960) 37), its interval drawn from the posterior
of the table of verdicts under Perks' prior (one label in all, spread over the cells), so that a table without a mistake
is not taken for certain; in simulation (2 to 5 categories, 20 to 100 labels, kappa from 0.6 to 0.99) it covered the
truth in 0.87 to 0.99 of 400 worlds. Spearman's correlation with the interval of Bonett, Wright (Psychometrika 65 (2000)
23), which covered 0.94 to 0.97 (15 to 60 labels, with and without ties). Pairs as in Zheng et al., Judging
LLM-as-a-judge, NeurIPS 2023: agreement with ties, and among pairs for which both have a preference.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hansei.tools.statistics import Interval, wilson

FEWEST = 10
"""Test labels below which nothing is told."""

TOLERANCE = 0.1
"""Of a number's range: so far apart a judge's number and a person's are still called the same."""

_DRAWS = 4_096
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Confusion:
    """Verdicts by people's (rows) and the judge's (columns), in the order of `names`."""

    names: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, pairs: Iterable[tuple[str, str]], names: Sequence[str]) -> Confusion:
        """Counts pairs of (judge, people). Both must be among the names."""
        place = {name: i for i, name in enumerate(names)}
        counted = [[0] * len(names) for _ in names]
        for judge, people in pairs:
            counted[place[people]][place[judge]] += 1
        return cls(tuple(names), tuple(map(tuple, counted)))

    @property
    def n(self) -> int:
        return sum(map(sum, self.counts))

    @property
    def agreement(self) -> Interval:
        """Share of verdicts that are the same. 95 % interval (Wilson)."""
        return wilson(sum(row[i] for i, row in enumerate(self.counts)) / self.n, self.n)

    @property
    def kappa(self) -> Interval | None:
        """Agreement beyond chance, 1 at most, with its 95 % interval.

        None when all verdicts of both are the same, where chance alone agrees fully.
        """
        table = np.array(self.counts, dtype=np.float64)
        value = float(_kappas(table[None])[0])
        if math.isnan(value):
            return None
        prior = 1 / table.size
        drawn = np.random.default_rng(1).dirichlet(table.ravel() + prior, size=_DRAWS).reshape(-1, *table.shape)
        low, high = np.quantile(_kappas(drawn), (0.025, 0.975))
        return Interval(value, min(value, float(low)), max(value, float(high)))

    def rates(self, name: str) -> tuple[Interval | None, Interval | None]:
        """Of one category: the share of people's labels with it that the judge gives it too (TPR), and of the others
        the share that it does not give it (TNR). None: there is no such label."""
        i = self.names.index(name)
        people, judge, hit = sum(self.counts[i]), sum(row[i] for row in self.counts), self.counts[i][i]
        others = self.n - people
        tpr = wilson(hit / people, people) if people else None
        return tpr, wilson((others - judge + hit) / others, others) if others else None


def _kappas(tables: Array) -> Array:
    """Kappa of each table of counts or shares; NaN where chance agrees fully."""
    tables = tables / tables.sum(axis=(1, 2), keepdims=True)
    same = np.trace(tables, axis1=1, axis2=2)
    chance = (tables.sum(axis=1) * tables.sum(axis=2)).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(chance < 1 - 1e-12, (same - chance) / (1 - chance), np.nan), dtype=np.float64)


@dataclass(frozen=True)
class Numbers:
    """A judge's numbers and people's on the same traces, in step, and how far the range goes."""

    judge: tuple[float, ...]
    people: tuple[float, ...]
    span: float

    @property
    def n(self) -> int:
        return len(self.judge)

    def is_same(self, judge: float, people: float) -> bool:
        """Whether two numbers are no further apart than the tolerance."""
        return abs(judge - people) <= TOLERANCE * self.span * (1 + 1e-9)

    @property
    def within(self) -> Interval:
        """Share of traces on which both are the same within the tolerance. 95 % interval (Wilson)."""
        same = sum(self.is_same(one, other) for one, other in zip(self.judge, self.people, strict=True))
        return wilson(same / self.n, self.n)

    @property
    def spearman(self) -> Interval | None:
        """Rank correlation with its 95 % interval; None where either gave one number only, or there are too few.

        For the interval, a perfect one counts as 1 - 1/2n: n traces in the same order prove no more.
        """
        if self.n < 4 or len(set(self.judge)) < 2 or len(set(self.people)) < 2:
            return None
        from scipy.stats import rankdata

        value = float(np.corrcoef(rankdata(self.judge), rankdata(self.people))[0, 1])
        bounded = math.copysign(min(abs(value), 1 - 0.5 / self.n), value)
        reach = 1.959964 * math.sqrt((1 + bounded**2 / 2) / (self.n - 3))
        low, high = math.tanh(math.atanh(bounded) - reach), math.tanh(math.atanh(bounded) + reach)
        return Interval(value, min(value, low), max(value, high))

    @property
    def bias(self) -> Interval:
        """How much more the judge gives than people do, on average. 95 % interval (Student's t)."""
        from scipy.special import stdtrit

        apart = np.array(self.judge) - np.array(self.people)
        mean = float(apart.mean())
        reach = float(stdtrit(self.n - 1, 0.975)) * float(apart.std(ddof=1)) / math.sqrt(self.n)
        return Interval(mean, mean - reach, mean + reach)
