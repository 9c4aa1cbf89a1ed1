"""The tools over a dataset, called as a model calls them, and a project for them to look at."""

from __future__ import annotations

from typing import Any

from langchain_core.messages import ToolMessage
from tests.support.faults import fails, on_step
from tests.support.inquiry import AT, hard_traces, trace
from tests.support.world import PROJECT, make_world

from hansei.demo.rows import Rows, ScoreRow
from hansei.tools.inquiry.bounds import Bounds
from hansei.tools.inquiry.kit import inquiry_tools
from hansei.tools.inquiry.notebook import Notebook
from hansei.tools.langfuse.dataset import Dataset


class Kit:
    """The tools over a dataset, called as a model's tool calls are."""

    def __init__(self, dataset: Dataset, bounds: Bounds | None = None) -> None:
        self.dataset = dataset
        self.notebook = Notebook()
        self.tools = {tool.name: tool for tool in inquiry_tools(dataset, bounds, self.notebook)}

    def call(self, name: str, config: Any = None, **arguments: Any) -> ToolMessage:
        call = {"type": "tool_call", "id": "call-1", "name": name, "args": arguments}
        message = self.tools[name].invoke(call, config)
        assert isinstance(message, ToolMessage)
        assert isinstance(message.content, str)
        if message.status == "error":
            assert message.artifact is None
        else:
            assert all(self.notebook.get(id) is not None for id in message.artifact)
            assert message.artifact[0] in message.content
        return message

    def said(self, name: str, **arguments: Any) -> str:
        message = self.call(name, **arguments)
        assert message.status == "success", message.content
        return str(message.content)

    def refused(self, name: str, **arguments: Any) -> str:
        message = self.call(name, **arguments)
        assert message.status == "error", message.content
        assert "\n" not in message.content
        return str(message.content)


def world() -> Rows:
    """A quiet project in which a fifth of the look-ups fail, with a few hard traces and another project's."""
    rows = make_world(on_step("support", "lookup_order", fails("order service: 503"), share=0.2), per_day=20)
    for n, observation in enumerate(rows.observations):
        observation.metadata = {"tenant": "blue", "request": f"ann{n}"} if observation.type == "TOOL" else {}
    rows.extend(few_hard_ones())
    rows.scores += [
        ScoreRow(id=f"tone-{n}", timestamp=AT, name="tone", project_id=PROJECT, data_type="CATEGORICAL",
                 trace_id="told", string_value="rude" if n % 3 else "kind", source="EVAL") for n in range(30)
    ]  # fmt: skip
    for n in range(600):  # names that are users' texts rather than names
        rows.traces.append(trace(f"free-{n}", name=f"question {n} of ann{n}@example.com"))
    rows.traces += [trace("rare-1", release="secret-release"), trace("rare-2", release="secret-release")]
    return rows


def few_hard_ones() -> Rows:
    hard = hard_traces()
    small = {"nested", "orphan", "circle", "hostile", "versions", "told", "foreign", "judged"}
    return Rows(
        [row for row in hard.traces if row.id in small],
        [row for row in hard.observations if row.trace_id in small],
        hard.scores,
    )
