"""weigh: looks after each wave of judges whether to go on, and with which traces."""

from __future__ import annotations

from typing import Any

from langgraph.runtime import Runtime

from hansei.context import Context
from hansei.nodes.evaluating import WAVE, Evaluating, criteria_of, request_of, store_of
from hansei.nodes.scope import context_of
from hansei.tools.evaluation.sequential import narrow_enough


class WeighInput(Evaluating):
    """And how far judging has come."""

    upto: int
    decision: str
    stopped: str
    estimated: dict[str, Any] | None
    judged: dict[str, bool]
    population: int


def weigh(state: WeighInput, runtime: Runtime[Context]) -> dict[str, Any]:
    """Enough: no judges, nobody approved of their cost, the model cannot be asked, or all traces are judged.

    With the sequential plan also: the interval of every judge's failing share is narrow enough. It is one that holds
    at all times at once, so that looking at it again and again does not make it wrong.
    """
    upto, count = state["upto"], len(state["chosen"])
    enough = state["estimated"] is None or state["decision"] != "approve" or bool(state["stopped"]) or upto >= count
    if not enough and upto and request_of(state).plan == "sequential" and _narrow(state, context_of(runtime)):
        return {"enough": True, "chosen": state["chosen"][:upto]}
    # A wave is full but for the last one, so where it begins follows from where it ends.
    return {"enough": enough, "upto": upto if enough else upto + WAVE}


def _narrow(state: WeighInput, context: Context) -> bool:
    counted = {one.name: [0, 0] for one in criteria_of(state) if one.kind == "judge" and one.type == "boolean"}
    alike = {one["id"] for one in state["chosen"] if one["weight"] > 0}
    for verdict in store_of(context).find(list(state["judged"])).values():
        if verdict.criterion in counted and verdict.value is not None and verdict.trace_id in alike:
            counted[verdict.criterion][0] += verdict.value is False
            counted[verdict.criterion][1] += 1
    width, population = request_of(state).half_width, state["population"]
    return bool(counted) and all(narrow_enough(found, n, width, population) for found, n in counted.values())
