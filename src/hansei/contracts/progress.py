"""Progress events: what a run tells while it runs, to a terminal, to Studio or to a host application."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Progress(BaseModel):
    """One event of the ``custom`` stream mode, sent as its JSON dump."""

    model_config = ConfigDict(extra="forbid")

    step: Literal[
        "connect", "profile", "planner", "analyst", "critic", "writer", "approval", "delivery", "reader", "inquirer",
        "examiner", "preparer", "answerer",
        "criteria", "sampler", "estimate", "checks", "judge", "result", "calibrator",
    ]  # fmt: skip
    status: Literal["started", "running", "finished", "failed"]
    message: str = Field(description="One line for people.")
    task: str | None = Field(None, description="Which of several parallel analysts: the detector's name.")
    rows_read: int | None = Field(None, description="Rows that ClickHouse read in this step.")
    seconds: float | None = Field(None, description="How long the step took, once it is finished.")
