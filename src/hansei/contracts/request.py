"""What is asked of Hansei."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from hansei.contracts.window import parse_duration, parse_instant


class Request(BaseModel):
    """The input of the graph: plain values, so that it can be typed into a form and stored in a checkpoint.

    Raises:
        pydantic.ValidationError: for a duration or a time that cannot be read, and for unknown fields.
    """

    model_config = ConfigDict(extra="forbid")

    project_id: str = Field(min_length=1, max_length=200, description="Langfuse project to analyse.")
    window: str = Field("7d", description="Length of the span to judge, such as 24h, 7d or 2w.")
    baseline: str | None = Field(None, description="Length of the span just before it to compare with. Default: equal.")
    until: str | None = Field(None, description="End of the window, ISO 8601. Default: the newest trace.")
    question: str | None = Field(None, max_length=2000, description="What you want to know. Default: the full tour.")
    environments: list[str] = Field(default_factory=list, description="Only these environments. Default: all.")
    language: Literal["en", "ja"] = Field("en", description="Language of the report.")

    @field_validator("window", "baseline")
    @classmethod
    def _is_duration(cls, text: str | None) -> str | None:
        if text is not None:
            parse_duration(text)
        return text

    @field_validator("until")
    @classmethod
    def _is_instant(cls, text: str | None) -> str | None:
        return None if text is None else parse_instant(text).isoformat()

    def lengths(self) -> tuple[timedelta, timedelta]:
        """Length of the window and of the baseline."""
        window = parse_duration(self.window)
        return window, parse_duration(self.baseline) if self.baseline else window
