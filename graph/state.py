"""The state of a run, put together from the slices that the nodes declare beside themselves.

It holds plain JSON data only (see `hansei.nodes.scope`), so any checkpointer can store it: no client, no model, no rows
beyond the answers that the report shows.
"""

from __future__ import annotations

import operator
from typing import Annotated, Any

from langchain_core.messages import AnyMessage
from langgraph.graph.message import add_messages
from pydantic import Field
from typing_extensions import TypedDict

from hansei.contracts import Request
from hansei.nodes.again import Remembered
from hansei.nodes.connect import ConnectInput
from hansei.nodes.scope import Costs, Scope, Screened, Task, merge, merge_screened


class State(ConnectInput, total=False):
    """Everything that a run knows. The request's fields come first; the rest is filled by the nodes in turn."""

    scope: Scope
    """connect: what is looked at."""
    run: dict[str, Any]
    """connect: id and start of the run."""
    screened: Annotated[dict[str, Screened], merge_screened]
    """profile, analysts: how each detector fared."""
    plan: list[dict[str, Any]]
    """planner: what is looked into, as reported."""
    tasks: list[Task]
    """planner, critic: what the analysts have to do next."""
    drafts: Annotated[dict[str, dict[str, Any]], merge]
    """analysts, critic: candidates with their evidence, by fingerprint."""
    rounds: int
    """critic: how often it has looked."""
    costs: Annotated[Costs, merge]
    """each step: what its queries have cost."""
    earlier: list[dict[str, Any]]
    """what earlier runs found, for the planner's model; may be absent."""
    proposed: Annotated[dict[str, dict[str, Any]], merge]
    """analysts, critic: what a model proposes, with its evidence, by fingerprint; kept apart from the drafts."""
    investigations: Annotated[dict[str, Any], merge]
    """analysts: what became of each open question."""
    usage: Annotated[dict[str, Any], merge]
    """each node that asks a model: what it used of it."""
    remembered: Remembered | None
    """connect: what the ledger knew."""
    again: Annotated[dict[str, list[dict[str, Any]]], merge]
    """analysts: the answers about findings of the ledger, by their id in it."""
    report: dict[str, Any]
    """writer: the report, valid for `hansei.contracts.Report`."""
    messages: Annotated[list[AnyMessage], add_messages]
    """A person's questions, and what a chat shows: the writer's and the answerer's messages."""
    inquiry: dict[str, Any]
    """reader, inquirer, examiner: the follow-up question that is being answered."""
    answers: Annotated[list[dict[str, Any]], operator.add]
    """answerer: the answers to the questions on this report, valid for `hansei.contracts.answers.Answer`."""
    writes: dict[str, Any]
    """preparer: what is to be written elsewhere, valid for `hansei.contracts.writes.WritePlan`."""
    decision: dict[str, Any]
    """approval: what a person said to it."""
    outcome: dict[str, Any]
    """delivery: what became of it."""
    named: dict[str, Any]
    """answerer: what was named last, so that “it” and “the second one” mean something."""


class Input(Request):
    """A request, or a question in a chat: on a thread that has a report a message is a question about it."""

    project_id: str | None = Field(  # type: ignore[assignment]
        None,
        max_length=200,
        description="Langfuse project to analyse. Leave it empty to ask about the thread's report in a message.",
    )
    messages: Annotated[list[AnyMessage], add_messages] = Field(
        default_factory=list,
        description="A question about the thread's report; on a new thread, what to analyse.",
    )


class Output(TypedDict):
    """What a run returns."""

    report: dict[str, Any]
    messages: Annotated[list[AnyMessage], add_messages]
