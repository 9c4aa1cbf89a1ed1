"""What became of a message that cannot be answered, for the nodes that look things up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hansei.contracts import Report
from hansei.contracts.asks import Named
from hansei.errors import ConnectionFailed, HanseiError, QueryFailed
from hansei.nodes.scope import Steps
from hansei.tools.conversation.answering import not_answered
from hansei.tools.conversation.naming import Unclear


def unanswered(state: Mapping[str, Any], report: Report, error: Unclear | HanseiError, steps: Steps) -> dict[str, Any]:
    """The inquiry with an answer that says why there is none.

    Raises:
        HanseiError: the error itself, where the same may succeed later: the run can be resumed from here.
    """
    if isinstance(error, ConnectionFailed) or (isinstance(error, QueryFailed) and error.retryable):
        steps.failed(error.message)
        raise error
    unclear = error if isinstance(error, Unclear) else Unclear("failed", reason=str(error))
    steps.failed("it cannot be done")
    inquiry, named = state["inquiry"], Named.model_validate(state.get("named") or {})
    spoken = next((f for f in (*report.findings, *report.refuted) if f.id == inquiry["ask"].get("finding")), None)
    if spoken is not None:  # it was named all the same
        named = named.after(Named(finding=spoken.id, metric=spoken.metric, segment=spoken.segment))
    told = not_answered(unclear, report, named, number=int(inquiry["number"]), question=inquiry["question"])
    return {**inquiry, "answer": told.model_dump(mode="json")}
