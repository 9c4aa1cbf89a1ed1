"""Made-up cells for the screen: parts of a project that fail and cost as they are told to, day by day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hansei.contracts import Segment
from hansei.tools.playbook.cells import Cells
from hansei.tools.playbook.expectation import Question
from hansei.tools.playbook.groupings import STEP_CONTEXTS, STEP_GROUPINGS
from hansei.tools.playbook.profile import STEP_DIMENSIONS
from hansei.tools.playbook.screen import Hit

SHARE = Question("n", "errors", STEP_CONTEXTS, STEP_GROUPINGS, min_x=50, min_effect=0.01, min_relative=0.5)
MEAN = Question("n", "cost", STEP_CONTEXTS, STEP_GROUPINGS, yy="cost2", min_x=50, min_relative=0.1)
ALWAYS = Question("n", "errors", [()], STEP_GROUPINGS, min_x=100, min_effect=0.05, min_relative=2.0)


@dataclass(frozen=True)
class Part:
    """One kind of call: where it happens, how often a day, how often it fails and what it costs."""

    trace_name: str
    type: str
    name: str
    calls: int = 200
    rate: float = 0.02
    cost: float = 1.0
    model: str = ""
    prompt: tuple[str, str] = ("", "")
    release: str = "1"
    environment: str = "production"


PARTS = (
    Part("support", "TOOL", "lookup"),
    Part("support", "TOOL", "refund"),
    Part("support", "GENERATION", "answer", model="large", prompt=("answer", "6"), cost=5.0),
    Part("research", "TOOL", "search"),
    Part("research", "TOOL", "lookup"),
    Part("research", "GENERATION", "write", model="large", prompt=("write", "2"), cost=9.0),
)

Days = Sequence[Sequence[Part]]
"""The parts that there are on each day; the last seven days are the window."""


def steady(*parts: Part) -> list[tuple[Part, ...]]:
    return [parts or PARTS] * 14


def changed(change: dict[str, Any], *, day: int = 0, parts: Sequence[Part] = PARTS, **where: str) -> Days:
    """The parts with those values, changed from that day of the window on."""
    after = [
        replace(part, **change) if all(getattr(part, key) == value for key, value in where.items()) else part
        for part in parts
    ]
    return [tuple(parts)] * (7 + day) + [tuple(after)] * (7 - day)


def cells_of(days: Days, seed: int = 1, *, shuffled: int | None = None) -> Cells:
    """Cells with binomial failures and gamma costs."""
    random = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    for day, parts in enumerate(days):
        for part in parts:
            costs = random.gamma(16.0, part.cost / 16.0, part.calls)
            rows.append(
                {
                    "day": day - 7, "trace_name": part.trace_name, "environment": part.environment,
                    "release": part.release, "version": "", "type": part.type, "name": part.name, "model": part.model,
                    "prompt_name": part.prompt[0], "prompt_version": part.prompt[1], "n": part.calls,
                    "errors": int(random.binomial(part.calls, part.rate)),
                    "cost": float(costs.sum()), "cost2": float((costs**2).sum()),
                }
            )  # fmt: skip
    if shuffled is not None:
        np.random.default_rng(shuffled).shuffle(rows)
    return Cells.read({key: [row[key] for row in rows] for key in rows[0]}, STEP_DIMENSIONS)


def segments(hits: Sequence[Hit]) -> list[Segment]:
    return [hit.segment for hit in hits]
