"""begin: opens the project of an evaluation, and puts together the criteria that it is given."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from langgraph.channels import EphemeralValue
from langgraph.runtime import Runtime
from langgraph.types import Overwrite
from typing_extensions import TypedDict

from hansei.context import Context
from hansei.contracts.evaluation import CriteriaFile, Criterion, EvaluationRequest
from hansei.errors import UsageError
from hansei.nodes.evaluating import store_of
from hansei.nodes.opening import open_scope
from hansei.nodes.scope import Steps, context_of
from hansei.tools.evaluation.checks import checked_criterion, default_criteria
from hansei.tools.evaluation.criteria import criteria_of_configs
from hansei.tools.evaluation.labels import rule_of_feedback
from hansei.tools.langfuse.api import open_api
from hansei.tools.language_model import endpoint_of


class BeginInput(TypedDict, total=False):
    """The request, as in `EvaluationRequest`. It is gone after this step."""

    project_id: Annotated[str, EphemeralValue]
    window: Annotated[str, EphemeralValue]
    baseline: Annotated[str | None, EphemeralValue]
    until: Annotated[str | None, EphemeralValue]
    question: Annotated[str | None, EphemeralValue]
    environments: Annotated[list[str], EphemeralValue]
    language: Annotated[str, EphemeralValue]
    criteria: Annotated[list[dict[str, Any]], EphemeralValue]
    from_langfuse: Annotated[bool, EphemeralValue]
    discover: Annotated[bool, EphemeralValue]
    traces: Annotated[int | None, EphemeralValue]
    plan: Annotated[str, EphemeralValue]
    by: Annotated[str, EphemeralValue]
    segment: Annotated[dict[str, str], EphemeralValue]
    finding: Annotated[dict[str, Any] | None, EphemeralValue]
    sound: Annotated[float, EphemeralValue]
    half_width: Annotated[float, EphemeralValue]
    feedback: Annotated[str | None, EphemeralValue]
    seed: Annotated[int, EphemeralValue]
    approved: Annotated[bool, EphemeralValue]
    run_id: Annotated[str | None, EphemeralValue]
    dry_run: Annotated[bool, EphemeralValue]


def begin(state: BeginInput, runtime: Runtime[Context]) -> dict[str, Any]:
    """Opens the session and settles what is judged by: what is given, Langfuse's score configs, else the checks.

    Raises:
        HanseiError: ClickHouse or Langfuse cannot be asked, or a criterion cannot be judged.
    """
    started, context = datetime.now(UTC), context_of(runtime)
    given = {name: value for name, value in state.items() if value is not None}
    if "project_id" not in given:
        if not context.project_id:
            raise UsageError("No project is named.", "Fill in project_id, or set HANSEI_PROJECT_ID.")
        given["project_id"] = context.project_id
    request = EvaluationRequest.model_validate(given)
    if request.discover and endpoint_of(context) is None:
        raise UsageError("Criteria are found by a model, and none is named.", "Give --model, or set HANSEI_MODEL.")
    if request.feedback is not None:
        rule_of_feedback(request.feedback)  # also where no judge would read it
    criteria, notes = _criteria(request)
    store = store_of(context)
    if not request.dry_run:
        store.prepare()  # what cannot be kept should be known before it costs anything
    scope, costs = open_scope(request, context, Steps(runtime, "connect", "Connecting to ClickHouse"))
    judged = [one.name for one in criteria if one.kind != "code"]
    if judged and endpoint_of(context) is None:
        notes.append(f"No model is named, so only checks ran; not judged: {', '.join(judged)}.")
    return {
        "scope": scope,
        "run": {"id": request.run_id or scope["run_id"], "started_at": started.isoformat()},
        "evaluation_request": request.model_dump(mode="json"),
        "settled": [one.model_dump(mode="json") for one in criteria],
        "notes": Overwrite([*scope["notes"], *notes]),
        "costs": Overwrite(costs),
        "usage": Overwrite({}),
        "judged": Overwrite({}),
        "compared": {},
        "chosen": [],
        "population": 0,
        "upto": 0,
        "estimated": None,
        "stopped": Overwrite(""),
        "decision": "",
        "enough": False,
    }


def _criteria(request: EvaluationRequest) -> tuple[list[Criterion], list[str]]:
    criteria, notes = list(request.criteria), list[str]()
    if request.from_langfuse:
        with open_api() as api:
            found, notes = criteria_of_configs(api)
        if not found and not criteria:
            notes.append("Langfuse has no score config that could be judged by.")
        criteria += [one for one in found if one.name not in {known.name for known in criteria}]
    if not request.criteria:
        criteria = [*(one for one in default_criteria() if one.name not in {c.name for c in criteria}), *criteria]
    return [checked_criterion(one) for one in CriteriaFile(criteria=criteria).criteria], notes
