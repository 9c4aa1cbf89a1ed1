"""Writing outside of the report's folder: a small graph of its own, so that it can be embedded, run and resumed alone.

approval (stops, shows what would be written) → delivery (writes what was approved)

    plan = WritePlan(what="scores named hansei.error", where="Langfuse, project acme", writes=[…])
    graph = build_writes_graph(send_scores, checkpointer=InMemorySaver())
    graph.invoke({"writes": plan.model_dump()}, config)["__interrupt__"][0].value          # a WritePreview
    graph.invoke(Command(resume={"decision": "approve"}), config)["outcome"]               # a WriteOutcome
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import uuid4

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Checkpointer, Command

from hansei.context import Context
from hansei.contracts.writes import WriteDecision, WriteOutcome, WritePlan, WritePreview
from hansei.nodes.approval import ApprovalInput, ApprovalOutput, Check, approval_with, edited
from hansei.nodes.delivery import DeliveryInput, DeliveryOutput, Perform, delivery_with
from hansei.tools.writeback import fits, send


class WritesState(ApprovalInput, ApprovalOutput, DeliveryOutput, total=False):
    """The plan, the decision, and what became of it: plain JSON."""


def build_writes_graph(
    perform: Perform, *, check: Check = lambda write: None, checkpointer: Checkpointer = None
) -> CompiledStateGraph[Any, Any, Any, Any]:
    """A graph that shows a plan, stops, and writes what is approved.

    Input: ``writes``, valid for `WritePlan`. Interrupt: a `WritePreview`; resume with a `WriteDecision`. Output:
    ``outcome``, valid for `WriteOutcome`. Context: `hansei.Context`, which `perform` is given.

    Args:
        perform: does the writing. The same key twice must leave what once leaves.
        check: raises ValueError for an edited write whose content cannot be written; such an answer is refused.
        checkpointer: keeps the plan while the graph waits; None: the parent's or the server's.
    """

    graph = StateGraph(WritesState, context_schema=Context, input_schema=ApprovalInput, output_schema=DeliveryOutput)
    graph.add_node("approval", approval_with(check), input_schema=ApprovalInput)
    graph.add_node("delivery", delivery_with(perform, partial(edited, check=check)), input_schema=DeliveryInput)
    graph.add_edge(START, "approval")
    graph.add_edge("approval", "delivery")
    graph.add_edge("delivery", END)
    return graph.compile(checkpointer=checkpointer, name="writes")


def write_if_approved(
    plan: WritePlan,
    perform: Perform,
    decide: Callable[[WritePreview], WriteDecision],
    *,
    context: Context | None = None,
    check: Check = lambda write: None,
) -> WriteOutcome:
    """The whole way in one call, for a command line or a script: show, ask, write.

    Args:
        plan: what would be written.
        perform: does the writing.
        decide: is shown the preview and answers. A dry run shows it and rejects.
        context: is given to `perform`.
        check: see `build_writes_graph`.

    Raises:
        pydantic.ValidationError: the answer does not fit the plan; nothing was written.
    """
    graph = build_writes_graph(perform, check=check, checkpointer=InMemorySaver())
    config: RunnableConfig = {"configurable": {"thread_id": str(uuid4())}}
    state = graph.invoke({"writes": plan.model_dump()}, config, context=context)
    for stop in state.get("__interrupt__", ()):
        decision = decide(WritePreview.model_validate(stop.value))
        state = graph.invoke(Command(resume=decision.model_dump()), config, context=context)
    return WriteOutcome.model_validate(state["outcome"])


graph = build_writes_graph(send, check=fits)
"""For `langgraph.json`: scores and dataset items for Langfuse, shown in Studio and sent when a person has said yes. The
server's LANGFUSE_PUBLIC_KEY, LANGFUSE_SECRET_KEY and LANGFUSE_BASE_URL say where to."""
