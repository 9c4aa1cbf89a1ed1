"""sampler: chooses the traces that are judged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langgraph.runtime import Runtime

from hansei.context import Context
from hansei.contracts.evaluation import EvaluationRequest
from hansei.errors import NoData
from hansei.nodes.evaluating import Evaluating, criteria_of, request_of
from hansei.nodes.scope import Steps, bill, context_of, dataset_of
from hansei.tools.evaluation.choosing import Chosen, choose
from hansei.tools.evaluation.finding_traces import SOUND, choose_of_finding, is_of_traces
from hansei.tools.evaluation.labels import labelled_traces, read_labels, rules_of
from hansei.tools.evaluation.sequential import expected_traces
from hansei.tools.langfuse.dataset import Dataset
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
    chosen, population, notes = _drawn(dataset, request, count)
    if not population:
        raise NoData("No trace of the window can be chosen.", "Give a longer --window, or another segment.")
    labelled = _labelled(dataset, state, request, [one.id for one in chosen]) if judged else []
    told = f", and {len(labelled):,} that people have labelled" if labelled else ""
    steps.finished(f"{len(chosen):,} of {population:,} traces{told}")
    chosen = [*labelled, *chosen]
    rows = [{**one.__dict__, "at": one.at.isoformat()} for one in chosen]
    return {"chosen": rows, "population": population, "notes": notes, "costs": bill("sampler", dataset.reader)}


def _drawn(dataset: Dataset, request: EvaluationRequest, count: int) -> tuple[list[Chosen], int, list[str]]:
    """The traces, how many there are in all, and what a reader should know of how they were drawn."""
    if (finding := request.finding) is None:
        chosen, population = choose(
            dataset, count, plan=request.plan, by=request.by, segment=request.segment, seed=request.seed
        )
        return chosen, population, []
    chosen, population = choose_of_finding(dataset, finding, count, sound=request.sound, seed=request.seed)
    sound = sum(one.stratum == SOUND for one in chosen)
    beside = f" Beside them, {sound:,} sound traces of the same segment are judged, and told apart." if sound else ""
    which = f"in which {finding.metric} was bad" if is_of_traces(finding.metric) else "of the finding's segment"
    told = f"{len(chosen) - sound:,} of the {population:,} traces {which} were drawn.{beside}"
    return chosen, population, [told]


def _labelled(dataset: Dataset, state: Evaluating, request: EvaluationRequest, chosen: Sequence[str]) -> list[Chosen]:
    """Labelled traces that were not drawn. They stand for none, and are judged first: without them no judge is held
    against people."""
    rules = rules_of([one for one in criteria_of(state) if one.kind == "judge"], request.feedback)
    found = labelled_traces(read_labels(dataset, rules), chosen) if rules else []
    return [Chosen(one.trace_id, one.at, one.environment, "labelled", 0.0) for one in found]
