"""Writes: what would be changed outside of the report's folder, what a person is shown of it, and what they decide.

Hansei only reads. The few things that it can write elsewhere (scores in Langfuse, for one) are first put together as a
`WritePlan`, shown as a `WritePreview`, and done as far as the `WriteDecision` lets them.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Literal

from pydantic import Field, model_validator

from hansei.contracts.finding import Strict

SAMPLE = 5
"""Writes of a plan that a preview shows in full."""


class PendingWrite(Strict):
    """One thing to be written. It must do no harm to write it twice: a run that was cut off may do it again."""

    key: str = Field(
        min_length=1, description="Idempotency key, such as a score's id: the same key is the same thing, written once."
    )
    what: str = Field(min_length=1, description="One line for people: what would be there afterwards.")
    content: dict[str, Any] = Field(description="What is sent, plain JSON.")
    project: str | None = Field(
        None, description="The only project that it may be written to; null: the one of whoever writes it."
    )


class WritePlan(Strict):
    """Writes that are asked for together, and approved or rejected together."""

    what: str = Field(min_length=1, description="One line: what all of them are, such as “scores named …”.")
    where: str = Field(min_length=1, description="Where they go, such as a service's address and project; no key.")
    writes: list[PendingWrite]

    @model_validator(mode="after")
    def _keys_differ(self) -> WritePlan:
        if len({write.key for write in self.writes}) != len(self.writes):
            raise ValueError("two writes have the same key")
        return self

    @property
    def key(self) -> str:
        """The plan's own idempotency key: equal plans have equal keys. 32 hex digits."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def preview(self) -> WritePreview:
        """What a person is shown before anything is written."""
        return WritePreview(
            what=self.what, where=self.where, count=len(self.writes), sample=self.writes[:SAMPLE], key=self.key
        )


class WritePreview(Strict):
    """The value of the interrupt: what is about to be written."""

    what: str
    where: str
    count: int = Field(ge=0)
    sample: list[PendingWrite] = Field(description="The first ones in full.")
    key: str = Field(description="Of the whole plan; an answer that names it cannot be taken for an answer to another.")


class WriteEdit(Strict):
    """A change to one write, made by the person who approves."""

    key: str = Field(description="Of the write that is changed.")
    content: dict[str, Any] | None = Field(description="What is sent in its place; null: this one is left out.")


class WriteDecision(Strict):
    """The answer to the interrupt. Nothing is written but by `approve`, or by `edit` as edited."""

    decision: Literal["approve", "edit", "reject"]
    edits: list[WriteEdit] = Field(
        default_factory=list, description="With edit: the writes that are changed or left out. The rest is approved."
    )
    preview_key: str | None = Field(None, description="Key of the preview that this answers. Default: the one shown.")
    reason: str = Field("", max_length=2000, description="Why, for the record.")

    @model_validator(mode="after")
    def _edits_belong_to_edit(self) -> WriteDecision:
        if bool(self.edits) != (self.decision == "edit"):
            raise ValueError("edits are given with the decision edit, and only with it")
        return self


class WriteResult(Strict):
    """What became of one write."""

    key: str
    error: str | None = Field(None, description="One line; None: it is written.")
    run: str | None = Field(None, description="The run in whose journal it stands, where there is one.")


class WriteOutcome(Strict):
    """What became of a plan."""

    decision: Literal["approve", "edit", "reject"]
    reason: str = ""
    written: list[str] = Field(default_factory=list, description="Keys of what was written.")
    failed: list[WriteResult] = Field(default_factory=list, description="What could not be written, and why.")
    left_out: list[str] = Field(default_factory=list, description="Keys of what was rejected or edited out.")
    runs: list[str] = Field(
        default_factory=list, description="Runs with a journal of it: `hansei undo RUN` takes back what was written."
    )
