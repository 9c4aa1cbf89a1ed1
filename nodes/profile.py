"""profile: one pass over the window and the baseline, and the first screen of every detector that reads it."""

from __future__ import annotations

from typing import Any

from langgraph.runtime import Runtime
from typing_extensions import TypedDict

from hansei.context import Context
from hansei.nodes.scope import Scope, Screened, Steps, dataset_of
from hansei.tools.playbook.catalogue import DETECTORS
from hansei.tools.playbook.profile import read_profile


class ProfileInput(TypedDict):
    """The scope."""

    scope: Scope


class ProfileOutput(TypedDict):
    """What the first screen gave, by detector."""

    screened: dict[str, Screened]


def profile(state: ProfileInput, runtime: Runtime[Context]) -> dict[str, Any]:
    """Reads the cells and lets each detector look over all slices in memory."""
    steps = Steps(runtime, "profile", "Adding up every slice of the window and the baseline")
    read = read_profile(dataset_of(state["scope"], runtime))
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
    return {"screened": screened, "scope": scope}
