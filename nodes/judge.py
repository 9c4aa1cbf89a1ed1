"""judge: asks the model about a few traces, one question for each trace and criterion. Several run side by side."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from langgraph.runtime import Runtime

from hansei.context import Context
from hansei.contracts.evaluation import Verdict
from hansei.errors import HanseiError, ModelFailed
from hansei.nodes.evaluating import Evaluating, judges_of, meter_of_run, store_of
from hansei.nodes.scope import Steps, bill, context_of, dataset_of
from hansei.tools.at_once import at_once
from hansei.tools.evaluation.asking import Judge, shown_of
from hansei.tools.langfuse.trace_tree import TraceTree, read_trees


def judge(state: Evaluating, runtime: Runtime[Context]) -> dict[str, Any]:
    """Judges the traces that are sent to it. What was judged before is not asked again; each verdict is kept at once.

    When the model cannot be asked, judging stops here; verdicts that there are stand.

    Raises:
        HanseiError: ClickHouse cannot be asked, or verdicts cannot be kept.
    """
    context = context_of(runtime)
    steps = Steps(runtime, "judge", f"{len(state['chosen'])} traces", task=state["chosen"][0]["id"][:40])
    meter, store = meter_of_run(state, context), store_of(context)
    dataset = dataset_of(state["scope"], runtime, state["costs"])
    trees = read_trees(dataset, [one["id"] for one in state["chosen"]])
    wanted: dict[str, tuple[Judge, TraceTree, str]] = {}
    for tree in trees.values():
        for one in judges_of(state, context):
            shown = shown_of(tree, one.endpoint)
            wanted[one.key(tree.trace_id, shown)] = one, tree, shown
    known = store.find(list(wanted))
    asked = {key: job for key, job in wanted.items() if key not in known}

    def job(key: str) -> Callable[[], Verdict]:
        one, tree, shown = asked[key]

        def ask() -> Verdict:
            verdict = one.judge(tree, shown, meter, f"judge {one.criterion.name}")
            store.keep([(key, verdict)])
            return verdict

        return ask

    answers, failed = at_once([job(key) for key in asked])
    if failed is not None and not isinstance(failed, ModelFailed):
        raise failed
    given = [key for key, answer in zip(asked, answers, strict=True) if answer is not None]
    _tell(steps, len(given), len(known), failed)
    return {
        "judged": {key: key in known for key in (*known, *given)},
        "stopped": failed.message if failed else "",
        "usage": {node: used.model_dump() for node, used in meter.by_node.items() if node.startswith("judge ")},
        "costs": bill("judge", dataset.reader),
    }


def _tell(steps: Steps, given: int, known: int, failed: HanseiError | None) -> None:
    told = f"{given} verdicts" + (f", {known} known before" if known else "")
    if failed:
        steps.failed(f"{told}. {failed.message}")
    else:
        steps.finished(told)
