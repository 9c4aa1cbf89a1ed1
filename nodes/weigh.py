"""weigh: looks after each wave of judges whether to go on, and with which traces."""

from __future__ import annotations

from typing import Any

from langgraph.runtime import Runtime

from hansei.context import Context
from hansei.nodes.evaluating import WAVE, Evaluating


class WeighInput(Evaluating):
    """And how far judging has come."""

    upto: int
    decision: str
    stopped: str
    estimated: dict[str, Any] | None


def weigh(state: WeighInput, runtime: Runtime[Context]) -> dict[str, Any]:
    """Enough: no judges, nobody approved of their cost, the model cannot be asked, or all traces are judged."""
    upto, count = state["upto"], len(state["chosen"])
    enough = state["estimated"] is None or state["decision"] != "approve" or bool(state["stopped"]) or upto >= count
    # A wave is full but for the last one, so where it begins follows from where it ends.
    return {"enough": enough, "upto": upto if enough else upto + WAVE}
