"""A small real graph with the shape of Hansei's own: planner, three analysts by Send, critic, writer."""

from __future__ import annotations

import operator
from typing import Annotated, Any

from langchain_core.language_models import FakeListChatModel
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Send
from typing_extensions import TypedDict

from hansei.errors import QueryFailed
from hansei.tools.langfuse.tracing import query_span, trace_url


class State(TypedDict, total=False):
    question: str
    findings: Annotated[list[str], operator.add]
    verdict: str
    report: str
    link: str | None


class Task(TypedDict):
    task: str


def planner(state: State) -> dict[str, Any]:
    return {"verdict": "planned"}


def fan_out(state: State) -> list[Send]:
    return [Send("analyst", {"task": task}) for task in ("error", "latency", "cost")]


def analyst(task: Task) -> dict[str, Any]:
    sql = f"SELECT count() FROM traces WHERE kind = '{task['task']}'"
    with query_span(f"query {task['task']}", purpose=f"measure {task['task']}", sql=sql) as span:
        span.answered(rows_read=1000, row_count=3, seconds=0.25)
    return {"findings": [task["task"]]}


def critic(state: State) -> dict[str, Any]:
    with query_span("rederive", purpose="rederive", sql="SELECT 1") as span:
        span.answered(rows_read=10, row_count=1, seconds=0.01)
    return {"verdict": "confirmed"}


def broken_critic(state: State) -> dict[str, Any]:
    with query_span("rederive", purpose="rederive", sql="SELECT nothing"):
        raise QueryFailed("ClickHouse stopped the query.", "Make the window smaller.")


def leaking_critic(state: State) -> dict[str, Any]:
    with query_span("rederive", purpose="rederive", sql="SELECT nothing"):
        raise RuntimeError("Cannot parse 'row of a user' at clickhouse://reader:s3cret-p%40ss@db/default")


def writer(state: State) -> dict[str, Any]:
    words = FakeListChatModel(responses=["a report in words"]).invoke("write")
    return {"report": str(words.content), "link": trace_url()}


def small_graph(critic: Any = critic, **compile_options: Any) -> CompiledStateGraph[Any, Any, Any, Any]:
    """The graph, compiled; another critic may take the place of the good one."""
    graph = StateGraph(State)
    graph.add_node("planner", planner)
    graph.add_node("analyst", analyst, input_schema=Task)
    graph.add_node("critic", critic)
    graph.add_node("writer", writer)
    graph.add_edge(START, "planner")
    graph.add_conditional_edges("planner", fan_out, ["analyst"])
    graph.add_edge("analyst", "critic")
    graph.add_edge("critic", "writer")
    graph.add_edge("writer", END)
    return graph.compile(**compile_options)
