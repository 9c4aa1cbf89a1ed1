"""How much each tool may say, and whether what it quotes is masked."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from hansei.tools.langfuse.masking import Mask, mask, unmasked


class Bounds(BaseModel):
    """Most characters of each tool's answers, about four of which are a token."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    describe_characters: int = Field(10_000, ge=6_000, description="Most characters of describe_data's answer.")
    sql_characters: int = Field(6_000, ge=1_000, description="Most characters of run_sql's answer.")
    trace_characters: int = Field(8_000, ge=2_000, description="Most characters of read_trace's answer.")
    sample_characters: int = Field(4_000, ge=1_000, description="Most characters of sample_traces' answer.")
    table_rows: int = Field(50, ge=1, description="Most rows of a result that run_sql shows.")
    cell_characters: int = Field(200, ge=20, description="Most characters of one cell that run_sql shows.")
    result_rows: int = Field(
        1_000, ge=1, description="Most rows of a result; where it has more, it is cut there and says so."
    )
    result_characters: int = Field(300_000, ge=1_000, description="Most characters of a result that is kept.")
    sampled: int = Field(40, ge=1, description="Most traces that sample_traces gives at once.")
    masked: bool = Field(True, description="Whether addresses, card and phone numbers, keys and tokens are masked.")

    @property
    def masking(self) -> Mask:
        """What every text of a trace goes through."""
        return mask if self.masked else unmasked
