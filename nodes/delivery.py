"""delivery: does the writes that were approved, one by one, and tells what became of each.

It is handed the function that writes. Cut off in the middle, it begins again from the first: each write has a key, and
what does the writing must make the same key the same thing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from langgraph.runtime import Runtime
from typing_extensions import TypedDict

from hansei.context import Context
from hansei.contracts.writes import PendingWrite, WriteDecision, WriteOutcome, WritePlan, WriteResult
from hansei.errors import HanseiError
from hansei.nodes.scope import Steps, context_of

Perform = Callable[[Sequence[PendingWrite], Context], Iterable[WriteResult]]
"""Writes, and yields a result for each as it is done. A HanseiError ends it: what is left is told as failed."""

Select = Callable[[WritePlan, WriteDecision], Sequence[PendingWrite]]
"""What is to be written after a decision."""


class DeliveryInput(TypedDict):
    """The plan and what was decided."""

    writes: dict[str, Any]
    decision: dict[str, Any]


class DeliveryOutput(TypedDict):
    """What became of it, valid for `hansei.contracts.writes.WriteOutcome`."""

    outcome: dict[str, Any]


def delivery_with(perform: Perform, select: Select) -> Callable[..., dict[str, Any]]:
    """The node, with what does the writing."""

    def delivery(state: DeliveryInput, runtime: Runtime[Context]) -> dict[str, Any]:
        plan = WritePlan.model_validate(state["writes"])
        decision = WriteDecision.model_validate(state["decision"])
        wanted = list(select(plan, decision))
        kept = {write.key for write in wanted}
        out = WriteOutcome(
            decision=decision.decision,
            reason=decision.reason,
            left_out=[write.key for write in plan.writes if write.key not in kept],
        )
        if not wanted:
            return {"outcome": out.model_dump()}
        steps = Steps(runtime, "delivery", f"Writing {len(wanted):,} to {plan.where}")
        stopped = "it was not answered for"
        try:
            for result in perform(wanted, context_of(runtime)):
                kept.discard(result.key)
                if result.run and result.run not in out.runs:
                    out.runs.append(result.run)
                if result.error is None:
                    out.written.append(result.key)
                else:
                    out.failed.append(result)
        except HanseiError as error:
            stopped = str(error)
        out.failed += [WriteResult(key=write.key, error=stopped) for write in wanted if write.key in kept]
        told = f"{len(out.written):,} written"
        if out.failed:
            steps.failed(f"{told}, {len(out.failed):,} failed: {out.failed[0].error}")
        else:
            steps.finished(told)
        return {"outcome": out.model_dump()}

    return delivery
