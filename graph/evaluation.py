"""The evaluation of traces by criteria. Read it from top to bottom: this is the diagram.

begin → (discoverer → agreement) → sampler → checker → estimator → allowance → comparer → weigh ─┬→ judge ─┬→ weigh …
                                                                                                 ├→ judge ─┤
                                                                                                 └→ judge ─┘
weigh sends the next traces to judges until nothing more is to be judged; then → result.
agreement and allowance stop and wait for a person, unless the request says that it is approved.
"""

from __future__ import annotations

import operator
from typing import Annotated, Any

from langchain_core.messages import AnyMessage
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import Checkpointer, Send
from pydantic import Field
from typing_extensions import TypedDict

from hansei import __version__
from hansei.context import Context
from hansei.contracts.evaluation import EvaluationRequest
from hansei.graph.workflow import RETRY, Graph
from hansei.nodes.agreement import AllowanceInput, agreement, allowance
from hansei.nodes.begin import BeginInput, begin
from hansei.nodes.calibrator import CalibratorInput, calibrator
from hansei.nodes.checker import checker
from hansei.nodes.comparer import ComparerInput, comparer
from hansei.nodes.discoverer import discoverer
from hansei.nodes.estimator import estimator
from hansei.nodes.evaluating import AT_ONCE, WAVE, Evaluating, merge_usage
from hansei.nodes.judge import judge
from hansei.nodes.result import ResultInput, result
from hansei.nodes.sampler import sampler
from hansei.nodes.scope import Costs, Scope, merge
from hansei.nodes.weigh import WeighInput, weigh
from hansei.tools.langfuse.tracing import traced


class EvaluationState(BeginInput, total=False):
    """Everything that an evaluation knows: the request's fields, then what the nodes fill in turn. Verdicts are no part
    of it: they are kept in a file, see `Context.verdicts`."""

    scope: Scope
    run: dict[str, Any]
    evaluation_request: dict[str, Any]
    settled: list[dict[str, Any]]
    """begin, discoverer, agreement: the criteria that are judged by."""
    notes: Annotated[list[str], operator.add]
    chosen: list[dict[str, Any]]
    """sampler: the traces."""
    population: int
    estimated: dict[str, Any] | None
    decision: str
    """allowance: approve or reject."""
    upto: int
    """weigh: how many of the chosen traces were sent to judges."""
    judged: Annotated[dict[str, bool], merge]
    """judges: keys of the verdicts that are kept, and whether they were known before."""
    compared: dict[str, dict[str, Any]]
    """comparer: what the pairs of each pairwise criterion come to."""
    stopped: Annotated[str, lambda old, new: new or old]
    """judges: why the model cannot be asked further."""
    enough: bool
    """weigh: nothing more is to be judged."""
    costs: Annotated[Costs, merge]
    usage: Annotated[dict[str, Any], merge_usage]
    evaluation: dict[str, Any]
    messages: Annotated[list[AnyMessage], add_messages]


class EvaluationInput(EvaluationRequest):
    """What is to be evaluated."""

    project_id: str | None = Field(  # type: ignore[assignment]
        None, max_length=200, description="Langfuse project to evaluate. Default: HANSEI_PROJECT_ID."
    )
    criteria: list[dict[str, Any]] = Field(  # type: ignore[assignment]
        default_factory=list,
        description="What to judge by, as in a criteria.yaml. Default: all checks that need no model and no parameter.",
    )
    finding: dict[str, Any] | None = Field(  # type: ignore[assignment]
        None,
        description="A finding of a report (id, metric, segment, comparison, parameters, usual): only traces in which"
        " its metric was bad, and sound ones beside them.",
    )


class EvaluationOutput(TypedDict):
    """What a run returns: the evaluation, valid for `hansei.contracts.evaluation.EvaluationResult`; the traces that
    were chosen (id, time, environment, stratum, weight); and a message."""

    evaluation: dict[str, Any]
    chosen: list[dict[str, Any]]
    messages: Annotated[list[AnyMessage], add_messages]


