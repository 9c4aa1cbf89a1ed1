"""profile: one pass over the window and the baseline, and the first screen of every detector that reads it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from langgraph.runtime import Runtime
from typing_extensions import TypedDict

from hansei.context import Context
from hansei.errors import BudgetExceeded
from hansei.nodes.scope import Costs, Scope, Screened, Steps, bill, copy_of, dataset_of, observations_of
from hansei.tools.at_once import together
from hansei.tools.playbook.attributes import read_cohorts
from hansei.tools.playbook.catalogue import DETECTORS
from hansei.tools.playbook.profile import SETTLE, read_profile


class ProfileInput(TypedDict):
    """The scope."""

    scope: Scope
    costs: Costs


class ProfileOutput(TypedDict):
    """What the first screen gave, by detector."""

    screened: dict[str, Screened]
    costs: Costs


def profile(state: ProfileInput, runtime: Runtime[Context]) -> dict[str, Any]:
    """Reads the cells and lets each detector look over all slices in memory.

    Where the run's budget does not allow that, these detectors are skipped, and say so.
    """
    steps = Steps(runtime, "profile", "Adding up every slice of the window and the baseline")
    dataset = copy_of(dataset_of(state["scope"], runtime, state["costs"]), state["scope"])
    observations = observations_of(state["scope"])
    try:
        # What takes longest begins first.
        cohorts, read = together(
            partial(read_cohorts, dataset, observations, SETTLE), partial(read_profile, dataset, observations)
        )
        read = replace(read, cohorts=cohorts, notes=(*read.notes, *([cohorts.note] if cohorts.note else [])))
    except BudgetExceeded as error:
        steps.failed(error.message)
        return {"screened": _skipped(error.message), "costs": bill("profile", dataset.reader)}
    screened: dict[str, Screened] = {}
    for detector in DETECTORS:
        if detector.screen_profile is None:
            continue
        result = detector.screen_profile(read)
        screened[detector.name] = {
            "status": result.status,
            "reason": result.reason,
            "slices": result.slices,
            "candidates": [candidate.model_dump() for candidate in result.candidates],
        }
    slices = sum(entry["slices"] for entry in screened.values())
    found = sum(len(entry["candidates"]) for entry in screened.values())
    steps.finished(f"{slices:,} slices compared, {found} passed the first screen", None)
    scope: Scope = {**state["scope"], "notes": [*state["scope"]["notes"], *read.notes]}
    return {"screened": screened, "scope": scope, "costs": bill("profile", dataset.reader)}


def _skipped(reason: str) -> dict[str, Screened]:
    return {
        detector.name: {"status": "skipped", "reason": reason, "slices": 0, "candidates": []}
        for detector in DETECTORS
        if detector.screen_profile is not None
    }
