"""An answer to a follow-up question, with the queries that it stands on."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from hansei.contracts.asks import Ask, Named
from hansei.contracts.evidence import Evidence
from hansei.contracts.finding import Check, Strict
from hansei.contracts.spent import Usage
from hansei.contracts.writes import WriteOutcome


class Table(Strict):
    """A small table; every cell is text for people."""

    columns: list[str]
    rows: list[list[str]]


class Answer(Strict):
    """What was asked, how it was understood, and what came out. All numbers are computed from evidence."""

    number: int = Field(ge=1, description="Of the question in its conversation.")
    question: str
    ask: Ask | None = Field(None, description="How it was understood; None: it was not.")
    by: Literal["rules", "model"] = Field("rules", description="Who understood the question. Never who answered it.")
    usage: Usage | None = Field(
        None, description="What the model used to understand the question; None: it was not asked."
    )
    notes: list[str] = Field(
        default_factory=list, description="What the model that was asked lacked: its prompts, or an answer that fits."
    )
    text: str
    table: Table | None = None
    chart: str | None = Field(None, description="A line of block characters with its scale.")
    finding_ids: list[str] = Field(default_factory=list)
    trace_ids: list[str] = Field(default_factory=list)
    trace_urls: list[str] = Field(default_factory=list)
    checks: list[Check] = Field(default_factory=list)
    evidence: list[Evidence] = Field(default_factory=list)
    outcome: WriteOutcome | None = Field(None, description="Of what was to be written elsewhere: what became of it.")
    follow_ups: list[str] = Field(default_factory=list, description="Questions that may be asked next.")
    named: Named = Field(default_factory=Named)
