"""What tokens cost, told from the data: the prices that explain what calls with different mixes of tokens cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hansei.contracts import Evidence

PRODUCTS = ", ".join(
    f"toFloat64(sumIf({a} * {b}, costed)) AS {a}_{b}"
    for a, b in (
        ("fresh", "fresh"), ("fresh", "cached"), ("fresh", "output"), ("cached", "cached"), ("cached", "output"),
        ("output", "output"), ("fresh", "nanos"), ("cached", "nanos"), ("output", "nanos"), ("nanos", "nanos"),
    )
)  # fmt: skip
"""Sums over the calls that have a cost, of the integers fresh, cached, output (tokens) and nanos (1e-9 US dollars)."""

_UNEXPLAINED = 1e-3
"""Prices that leave more than this share of the (squared) cost unexplained are no prices."""


@dataclass(frozen=True)
class Prices:
    """US dollars per token."""

    fresh: float
    cached: float


def prices_of(row: Mapping[str, Any]) -> Prices | None:
    """Least squares of the cost on the tokens, from a row with the columns of `PRODUCTS`.

    Returns:
        None when the data does not tell: too little variety, several prices at once, or a cached token as dear as a
        fresh one.
    """

    def of(a: str, b: str) -> float:
        return float(row[f"{a}_{b}"] if f"{a}_{b}" in row else row[f"{b}_{a}"])

    used = [kind for kind in ("fresh", "cached", "output") if of(kind, kind) > 0]
    if not {"fresh", "cached"} <= set(used):
        return None
    scale = np.sqrt([of(kind, kind) for kind in used])
    products = np.array([[of(a, b) for b in used] for a in used]) / np.outer(scale, scale)
    cost = np.array([of(kind, "nanos") for kind in used]) / scale
    if float(np.linalg.cond(products)) > 1e8:
        return None
    found = np.linalg.solve(products, cost)
    whole = of("nanos", "nanos")
    if whole <= 0 or (whole - float(cost @ found)) / whole > _UNEXPLAINED:
        return None
    fresh, cached = (float(found[used.index(kind)] / scale[used.index(kind)]) / 1e9 for kind in ("fresh", "cached"))
    return Prices(fresh, cached) if -0.01 * fresh <= cached < 0.99 * fresh else None


def no_longer_cached(found: Evidence, share: float) -> tuple[float, float | None]:
    """What the window's calls read afresh although the cache once served it.

    Args:
        found: rows by model with the columns input, cached and those of `PRODUCTS`.
        share: of the input tokens, those that the cache served before.

    Returns:
        (input tokens, US dollars that they cost more, None when the prices are not known), both of the window.
    """
    tokens, dollars, unknown = 0.0, 0.0, False
    for row in found.records():
        lost = share * float(row["now_input"]) - float(row["now_cached"])
        prices = prices_of(row)
        tokens += lost
        unknown |= prices is None and lost > 0
        dollars += lost * (prices.fresh - prices.cached) if prices else 0.0
    return tokens, None if unknown else dollars
