"""What a language model looked into: an open question, an answer in words that the evidence bears out, and the proof.

The words and the judgement are the model's. Every figure is computed: shares from the traces that carry a label,
findings from their evidence like any others.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from hansei.contracts.evidence import Evidence
from hansei.contracts.finding import Estimate, Finding, Segment, Strict

Answered = Literal["supported", "refuted", "open", "unanswerable"]
"""The hypothesis is borne out; it is not; that could not be told; the question is one that traces cannot answer."""


class Category(Strict):
    """One way in which traces go wrong first. `share` is of the traces that were read, with Wilson's interval."""

    label: str
    definition: str
    share: Estimate
    trace_ids: list[str] = Field(description="Traces of the sample that carry the label.")


class Taxonomy(Strict):
    """What goes wrong first in the bad traces of a segment, on a random sample that the labels were not made from."""

    metric: str = Field(description="What tells bad traces from good ones.")
    segment: Segment
    sample: str = Field(description="Id of the evidence that drew the traces.")
    unread: int = Field(description="Traces of the sample that got no label; they count nowhere.")
    categories: list[Category] = Field(description="Most frequent first.")


class Investigation(Strict):
    """One question, what was expected, what was found."""

    id: str
    question: str
    hypothesis: str
    refuted_by: str = Field(description="What would speak against the hypothesis.")
    verdict: Answered
    answer: str = Field(description="Sentences of the model that their evidence bears out; may be empty.")
    taxonomy: Taxonomy | None = None
    findings: list[Finding] = Field(
        default_factory=list,
        description="What the model proposed: measured, doubted and judged like any finding; confirmed or not.",
    )
    told_by: list[str] = Field(
        default_factory=list, description="Ids of the report's own findings that the model came upon as well."
    )
    evidence: list[Evidence] = Field(default_factory=list, description="What the answer rests on.")
    notes: list[str] = Field(default_factory=list, description="What was left out of it, and why.")
