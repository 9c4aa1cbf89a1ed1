"""checker: judges the chosen traces by the criteria that need no model."""

from __future__ import annotations

from typing import Any

from langgraph.runtime import Runtime

from hansei.context import Context
from hansei.nodes.evaluating import Evaluating, criteria_of, run_of, store_of
from hansei.nodes.scope import Steps, bill, context_of, dataset_of
from hansei.tools.evaluation.checks import check_traces
from hansei.tools.langfuse.masking import mask


def checker(state: Evaluating, runtime: Runtime[Context]) -> dict[str, Any]:
    """Checks them, and notes the verdicts under the run.

    Raises:
        HanseiError: ClickHouse cannot be asked, or the verdicts cannot be kept.
    """
    store, run_id = store_of(context_of(runtime)), run_of(state)
    store.forget(run_id)
    criteria = [one for one in criteria_of(state) if one.kind == "code"]
    if not criteria:
        return {}
    steps = Steps(runtime, "checks", f"{len(criteria)} checks")
    dataset = dataset_of(state["scope"], runtime, state["costs"])
    verdicts = list(check_traces(dataset, criteria, [one["id"] for one in state["chosen"]], mask))
    store.tell(run_id, verdicts)
    failing = len({one.trace_id for one in verdicts if one.value is False})
    steps.finished(f"{failing:,} of {len(state['chosen']):,} traces fail at least one")
    return {"costs": bill("checks", dataset.reader)}
