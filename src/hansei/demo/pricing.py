"""The models that the company uses, their list prices and their speed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

_PICODOLLARS = (
    1_000_000  # a price of 1 dollar per million tokens, in 1e-12 dollars per token: Langfuse's cost precision
)


@dataclass(frozen=True, slots=True)
class Model:
    """A model: prices in dollars per million tokens, median seconds to the first token, median tokens a second."""

    name: str
    input_price: float
    cached_price: float
    output_price: float
    first_token: float
    speed: float

    def cost(self, usage: Mapping[str, int]) -> dict[str, Decimal]:
        """What `usage` costs, by the same keys and in total, in dollars with 12 decimals."""
        prices = {"input": self.input_price, "input_cached_tokens": self.cached_price, "output": self.output_price}
        cost = {kind: usage[kind] * round(price * _PICODOLLARS) for kind, price in prices.items() if kind in usage}
        cost["total"] = sum(cost.values())
        return {kind: Decimal(amount).scaleb(-12) for kind, amount in cost.items()}


MINI = Model("gpt-5-mini", 0.25, 0.025, 2.0, first_token=0.45, speed=110)
LARGE = Model("gpt-5", 1.25, 0.125, 10.0, first_token=0.9, speed=70)
SONNET = Model("claude-sonnet-4-5", 3.0, 0.30, 15.0, first_token=0.8, speed=75)
EMBEDDING = Model("text-embedding-3-small", 0.02, 0.02, 0.0, first_token=0.08, speed=1)
MODELS = (MINI, LARGE, SONNET, EMBEDDING)
