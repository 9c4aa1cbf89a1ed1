"""approval: nothing is written outside of the report's folder before a person has seen it and said yes.

The node stops the graph with what would be written (`WritePreview`) and goes on with the answer (`WriteDecision`). An
answer that does not fit leaves the interrupt open, and it can be given again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from langgraph.runtime import Runtime
from langgraph.types import interrupt
from pydantic import Field, model_validator
from typing_extensions import TypedDict

from hansei.context import Context
from hansei.contracts.writes import PendingWrite, WriteDecision, WritePlan
from hansei.nodes.scope import Steps

Check = Callable[[PendingWrite], None]
"""Raises ValueError when a write's content, as a person edited it, cannot be written."""


class ApprovalInput(TypedDict):
    """The plan, valid for `hansei.contracts.writes.WritePlan`."""

    writes: Annotated[
        dict[str, Any],
        Field(description="What is to be written: {what, where, writes: [{key, what, content}]}, see WritePlan."),
    ]


class ApprovalOutput(TypedDict):
    """What was decided, valid for `hansei.contracts.writes.WriteDecision`."""

    decision: dict[str, Any]


def approval_with(check: Check) -> Callable[..., dict[str, Any]]:
    """The node, with the check for edited contents."""

    def approval(state: ApprovalInput, runtime: Runtime[Context]) -> dict[str, Any]:
        plan = WritePlan.model_validate(state["writes"])
        if not plan.writes:
            return {"decision": WriteDecision(decision="approve", reason="nothing to write").model_dump()}
        steps = Steps(runtime, "approval", f"{len(plan.writes):,} to write: {plan.what}, to {plan.where}")
        decision = decided(plan, check)
        steps.finished({"approve": "approved", "edit": "approved as edited", "reject": "rejected"}[decision.decision])
        return {"decision": decision.model_dump()}

    return approval


def decided(plan: WritePlan, check: Check) -> WriteDecision:
    """Stops with the preview; when the graph is resumed, the answer.

    An edit may change or leave out what is in the plan. It can add nothing.

    Raises:
        pydantic.ValidationError: the answer does not fit; nothing is saved, and it can be given again.
    """

    class Answer(WriteDecision):
        @model_validator(mode="after")
        def _fits_the_plan(self) -> Answer:
            if self.preview_key not in (None, plan.key):
                raise ValueError("this answers another preview")
            edited(plan, self, check)
            return self

    Answer.__doc__ = WriteDecision.__doc__
    answer = interrupt(plan.preview().model_dump(mode="json"), response_schema=Answer)
    return WriteDecision.model_validate(answer.model_dump())


def edited(plan: WritePlan, decision: WriteDecision, check: Check) -> list[PendingWrite]:
    """What is to be written after a decision.

    Raises:
        ValueError: an edit names no write of the plan, or one twice, or its content cannot be written.
    """
    if decision.decision == "reject":
        return []
    changed = {edit.key: edit.content for edit in decision.edits}
    known = {write.key for write in plan.writes}
    if len(changed) != len(decision.edits):
        raise ValueError("a write is edited twice")
    if not changed.keys() <= known:
        raise ValueError(f"no write of this plan has the key {min(changed.keys() - known)}")
    left: list[PendingWrite] = []
    for write in plan.writes:
        content = changed.get(write.key, write.content)
        if content is None:
            continue
        kept = write if content == write.content else write.model_copy(update={"content": content})
        if kept is not write:
            check(kept)
        left.append(kept)
    return left
