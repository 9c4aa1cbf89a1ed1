"""agreement, allowance: a person says which criteria are judged by, and that judging may cost what it is said to.

Both stop the graph and go on with the answer. An answer that does not fit leaves the interrupt open.
"""

from __future__ import annotations

from typing import Any

from langgraph.runtime import Runtime
from langgraph.types import interrupt
from pydantic import model_validator
from typing_extensions import TypedDict

from hansei.context import Context
from hansei.contracts.evaluation import CostDecision, CriteriaDecision, CriteriaFile, Estimated
from hansei.nodes.evaluating import Evaluating, criteria_of, request_of
from hansei.tools.evaluation.checks import checked_criterion


class AllowanceInput(Evaluating):
    """And the estimate, valid for `Estimated`; None: nothing is to be judged."""

    estimated: dict[str, Any] | None


class AllowanceOutput(TypedDict):
    """approve or reject."""

    decision: str


class FittingCriteria(CriteriaDecision):
    """The answer to the criteria that were found: approve them, edit (give all that are to be used), or reject them."""

    @model_validator(mode="after")
    def _can_be_judged(self) -> FittingCriteria:
        if self.criteria:
            for one in CriteriaFile(criteria=self.criteria).criteria:
                checked_criterion(one)
        return self


def agreement(state: Evaluating, runtime: Runtime[Context]) -> dict[str, Any]:
    """Shows the criteria, waits, and takes those that are approved. With `reject` only checks are left."""
    if request_of(state).approved:
        return {}
    shown = {"criteria": state["settled"]}
    answer = FittingCriteria.model_validate(interrupt(shown, response_schema=FittingCriteria).model_dump())
    if answer.decision == "edit":
        return {"settled": [one.model_dump(mode="json") for one in answer.criteria]}
    if answer.decision == "reject":
        return {"settled": [one.model_dump(mode="json") for one in criteria_of(state) if one.kind == "code"]}
    return {}


def allowance(state: AllowanceInput, runtime: Runtime[Context]) -> AllowanceOutput:
    """Shows the estimate, and waits when it has calls that nobody has approved."""
    if state["estimated"] is None or request_of(state).approved:
        return {"decision": "approve"}
    if not Estimated.model_validate(state["estimated"]).usage.calls:
        return {"decision": "approve"}
    answer = interrupt(state["estimated"], response_schema=CostDecision)
    return {"decision": CostDecision.model_validate(answer.model_dump()).decision}
