"""A checkpointer keeps the state: a run that stopped goes on where it was, and what was finished is not done again.

Here it stops before its analysts, as it would if the process were killed there. Any saver of LangGraph does: with
`SqliteSaver` or `PostgresSaver` another process may go on.
"""

import os
from typing import Any

from langgraph.checkpoint.memory import InMemorySaver

from hansei import Context, build_graph

graph, context = build_graph(InMemorySaver()), Context()
thread: Any = {"configurable": {"thread_id": "nightly"}}

request = {"project_id": os.environ["HANSEI_PROJECT_ID"]}
graph.invoke(request, thread, context=context, interrupt_before=["analyst"])
print("Stopped before:", *sorted(set(graph.get_state(thread).next)))

result = graph.invoke(None, thread, context=context)
print(result["report"]["headline"])
