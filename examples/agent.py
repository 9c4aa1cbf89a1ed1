"""As a tool of an agent. A scripted model stands in for yours: put `ChatOpenAI(model=…)` or any other in its place."""

import os
from typing import Any

from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition

from hansei import Context, as_tool

# The connection is the host's: no argument of the tool holds one. The model may name no other project than these.
tools = [as_tool(Context(), projects=[os.environ["HANSEI_PROJECT_ID"]])]


class ScriptedModel(GenericFakeChatModel):
    """Calls the tool, then answers."""

    def bind_tools(self, tools: Any, **options: Any) -> Any:
        return self


call = {"name": tools[0].name, "args": {"window": "7d", "question": "What should we fix first?"}, "id": "call-1"}
script = [AIMessage("", tool_calls=[call]), AIMessage("Start with the first finding.")]
model = ScriptedModel(messages=iter(script)).bind_tools(tools)


def think(state: MessagesState) -> dict[str, Any]:
    return {"messages": [model.invoke(state["messages"])]}


agent = StateGraph(MessagesState)
agent.add_node("think", think)
agent.add_node("tools", ToolNode(tools))
agent.add_edge(START, "think")
agent.add_conditional_edges("think", tools_condition)
agent.add_edge("tools", "think")

result = agent.compile().invoke({"messages": [HumanMessage("How is our agent doing?")]})
for message in result["messages"]:
    print(f"{message.type}: {message.text}")
answer = next(message for message in result["messages"] if message.type == "tool")
print(f"The whole report came along: {len(answer.artifact['findings'])} findings.")
