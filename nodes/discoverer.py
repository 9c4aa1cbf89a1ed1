"""discoverer: finds in the traces what they could be judged by; a person approves it before anything is judged."""

from __future__ import annotations

from typing import Any

from langgraph.runtime import Runtime

from hansei.context import Context
from hansei.errors import ModelFailed
from hansei.nodes.discovering import NODE, Discovered, Discovering
from hansei.nodes.evaluating import Evaluating, criteria_of, meter_of_run, needed_endpoint, request_of
from hansei.nodes.scope import Steps, bill, context_of, dataset_of


def discoverer(state: Evaluating, runtime: Runtime[Context]) -> dict[str, Any]:
    """Adds the criteria that are found to those that are given. What the model cannot find is told, and costs the rest
    nothing.

    Raises:
        HanseiError: ClickHouse cannot be asked.
    """
    context, request = context_of(runtime), request_of(state)
    endpoint = needed_endpoint(context, state["scope"]["run_id"], "Finding criteria")
    steps = Steps(runtime, "criteria", "Reading traces for what goes wrong")
    meter = meter_of_run(state, context)
    dataset = dataset_of(state["scope"], runtime, state["costs"])
    try:
        found = Discovering(dataset, endpoint, meter, request.language, request.seed, steps.running).run()
    except ModelFailed as failure:
        steps.failed(failure.message)
        found = Discovered(notes=[f"No criteria were found in the traces: {failure.message}"])
    else:
        steps.finished(f"{len(found.criteria)} criteria from {found.read} traces")
    known = {one.name for one in criteria_of(state)}
    added = [one.model_dump(mode="json") for one in found.criteria if one.name not in known]
    used = meter.by_node.get(NODE)
    return {
        "settled": [*state["settled"], *added],
        "notes": [*endpoint.prompts.notes, *found.notes],
        "usage": {NODE: used.model_dump()} if used else {},
        "costs": bill("criteria", dataset.reader),
    }
