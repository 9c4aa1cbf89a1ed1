"""As a part of a graph of yours: as a node, or inside of one.

A node: your state shares the keys `project_id`, `report` (and `window`, `question` …, if you like), your graph's
context is Hansei's. Inside of one of your nodes: your graph may have any state and any context.
"""

import os
from dataclasses import dataclass
from typing import Any

from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime
from typing_extensions import TypedDict

from hansei import Context, build_graph


class State(TypedDict, total=False):
    project_id: str
    report: dict[str, Any]
    notice: str


def notify(state: State) -> State:
    return {"notice": f"{state['project_id']}: {state['report']['headline']}"}


as_node = StateGraph(State, context_schema=Context)
as_node.add_node("hansei", build_graph())
as_node.add_node("notify", notify)
as_node.add_edge(START, "hansei")
as_node.add_edge("hansei", "notify")
as_node.add_edge("notify", END)
request: State = {"project_id": os.environ["HANSEI_PROJECT_ID"]}
print(as_node.compile().invoke(request, context=Context())["notice"])


@dataclass
class HostContext:
    clickhouse: str


analysis = build_graph()


def analyse(state: State, runtime: Runtime[HostContext]) -> State:
    context = Context.model_validate({"clickhouse_url": runtime.context.clickhouse})
    return {"report": analysis.invoke({"project_id": state["project_id"]}, context=context)["report"]}


inside = StateGraph(State, context_schema=HostContext)
inside.add_node("analyse", analyse)
inside.add_node("notify", notify)
inside.add_edge(START, "analyse")
inside.add_edge("analyse", "notify")
print(inside.compile().invoke(request, context=HostContext(os.environ["HANSEI_CLICKHOUSE_URL"]))["notice"])