def build_evaluation_graph(checkpointer: Checkpointer = None) -> Graph:
    """Wires the nodes and compiles the graph.

    Input: the fields of `EvaluationRequest`. Interrupts: the criteria that were found (answer: a `CriteriaDecision`),
    the estimate (answer: a `CostDecision`). Context: `hansei.Context`; its `verdicts` names the file in which verdicts
    are kept, so that an evaluation that was cut off goes on where it stopped when it is asked for again.
    Output: ``evaluation``, valid for `EvaluationResult`, and ``messages``.

    Args:
        checkpointer: keeps the state while the graph waits; None: none, or the parent's.
    """
    graph = StateGraph(
        EvaluationState, context_schema=Context, input_schema=EvaluationInput, output_schema=EvaluationOutput
    )
    graph.add_node("begin", begin, input_schema=BeginInput, retry_policy=RETRY)
    graph.add_node("discoverer", discoverer, input_schema=Evaluating, retry_policy=RETRY)
    graph.add_node("agreement", agreement, input_schema=Evaluating)
    graph.add_node("sampler", sampler, input_schema=Evaluating, retry_policy=RETRY)
    graph.add_node("checker", checker, input_schema=Evaluating, retry_policy=RETRY)
    graph.add_node("estimator", estimator, input_schema=Evaluating, retry_policy=RETRY)
    graph.add_node("allowance", allowance, input_schema=AllowanceInput)
    graph.add_node("comparer", comparer, input_schema=ComparerInput, retry_policy=RETRY)
    graph.add_node("judge", judge, input_schema=Evaluating, retry_policy=RETRY)
    graph.add_node("weigh", weigh, input_schema=WeighInput)
    graph.add_node("result", result, input_schema=ResultInput)
    graph.add_node("calibrator", calibrator, input_schema=CalibratorInput, retry_policy=RETRY)

    graph.add_edge(START, "begin")
    graph.add_conditional_edges("begin", discover_or_not, ["discoverer", "sampler"])
    graph.add_edge("discoverer", "agreement")
    graph.add_edge("agreement", "sampler")
    graph.add_conditional_edges("sampler", check_or_not, ["checker", "estimator"])
    graph.add_edge("checker", "estimator")
    graph.add_conditional_edges("estimator", allow_or_not, ["allowance", "result"])
    graph.add_edge("allowance", "comparer")
    graph.add_edge("comparer", "weigh")
    graph.add_conditional_edges("weigh", to_judges, ["judge", "result"])
    graph.add_edge("judge", "weigh")
    graph.add_edge("result", "calibrator")
    graph.add_edge("calibrator", END)
    return graph.compile(checkpointer=checkpointer, name="evaluation")


def discover_or_not(state: EvaluationState) -> str:
    """Criteria are looked for when that is asked for."""
    return "discoverer" if state["evaluation_request"]["discover"] else "sampler"


def check_or_not(state: EvaluationState) -> str:
    """A dry run judges nothing."""
    return "estimator" if state["evaluation_request"]["dry_run"] else "checker"


def allow_or_not(state: EvaluationState) -> str:
    """A dry run ends with the estimate."""
    return "result" if state["evaluation_request"]["dry_run"] else "allowance"


def to_judges(state: EvaluationState) -> list[Send] | str:
    """The next traces, a few to each judge; the result when there are none, or nothing more is to be judged."""
    if state["enough"]:
        return "result"
    wave = state["chosen"][state["upto"] - WAVE : state["upto"]]
    shared = {key: state.get(key) for key in ("scope", "evaluation_request", "settled", "costs", "usage")}
    return [Send("judge", {**shared, "chosen": wave[at : at + AT_ONCE]}) for at in range(0, len(wave), AT_ONCE)]


graph = traced(build_evaluation_graph(), version=__version__)
"""For `langgraph.json`: compiled without a checkpointer, which the server brings."""
