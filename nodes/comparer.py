"""comparer: asks the model which of two versions answers the same input better, each pair in both orders."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from langgraph.runtime import Runtime

from hansei.context import Context
from hansei.contracts.evaluation import Verdict
from hansei.errors import ModelFailed
from hansei.nodes.evaluating import Evaluating, meter_of_run, pair_judges_of, pairs_of, run_of, store_of
from hansei.nodes.scope import Steps, bill, context_of, dataset_of
from hansei.tools.at_once import at_once
from hansei.tools.evaluation.pairs import ORDERS, Order, Pair, PairJudge, Tally


class ComparerInput(Evaluating):
    """And whether judging was approved."""

    decision: str


def comparer(state: ComparerInput, runtime: Runtime[Context]) -> dict[str, Any]:
    """Judges the pairs of all pairwise criteria. Verdicts are kept as they come; those that are known cost nothing.

    Raises:
        HanseiError: ClickHouse cannot be asked, or verdicts cannot be kept.
    """
    context = context_of(runtime)
    judges = pair_judges_of(state, context)
    if not judges or state["decision"] != "approve":
        return {}
    steps = Steps(runtime, "judge", f"{len(judges)} comparisons", task="pairs")
    dataset = dataset_of(state["scope"], runtime, state["costs"])
    meter, store = meter_of_run(state, context), store_of(context)
    compared: dict[str, dict[str, Any]] = {}
    stopped = ""
    for judge in judges:
        drawn, labelled = pairs_of(state, dataset, judge.criterion)
        pairs = [*drawn, *labelled]
        keys = {(pair, order): judge.key(pair, order) for pair in pairs for order in ORDERS}
        known = store.find(list(keys.values()))
        asked = {key: job for job, key in keys.items() if key not in known}

        def job(key: str, pair: Pair, order: Order, judge: PairJudge = judge) -> Callable[[], Verdict]:
            def ask() -> Verdict:
                verdict = judge.judge(pair, order, meter)
                store.keep([(key, verdict)])
                return verdict

            return ask

        answers, failed = at_once([job(key, *asked[key]) for key in asked])
        if failed is not None and not isinstance(failed, ModelFailed):
            raise failed
        found = known | {key: one for key, one in zip(asked, answers, strict=True) if one is not None}
        both = [(found.get(keys[pair, ORDERS[0]]), found.get(keys[pair, ORDERS[1]])) for pair in pairs]
        tally = Tally.of(both[: len(drawn)], "stopped")
        compared[judge.criterion.name] = {
            "pairwise": tally.pairwise.model_dump(mode="json"), "reasons": tally.reasons, "kept": len(known),
        }  # fmt: skip
        settled = [judge.settled(pair, verdicts) for pair, verdicts in zip(pairs, both, strict=True)]
        store.tell(run_of(state), [one for one in settled if one is not None])
        if failed is not None:
            stopped = failed.message
            break
    told = f"{sum(one['pairwise']['pairs'] for one in compared.values())} pairs"
    steps.failed(f"{told}. {stopped}") if stopped else steps.finished(told)
    return {
        "compared": compared,
        "stopped": stopped,
        "usage": {node: used.model_dump() for node, used in meter.by_node.items() if node.startswith("judge ")},
        "costs": bill("comparer", dataset.reader),
    }
