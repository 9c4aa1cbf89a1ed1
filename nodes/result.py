"""result: what the verdicts come to."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from langchain_core.messages import AIMessage
from langgraph.runtime import Runtime

from hansei import __version__
from hansei.context import Context
from hansei.contracts import Periods
from hansei.contracts.evaluation import Criterion, Estimated, EvaluationResult
from hansei.nodes.evaluating import Evaluating, chosen_of, criteria_of, meter_of_run, request_of, run_of, store_of
from hansei.nodes.scope import Steps, context_of
from hansei.tools.evaluation.outcome import compared_result, result_of, usage_by_criterion
from hansei.tools.evaluation.telling import headline


class ResultInput(Evaluating):
    """And what the run came to."""

    run: dict[str, Any]
    judged: dict[str, bool]
    """Keys of the verdicts of judges → whether they were known before."""
    compared: dict[str, dict[str, Any]]
    """By pairwise criterion: what its pairs come to."""
    population: int
    estimated: dict[str, Any] | None
    decision: str
    stopped: str
    notes: list[str]


def result(state: ResultInput, runtime: Runtime[Context]) -> dict[str, Any]:
    """Puts the evaluation together from the verdicts that are kept, and notes them under the run.

    Raises:
        UsageError: the verdicts cannot be read.
    """
    context, request = context_of(runtime), request_of(state)
    steps = Steps(runtime, "result", "Adding up verdicts")
    store, run_id = store_of(context), run_of(state)
    found = store.find(list(state["judged"]))
    chosen, criteria = chosen_of(state["chosen"]), criteria_of(state)
    when = {one.id: one.at for one in chosen}
    if found:
        store.tell(run_id, [one.model_copy(update={"at": when.get(one.trace_id)}) for one in found.values()])
    verdicts = [] if request.dry_run else store.told(run_id)
    kept = dict.fromkeys((one.name for one in criteria), 0)
    for key, verdict in found.items():
        kept[verdict.criterion] += state["judged"][key]
    meter = meter_of_run(state, context)
    used = meter.by_node
    of_judge = usage_by_criterion(used)
    evaluation = EvaluationResult(
        hansei_version=__version__,
        run_id=run_id,
        started_at=datetime.fromisoformat(state["run"]["started_at"]),
        project_id=request.project_id,
        window=Periods.model_validate(state["scope"]["periods"]).window,
        language=request.language,
        model=context.model,
        plan=request.plan,
        population=state["population"],
        traces=sum(one.weight > 0 for one in chosen),
        results=[
            compared_result(one, state["compared"].get(one.name), _missing(one, state, context), of_judge.get(one.name))
            if one.kind == "pairwise"
            else result_of(
                one, chosen, verdicts, missing=_missing(one, state, context), kept=kept[one.name],
                usage=of_judge.get(one.name),
                drawn_from=state["population"] if one.kind == "judge" and request.plan == "sequential" else None,
            )
            for one in criteria
        ]
        if not request.dry_run
        else [],
        estimated=Estimated.model_validate(state["estimated"]) if state["estimated"] else None,
        usage=meter.used,
        before=meter.before,
        stopped=state["stopped"],
        notes=state["notes"],
    )  # fmt: skip
    if state["estimated"] and state["decision"] == "approve" and not state["stopped"]:
        store.settle(run_id)
    steps.finished(f"{len(verdicts):,} verdicts on {len(chosen):,} traces")
    message = AIMessage(headline(evaluation))
    return {"evaluation": evaluation.model_dump(mode="json"), "messages": [message]}


def _missing(criterion: Criterion, state: ResultInput, context: Context) -> str:
    """Why traces have no verdict by a criterion."""
    if criterion.kind == "code":
        return "not_judged"
    if context.model is None:
        return "no_model"
    if state["decision"] == "reject":
        return "not_approved"
    return "stopped" if state["stopped"] else "not_judged"
