"""Which slices are looked at, and what counts as alike."""

from __future__ import annotations

from hansei.contracts import Comparison, Direction
from hansei.tools.playbook.cells import Cells
from hansei.tools.playbook.model import Candidate, Metric
from hansei.tools.playbook.reference import reference_for
from hansei.tools.playbook.screen import Hit

Units = tuple[tuple[str, ...], ...]

STEP_CONTEXTS: Units = (
    ("trace_name", "environment", "step", "model", "prompt", "release", "version"),
    ("trace_name", "environment", "step", "model", "prompt"),
    ("trace_name", "environment", "step", "model"),
    ("trace_name", "environment", "step"),
    ("trace_name", "step", "model"),
    ("trace_name", "step"),
    ("step",),
)
"""What a step is compared with in the baseline, finest first: itself in the same version, else without the version …"""

STEP_GROUPINGS: Units = (
    (),
    ("trace_name",), ("environment",), ("step",), ("release",), ("version",), ("model",), ("prompt",),
    ("step", "trace_name"), ("step", "environment"), ("step", "release"), ("step", "version"), ("step", "model"),
    ("prompt", "model"), ("prompt", "release"), ("prompt", "environment"),
    ("trace_name", "release"), ("trace_name", "environment"), ("model", "trace_name"), ("model", "release"),
    ("release", "environment"),
)  # fmt: skip

RUN_CONTEXTS: Units = (
    ("trace_name", "environment", "release", "version"),
    ("trace_name", "environment"),
    ("trace_name",),
)

RUN_GROUPINGS: Units = (
    (), ("trace_name",), ("environment",), ("release",), ("version",),
    ("trace_name", "environment"), ("trace_name", "release"), ("trace_name", "version"), ("release", "environment"),
)  # fmt: skip


def against_baseline(
    detector: str, metric: Metric, direction: Direction, cells: Cells, hits: list[Hit], x: str
) -> list[Candidate]:
    """Candidates that compare each hit with the baseline, or with what it took the place of."""
    return [
        Candidate(
            detector=detector,
            metric=metric.name,
            direction=direction,
            segment=hit.segment,
            comparison=reference_for(cells, hit, x),
            strength=round(hit.z, 2),
            apps=list(hit.apps),
        )
        for hit in hits
    ]


def against_rest(detector: str, metric: Metric, hits: list[Hit]) -> list[Candidate]:
    """Candidates that compare each hit with the rest of the window."""
    return [
        Candidate(
            detector=detector,
            metric=metric.name,
            direction="hotspot",
            segment=hit.segment,
            comparison=Comparison(against="rest_of_window", segment={}),
            strength=round(hit.z, 2),
            apps=list(hit.apps),
        )
        for hit in hits
        if hit.segment
    ]
