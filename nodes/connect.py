"""connect: which schema holds the project's data, which spans are compared, and what is there."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from langgraph.channels import EphemeralValue
from langgraph.runtime import Runtime
from langgraph.types import Overwrite
from typing_extensions import TypedDict

from hansei.context import Context
from hansei.contracts import Periods
from hansei.nodes.again import Remembered, remember, told_of
from hansei.nodes.messages import requested
from hansei.nodes.opening import open_scope
from hansei.nodes.scope import Costs, Scope, Steps, context_of


class ConnectInput(TypedDict, total=False):
    """The request. It is gone after this step, so that on a thread that is asked again nothing of it is left."""

    project_id: Annotated[str, EphemeralValue]
    window: Annotated[str, EphemeralValue]
    baseline: Annotated[str | None, EphemeralValue]
    until: Annotated[str | None, EphemeralValue]
    question: Annotated[str | None, EphemeralValue]
    environments: Annotated[list[str], EphemeralValue]
    language: Annotated[str, EphemeralValue]


class ConnectReads(ConnectInput, total=False):
    """The request, and what a person said: on a new thread they may ask in words."""

    messages: list[Any]


class ConnectOutput(TypedDict):
    """The scope of the run, and when it began."""

    scope: Scope
    run: dict[str, Any]
    remembered: Remembered | None
    earlier: list[dict[str, Any]]
    costs: Costs


def connect(state: ConnectReads, runtime: Runtime[Context]) -> dict[str, Any]:
    """Opens the session, finds the schema, fixes the spans and counts what they hold.

    Raises:
        HanseiError: it cannot be reached, read or understood, or it holds nothing.
    """
    started = datetime.now(UTC)
    context = context_of(runtime)
    fields = {name: value for name, value in state.items() if name != "messages"}
    request = requested(fields, state.get("messages") or [], context.project_id)
    scope, costs = open_scope(request, context, Steps(runtime, "connect", "Connecting to ClickHouse"))
    remembered = remember(context, request.project_id, request.environments, Periods.model_validate(scope["periods"]))
    return {
        "scope": scope,
        "run": {"id": scope["run_id"], "started_at": started.isoformat()},
        # A thread may be asked again: what an earlier request left must not mix with this one.
        "remembered": remembered,
        "earlier": told_of(remembered),
        "again": Overwrite({}),
        "screened": Overwrite({}),
        "drafts": Overwrite({}),
        "proposed": Overwrite({}),
        "investigations": Overwrite({}),
        "costs": Overwrite(costs),
        "usage": Overwrite({}),
        "tasks": [],
        "plan": [],
        "rounds": 0,
        "answers": Overwrite([]),
        "named": {},
        "inquiry": {},
    }
