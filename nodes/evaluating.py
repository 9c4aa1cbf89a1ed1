"""What the nodes of an evaluation share: the slices of its state, and the objects that they stand for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NotRequired

from typing_extensions import TypedDict

from hansei.context import Context
from hansei.contracts import parse_instant
from hansei.contracts.evaluation import Criterion, EvaluationRequest
from hansei.contracts.spent import Usage
from hansei.errors import UsageError
from hansei.nodes.prompts import LANGUAGES
from hansei.nodes.scope import Costs, Scope
from hansei.tools.evaluation.asking import Judge, judges
from hansei.tools.evaluation.choosing import Chosen
from hansei.tools.evaluation.labels import read_labels, rules_of
from hansei.tools.evaluation.pairs import Pair, PairJudge, find_pairs
from hansei.tools.evaluation.store import VerdictStore, default_store
from hansei.tools.langfuse.dataset import Dataset
from hansei.tools.language_model import Endpoint, ModelMeter, endpoint_of, model_meter_of

PROMPTS = Path(__file__).parent / "prompts"

AT_ONCE = 8
"""Traces that one judge node looks at."""

WAVE = 6 * AT_ONCE
"""Traces that are judged side by side before it is looked at whether to go on."""

MOST_PAIRS = 100
"""Pairs of one pairwise criterion."""


class Evaluating(TypedDict):
    """What most nodes of an evaluation read."""

    scope: Scope
    evaluation_request: dict[str, Any]
    """Valid for `hansei.contracts.evaluation.EvaluationRequest`."""
    settled: list[dict[str, Any]]
    """What is judged by, each valid for `Criterion`."""
    costs: Costs
    usage: NotRequired[dict[str, Any]]
    chosen: NotRequired[list[dict[str, Any]]]
    """The traces, each as a `Chosen`, its time as ISO 8601."""


def request_of(state: Evaluating) -> EvaluationRequest:
    return EvaluationRequest.model_validate(state["evaluation_request"])


def run_of(state: Evaluating) -> str:
    """Under which id the run's verdicts are told: that of the run that it goes on with, if it was asked to."""
    return request_of(state).run_id or state["scope"]["run_id"]


def criteria_of(state: Evaluating) -> list[Criterion]:
    return [Criterion.model_validate(one) for one in state["settled"]]


def chosen_of(rows: Sequence[Mapping[str, Any]]) -> list[Chosen]:
    """The traces in the state."""
    return [Chosen(**{**row, "at": parse_instant(row["at"])}) for row in rows]


def store_of(context: Context) -> VerdictStore:
    """Where verdicts are kept.

    Raises:
        UsageError: nowhere is known, or it cannot be used.
    """
    path = Path(context.verdicts) if context.verdicts else default_store()
    if path is None:
        raise UsageError("There is no place for verdicts.", "Set HANSEI_VERDICTS to the path of a file.")
    return VerdictStore(path)


def meter_of_run(state: Evaluating, context: Context) -> ModelMeter:
    """The meter of this run of the graph. What was spent on a run that it goes on with counts for the bounds.

    Tokens and dollars bound an evaluation; how many calls it takes follows from its traces. Each call is on the disk
    before the next one, so that a process that is killed leaves nothing uncounted but what was under way.
    """
    part, run_id, store = state["scope"]["run_id"], run_of(state), store_of(context)
    budget = context.model_budget.model_copy(update={"calls": 10_000_000})
    meter = model_meter_of(part, budget, context.model_prices, dict(state.get("usage") or {}))
    meter.goes_on(store.spent(run_id, but=part), partial(store.spend, run_id, part))
    return meter


def judges_of(state: Evaluating, context: Context) -> list[Judge]:
    """The judges of the state's criteria; none without a model."""
    endpoint = endpoint_of(context, state["scope"]["run_id"])
    if endpoint is None:
        return []
    language = LANGUAGES[request_of(state).language]
    return judges(criteria_of(state), PROMPTS / "judge.md", endpoint, language, state["scope"]["project_id"])


def pair_judges_of(state: Evaluating, context: Context) -> list[PairJudge]:
    """The judges of pairs; none without a model."""
    endpoint = endpoint_of(context, state["scope"]["run_id"])
    if endpoint is None:
        return []
    prompt, project_id = endpoint.prompts.read(PROMPTS / "judge_pair.md"), state["scope"]["project_id"]
    language = LANGUAGES[request_of(state).language]
    pairwise = [one for one in criteria_of(state) if one.kind == "pairwise"]
    return [PairJudge(one, prompt, endpoint, language, project_id) for one in pairwise]


def pairs_of(state: Evaluating, dataset: Dataset, criterion: Criterion) -> tuple[list[Pair], list[Pair]]:
    """The pairs of a pairwise criterion that are drawn, and those that only hold its judge against people.

    Raises:
        HanseiError: ClickHouse cannot be asked.
    """
    assert criterion.compared is not None
    request = request_of(state)
    labels = read_labels(dataset, rules_of([criterion], request.feedback))[criterion.name]
    most = min(MOST_PAIRS, request.traces or MOST_PAIRS)
    return find_pairs(dataset, criterion.compared, most, request.seed, labels)


def needed_endpoint(context: Context, run_id: str, for_what: str) -> Endpoint:
    """The model.

    Raises:
        UsageError: there is none.
    """
    endpoint = endpoint_of(context, run_id)
    if endpoint is None:
        raise UsageError(f"{for_what} needs a model, and none is named.", "Give --model, or set HANSEI_MODEL.")
    return endpoint


def merge_usage(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Reducer: of each node the larger usage, since meters only go up and nodes side by side tell the same one."""
    merged = dict(old)
    for node, used in new.items():
        mine, theirs = Usage.model_validate(used), Usage.model_validate(old.get(node, {}))
        merged[node] = used if mine.calls + mine.cached >= theirs.calls + theirs.cached else old[node]
    return merged
