"""The state machine. Read it from top to bottom: this is the diagram.

connect → profile → planner ─┬→ analyst ─┬→ critic ─→ writer
                             ├→ analyst ─┤    │
                             └→ analyst ─┘    └─ tasks sent back (at most twice) → analyst …

A message on a thread that has a report is a question about it, and goes the same way on just what it needs:

reader ─┬→ inquirer → examiner ─────────┬→ answerer
        └→ preparer → approval → delivery ┘
           (what is to be written elsewhere stops at approval, and is shown)
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.store.base import BaseStore
from langgraph.types import Checkpointer, RetryPolicy, Send

from hansei import __version__
from hansei.context import Context
from hansei.contracts.asks import WRITES
from hansei.graph.state import Input, Output, State
from hansei.nodes.analyst import ATTEMPTS, AnalystInput, analyst, is_transient
from hansei.nodes.answering import AnsweringInput, answerer, examiner, inquirer
from hansei.nodes.approval import ApprovalInput, approval_with, edited
from hansei.nodes.connect import ConnectReads, connect
from hansei.nodes.critic import CriticInput, critic
from hansei.nodes.delivery import DeliveryInput, delivery_with
from hansei.nodes.messages import last_is_a_persons
from hansei.nodes.planner import PlannerInput, planner
from hansei.nodes.preparing import PreparingInput, preparer
from hansei.nodes.profile import ProfileInput, profile
from hansei.nodes.reader import ReaderInput, reader
from hansei.nodes.scope import giving_up
from hansei.nodes.writer import WriterInput, writer
from hansei.tools.langfuse.tracing import traced
from hansei.tools.writeback import fits, send

Graph = CompiledStateGraph[Any, Any, Any, Any]

RETRY = RetryPolicy(max_attempts=ATTEMPTS, initial_interval=0.2, retry_on=is_transient)
"""Only what may succeed when it is sent again; never bad SQL or a missing grant."""


def build_graph(checkpointer: Checkpointer = None, *, store: BaseStore | None = None) -> Graph:
    """Wires the nodes and compiles the graph.

    Input: the fields of `hansei.Request`; or, on a thread with a report, ``messages`` with a question about it.
    Context: `hansei.Context`. Output: ``report``, valid for `hansei.Report`, and
    ``messages``.

    Args:
        checkpointer: keeps the state, so that an interrupted run goes on where it stopped; None: none, or the parent's.
        store: passed on to LangGraph.
    """
    graph = StateGraph(State, context_schema=Context, input_schema=Input, output_schema=Output)

    graph.add_node("connect", connect, input_schema=ConnectReads, retry_policy=RETRY)
    graph.add_node("profile", giving_up(profile), input_schema=ProfileInput, retry_policy=RETRY)
    graph.add_node("planner", giving_up(planner), input_schema=PlannerInput)
    graph.add_node("analyst", giving_up(analyst), input_schema=AnalystInput, retry_policy=RETRY)
    graph.add_node("critic", giving_up(critic), input_schema=CriticInput, retry_policy=RETRY)
    graph.add_node("writer", giving_up(writer), input_schema=WriterInput)

    graph.add_node("reader", reader, input_schema=ReaderInput)
    graph.add_node("inquirer", inquirer, input_schema=AnsweringInput, retry_policy=RETRY)
    graph.add_node("examiner", examiner, input_schema=AnsweringInput, retry_policy=RETRY)
    graph.add_node("preparer", preparer, input_schema=PreparingInput, retry_policy=RETRY)
    graph.add_node("approval", approval_with(fits), input_schema=ApprovalInput)
    graph.add_node("delivery", delivery_with(send, partial(edited, check=fits)), input_schema=DeliveryInput)
    graph.add_node("answerer", answerer, input_schema=AnsweringInput)

    graph.add_conditional_edges(START, report_or_answer, ["connect", "reader"])
    graph.add_edge("connect", "profile")
    graph.add_edge("profile", "planner")
    graph.add_conditional_edges("planner", to_analysts, ["analyst", "critic"])
    graph.add_edge("analyst", "critic")
    graph.add_conditional_edges("critic", back_or_on, ["analyst", "writer"])
    graph.add_edge("writer", END)

    graph.add_conditional_edges("reader", look_or_write, ["inquirer", "preparer", "answerer"])
    graph.add_conditional_edges("inquirer", unless_answered("examiner"), ["examiner", "answerer"])
    graph.add_edge("examiner", "answerer")
    graph.add_conditional_edges("preparer", unless_answered("approval"), ["approval", "answerer"])
    graph.add_edge("approval", "delivery")
    graph.add_edge("delivery", "answerer")
    graph.add_edge("answerer", END)

    return graph.compile(checkpointer=checkpointer, store=store, name="hansei")


def report_or_answer(state: State) -> str:
    """A question about the thread's report, or a new report: where a project is named, or there is none yet."""
    asked = last_is_a_persons(state.get("messages") or [])
    return "reader" if asked and state.get("report") and not state.get("project_id") else "connect"


def look_or_write(state: State) -> str:
    """A question is looked up; what is to be written elsewhere is put together for approval."""
    if "answer" in state["inquiry"]:
        return "answerer"
    return "preparer" if state["inquiry"]["ask"]["form"] == WRITES else "inquirer"


def unless_answered(node: str) -> Callable[[State], str]:
    """On to the node, or to the end when it is already known that the question cannot be answered."""

    def on_or_out(state: State) -> str:
        return "answerer" if "answer" in state["inquiry"] else node

    return on_or_out


def to_analysts(state: State) -> list[Send] | str:
    """One analyst per task; straight to the critic when there is nothing to measure."""
    return _sent(state) or "critic"


def back_or_on(state: State) -> list[Send] | str:
    """The critic's new tasks, or the report when it has none."""
    return _sent(state) or "writer"


def _sent(state: State) -> list[Send]:
    shared = {"scope": state["scope"], "costs": state["costs"], "usage": state.get("usage") or {}}
    return [Send("analyst", {**shared, "task": task}) for task in state["tasks"]]


graph = traced(build_graph(), version=__version__)
"""For `langgraph.json`: compiled without a checkpointer, which the server brings; traced when
Langfuse's keys are set."""
