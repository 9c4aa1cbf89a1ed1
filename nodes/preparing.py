"""preparing: what a person asked to write elsewhere is put together, so that it can be shown to them.

It only reads. The gate comes after it: `hansei.nodes.approval` shows the plan and stops.
"""

from __future__ import annotations

from typing import Any

from langgraph.runtime import Runtime
from typing_extensions import TypedDict

from hansei.context import Context
from hansei.contracts import Report
from hansei.contracts.asks import ASK, ToDataset
from hansei.errors import HanseiError
from hansei.nodes.scope import Costs, Scope, Steps, bill, dataset_of, many
from hansei.nodes.unanswered import unanswered
from hansei.tools.conversation.naming import Unclear
from hansei.tools.conversation.sending import plan_dataset


class PreparingInput(TypedDict, total=False):
    """The request as it was understood, and the report that it is about."""

    scope: Scope
    report: dict[str, Any]
    inquiry: dict[str, Any]
    named: dict[str, Any]
    costs: Costs


def preparer(state: PreparingInput, runtime: Runtime[Context]) -> dict[str, Any]:
    """Plans the writes. What cannot be planned becomes an answer that says so.

    Raises:
        ConnectionFailed: ClickHouse is gone; the run can be resumed from here.
    """
    inquiry, report = state["inquiry"], Report.model_validate(state["report"])
    asked, number = ASK.validate_python(inquiry["ask"]), int(inquiry["number"])
    assert isinstance(asked, ToDataset)
    steps = Steps(runtime, "preparer", "Putting together what would be written")
    dataset = dataset_of({**state["scope"], "run_id": f"{state['scope']['run_id']} q{number}"}, runtime)
    try:
        plan = plan_dataset(asked, report, dataset, number)
    except (Unclear, HanseiError) as error:
        return {"inquiry": unanswered(state, report, error, steps), "costs": bill("preparer", dataset.reader)}
    steps.finished(f"{many(len(plan.writes), 'write', 'writes')}, to be approved")
    return {"writes": plan.model_dump(mode="json"), "costs": bill("preparer", dataset.reader)}
