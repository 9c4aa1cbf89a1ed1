"""What queries and a model cost."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from hansei.contracts.finding import Strict


class Spent(Strict):
    """What a run asked of ClickHouse, every query counted: those behind the report, and those that led nowhere."""

    queries: int = Field(0, ge=0)
    rows: int = Field(0, ge=0, description="Rows read from tables.")
    bytes: int = Field(0, ge=0, description="Bytes read from tables, uncompressed.")
    seconds: float = Field(0.0, ge=0, description="Sum over the queries, side by side or not.")

    def plus(self, other: Spent) -> Spent:
        """The two together."""
        return Spent(
            queries=self.queries + other.queries,
            rows=self.rows + other.rows,
            bytes=self.bytes + other.bytes,
            seconds=round(self.seconds + other.seconds, 4),
        )

    def at_least(self, other: Spent) -> Spent:
        """The larger of each figure."""
        return Spent(
            queries=max(self.queries, other.queries),
            rows=max(self.rows, other.rows),
            bytes=max(self.bytes, other.bytes),
            seconds=max(self.seconds, other.seconds),
        )


class Usage(Strict):
    """What calls of a language model used. An answer from the cache of answers costs nothing and is no call."""

    model_config = ConfigDict(frozen=True)

    calls: int = Field(0, ge=0)
    input_tokens: int = Field(0, ge=0)
    output_tokens: int = Field(0, ge=0)
    usd: float = Field(0.0, ge=0, description="US dollars, as far as they are known.")
    cached: int = Field(0, ge=0, description="Answers that were taken from the cache.")

    @property
    def tokens(self) -> int:
        """Read and written together."""
        return self.input_tokens + self.output_tokens

    def plus(self, other: Usage) -> Usage:
        """The two together."""
        return Usage(
            calls=self.calls + other.calls,
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            usd=round(self.usd + other.usd, 9),
            cached=self.cached + other.cached,
        )
