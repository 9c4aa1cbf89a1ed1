"""The traces of a finding: those of its segment in which its metric was bad, and sound ones to hold beside them."""

from __future__ import annotations

from hansei.contracts import parse_instant
from hansei.contracts.evaluation import OfFinding
from hansei.errors import UsageError
from hansei.tools.evaluation.choosing import Chosen
from hansei.tools.langfuse.dataset import Dataset
from hansei.tools.playbook.bad_traces import bad_and_sound
from hansei.tools.playbook.catalogue import detector_of
from hansei.tools.playbook.model import Candidate

SOUND = "sound"
"""Stratum of the traces that are judged for comparison. They stand for none: a share is of the bad ones alone."""


def choose_of_finding(
    dataset: Dataset, finding: OfFinding, count: int, *, sound: float, seed: int = 1
) -> tuple[list[Chosen], int]:
    """Draws traces of a finding in the window.

    Args:
        dataset: the data.
        finding: what was measured, and where.
        count: how many traces at most, sound ones included.
        sound: which share of `count` are sound traces of the same segment, 0 to 1.
        seed: another one draws others.

    Returns:
        The traces in the order in which they are to be judged, sound ones among the others, and how many bad ones there
        are in all.

    Raises:
        UsageError: there is no such metric or dimension.
    """
    try:
        candidate = Candidate(
            detector=detector_of(finding.metric)[0].name, metric=finding.metric, direction="regression",
            segment=finding.segment, comparison=finding.comparison, parameters=finding.parameters,
        )  # fmt: skip
        bad, others = bad_and_sound(dataset, candidate, finding.usual or 0.0, count, seed)
    except KeyError as unknown:
        raise UsageError(
            f"The finding cannot be looked up: {unknown.args[0]}.", "Take one of a newer report."
        ) from None
    population = int(bad[0]["of"]) if bad else 0
    others = others[: round(count * sound)]
    bad = bad[: count - len(others)]
    chosen = [
        (row["place"] / len(part), Chosen(
            str(row["id"]), parse_instant(str(row["at"])), str(row["environment"]), "" if part is bad else SOUND,
            population / len(bad) if part is bad else 0.0,
        ))
        for part in (bad, others) for row in part
    ]  # fmt: skip
    # Evenly among each other, so that both are there when judging ends early.
    return [one for _, one in sorted(chosen, key=lambda placed: placed[0])], population


def is_of_traces(metric: str) -> bool:
    """Whether a metric can be bad in a trace; traffic cannot."""
    return detector_of(metric)[1].shape != "count"
