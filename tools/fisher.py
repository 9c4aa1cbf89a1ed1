"""Fisher's exact test."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def fisher_p(hit: int, n: int, other_hit: int, other_n: int) -> float:
    """Fisher's exact test, two-sided: the probability of all tables with the same margins that are no likelier.

    The same as scipy.stats.fisher_exact, which takes most of a second to import.
    """
    from scipy.special import gammaln

    def log_choose(of: int, some: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.asarray(gammaln(of + 1) - gammaln(some + 1) - gammaln(of - some + 1))

    hits = hit + other_hit
    there = np.arange(max(0, hits - other_n), min(hits, n) + 1)
    log_p = log_choose(n, there) + log_choose(other_n, hits - there) - log_choose(n + other_n, np.asarray(hits))
    p = np.exp(log_p)
    return float(min(1.0, p[p <= p[hit - there[0]] * (1 + 1e-7)].sum()))
