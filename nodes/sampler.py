"""sampler: chooses the traces that are judged."""

from __future__ import annotations

from typing import Any

from langgraph.runtime import Runtime

from hansei.context import Context
from hansei.errors import NoData
from hansei.nodes.evaluating import Evaluating, criteria_of, request_of
from hansei.nodes.scope import Steps, bill, context_of, dataset_of
from hansei.tools.evaluation.choosing import choose
from hansei.tools.evaluation.sequential import expected_traces
from hansei.tools.language_model import endpoint_of

WITH_JUDGES = 100
CHECKS_ALONE = 2_000
"""Traces, where the request says nothing: a judge costs money, a check does not."""


def sampler(state: Evaluating, runtime: Runtime[Context]) -> dict[str, Any]:
    """Draws them by the hash of their ids, so that the same request draws the same ones.

    Raises:
        NoData: there is none.
    """
    request, context = request_of(state), context_of(runtime)
    steps = Steps(runtime, "sampler", "Choosing traces")
    dataset = dataset_of(state["scope"], runtime, state["costs"])
    judged = endpoint_of(context) is not None and any(one.kind != "code" for one in criteria_of(state))
    count = request.traces or (WITH_JUDGES if judged else CHECKS_ALONE)
    if judged and request.plan == "sequential" and request.traces is None:
        count = min(CHECKS_ALONE, expected_traces(request.half_width))
    chosen, population = choose(
        dataset, count, plan=request.plan, by=request.by, segment=request.segment, seed=request.seed
    )
    if not chosen:
        raise NoData("No trace of the window can be chosen.", "Give a longer --window, or another segment.")
    steps.finished(f"{len(chosen):,} of {population:,} traces")
    rows = [{**one.__dict__, "at": one.at.isoformat()} for one in chosen]
    return {"chosen": rows, "population": population, "costs": bill("sampler", dataset.reader)}
