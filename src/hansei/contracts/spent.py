"""What queries cost."""

from __future__ import annotations

from pydantic import Field

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
