"""The truth beside the sample data: exact totals, what is broken and where, and what only looks broken."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from hansei.contracts import Count, Direction, Figure, Kind, Segment, Unit, Window


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Measured(_Strict):
    """A figure counted while the data was made.

    `value` is events / n for a rate, the arithmetic mean, the exact 95th percentile (interpolated linearly, as
    ClickHouse's quantileExactInclusive does), or traces per day; None when n is 0.
    """

    value: float | None
    n: int = Field(description="Calls, scores or traces that the value is taken over; days for traces per day.")
    events: int | None = Field(None, description="Of a rate: how many of the n; of traces per day: the traces.")


class Change(_Strict):
    """One figure of a planted problem, per span of time."""

    metric: str
    unit: Unit
    window: Measured
    baseline: Measured
    since_onset: Measured | None = Field(None, description="From the onset to the end of the window.")


def is_within(segment: Segment, place: Segment) -> bool:
    """Whether a segment lies within a place: it has all its values. Within the whole project lies only the project."""
    return place.items() <= segment.items() if place else not segment


class Place(_Strict):
    """A kind of finding at a segment. None as kind: any kind."""

    kind: Kind | None
    segment: Segment

    def holds(self, kind: Kind, segment: Segment) -> bool:
        """Whether a finding of that kind at that segment is meant."""
        return self.kind in (None, kind) and is_within(segment, self.segment)


class Planted(_Strict):
    """A problem that is really in the data, and that an analysis should name."""

    id: str
    kinds: list[Kind] = Field(description="Kinds under which it may be reported, the best one first.")
    direction: Direction
    segment: Segment = Field(description="The narrowest combination that explains it.")
    accepted_segments: list[Segment] = Field(description="Other true names of the same place.")
    onset: datetime | None = Field(description="When it began; None: before the baseline.")
    cause: str
    changes: list[Change] = Field(description="The figures; the first is the headline.")
    compared_with: Segment | None = Field(None, description="When another segment serves as reference, that one.")
    reference: list[Change] = Field(default_factory=list, description="The same figures of `compared_with`.")
    echoes: list[Place] = Field(default_factory=list, description="True consequences: no false alarms, but no causes.")
    visible_from_traces: int = Field(description="Size of the data set from which the statistics allow to see it.")

    def is_named_by(self, kind: Kind, direction: Direction, segment: Segment) -> bool:
        """Whether a finding names this problem: one of its kinds, its direction, within one of its true segments."""
        places = [self.segment, *self.accepted_segments]
        return kind in self.kinds and direction == self.direction and any(is_within(segment, one) for one in places)


class Trap(_Strict):
    """Something that must not become a finding."""

    id: str
    description: str
    rows: int = Field(description="Traces, observations or scores that make it up.")
    segments: list[Segment] = Field(default_factory=list, description="Where a naive analysis would place it.")
    texts: list[str] = Field(default_factory=list, description="Texts that must not be obeyed, rendered or leaked.")
    tolerated: list[Place] = Field(default_factory=list, description="What would be true to say about it.")


class TrueCoverage(_Strict):
    """Totals after row versions, deletions, other projects and Langfuse's own environments are out.

    A trace counts in the span that its timestamp falls into, an observation by its start, a score by its timestamp; the
    start of a span is inside, its end is not. A synthetic root span of v4 is no observation.
    """

    traces: Count
    observations: Count
    scores: Count
    total_cost: Figure
    errors: Count


Ruling = Literal["planted", "echo", "tolerated", "false_alarm"]


class Truth(_Strict):
    """What is known about a generated data set."""

    seed: int
    project_id: str
    base_time: datetime = Field(description="End of the data.")
    window: Window
    baseline: Window
    traces: int = Field(description="The project's traces over all four weeks, after exclusions.")
    observations: int = Field(description="Likewise its observations.")
    scores: int = Field(description="Likewise its scores.")
    coverage: TrueCoverage
    planted: list[Planted]
    traps: list[Trap]

    def find(self, planted_id: str) -> Planted:
        """The planted problem of that id.

        Raises:
            KeyError: when there is none.
        """
        for planted in self.planted:
            if planted.id == planted_id:
                return planted
        raise KeyError(planted_id)

    def rule(self, kind: Kind, direction: Direction, segment: Segment) -> tuple[Ruling, str | None]:
        """Judges a finding: does it name a planted problem, an echo of one, a tolerated truth, or nothing real?

        Returns:
            The ruling, and the id of the planted problem or trap that it rests on (None for a false alarm).
        """
        for planted in self.planted:
            if planted.is_named_by(kind, direction, segment):
                return "planted", planted.id
        for planted in self.planted:
            if any(echo.holds(kind, segment) for echo in planted.echoes):
                return "echo", planted.id
        for trap in self.traps:
            if any(place.holds(kind, segment) for place in trap.tolerated):
                return "tolerated", trap.id
        return "false_alarm", None

    def write(self, path: Path | str) -> None:
        """Writes the truth as JSON, in one step."""
        target = Path(path)
        draft = target.with_name(f".{target.name}.{os.getpid()}")
        draft.write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")
        draft.replace(target)
