"""calibrator: holds the judges against people's labels, and says which traces to label next."""

from __future__ import annotations

from typing import Any

from langgraph.runtime import Runtime

from hansei.context import Context
from hansei.contracts.evaluation import EvaluationResult
from hansei.nodes.evaluating import Evaluating, criteria_of, request_of, store_of
from hansei.nodes.scope import Steps, bill, context_of, dataset_of
from hansei.tools.evaluation.calibrating import calibrated
from hansei.tools.evaluation.labels import read_labels, rules_of, traces_of


class CalibratorInput(Evaluating):
    """And the evaluation as it is without labels, valid for `EvaluationResult`."""

    evaluation: dict[str, Any]


def calibrator(state: CalibratorInput, runtime: Runtime[Context]) -> dict[str, Any]:
    """Reads the labels of the window's traces and compares.

    Raises:
        HanseiError: ClickHouse cannot be asked, the verdicts cannot be read, or the rule for feedback cannot.
    """
    context, request = context_of(runtime), request_of(state)
    evaluation = EvaluationResult.model_validate(state["evaluation"])
    rules = rules_of(criteria_of(state), request.feedback)
    if request.dry_run or not rules or not any(one.n for one in evaluation.results if one.criterion.name in rules):
        return {}
    steps = Steps(runtime, "calibrator", "Holding judges against people's labels")
    dataset = dataset_of(state["scope"], runtime, state["costs"])
    labels, store = read_labels(dataset, rules), store_of(context)
    earlier = store.told_of(list(rules), but=evaluation.run_id)
    before = read_labels(dataset, rules, traces_of(earlier))
    told = calibrated(evaluation, store.told(evaluation.run_id), labels, earlier, before)
    count = len({trace for mine in labels.values() for trace in mine})
    steps.finished(f"{count:,} labelled traces" if count else "no labels: uncalibrated")
    return {"evaluation": told.model_dump(mode="json"), "costs": bill("calibrator", dataset.reader)}
