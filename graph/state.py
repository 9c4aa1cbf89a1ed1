"""The state of a run, put together from the slices that the nodes declare beside themselves.

It holds plain JSON data only (see `hansei.nodes.scope`), so any checkpointer can store it: no client, no model, no rows
beyond the answers that the report shows.
"""

from __future__ import annotations

from typing import Annotated, Any

from langchain_core.messages import AnyMessage
from langgraph.graph.message import add_messages
from typing_extensions import TypedDict

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
    """writer: what a chat shows."""


class Output(TypedDict):
    """What a run returns."""

    report: dict[str, Any]
    messages: Annotated[list[AnyMessage], add_messages]
