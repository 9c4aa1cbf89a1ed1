"""The words of the playbook: what a metric is, what a candidate is, and what a detector does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

from pydantic import Field

from hansei.contracts import Comparison, Direction, Evidence, Finding, Kind, Segment, Severity, Unit
from hansei.contracts.finding import Strict
from hansei.tools.langfuse.dataset import Dataset

Relation = Literal["observations", "traces", "scores"]
Shape = Literal["share", "mean", "quantile", "count"]


@dataclass(frozen=True)
class Metric:
    """How one number is computed from rows of a logical relation: sum(y) / sum(x) over the rows of a segment.

    `x` and `y` are SQL expressions of one row with integer results, so that their sums are exact and the same on every
    run; `y` counts in 1 / `scale` of the metric's unit. A quantile metric gives the quantile at `level` of `amount`
    (milliseconds); its y tells whether a row exceeds the parameter ``slow_ms``.
    """

    name: str
    kind: Kind
    unit: Unit
    shape: Shape
    relation: Relation
    y: str
    x: str = "1"
    where: str = "1"
    scale: float = 1.0
    amount: str = ""
    level: float = 0.95
    source: str = ""
    """SELECT over `relation` (with the columns of its trace) whose rows take the relation's place, keeping its columns'
    names; for what must first be added up within a trace."""
    totals: bool = False
    """Whether the expressions use the sums over a trace's observations."""
    looks_up: tuple[Relation, ...] = ()
    """Other relations that the expressions look rows up in."""
    badness: str = ""
    """SQL of one row: how far it goes, where y only tells whether: a whole number, such as of steps."""
    worse: Literal[1, -1] = 1
    """1: more is worse; -1: less is worse."""
    judged: bool = True
    """Whether one of its directions is for the worse at all; if not, there is nothing to gain."""
    min_n: int = 30
    """Fewest x on the window's side for anything to be said."""
    min_effect: float = 0.0
    """Smallest difference, in the unit, that matters to a person."""
    min_relative: float = 0.0
    """Smallest difference relative to the reference that matters to a person."""
    per: str = ""
    """What it is a rate of: “calls”."""
    bound: float | None = None
    """A share from which it is a finding by itself, without a reference: what is missing is counted, not inferred."""
    worst: Severity = "critical"
    """The worst severity that its findings can have."""
    again: str = ""
    """The value once more, as the critic writes it: one SQL aggregate over the rows of the raw relation."""
    again_from: str = ""
    """SELECT over a raw relation that takes its place, for what must be worked out or added up first; its
    rows keep the columns that segments and times need."""
    again_where: str = "1"


class Candidate(Strict):
    """A slice that passed the screen: it will be measured, and then doubted."""

    detector: str
    metric: str
    direction: Direction
    segment: Segment
    comparison: Comparison
    parameters: dict[str, float] = Field(default_factory=dict)
    strength: float = Field(0.0, description="Screen statistic, in standard errors; only for ordering.")
    apps: list[str] = Field(default_factory=list, description="Apps in which it has rows; empty: not known.")
    suspicion: Literal["", "mix_shift"] = Field("", description="Why the critic should look twice.")


@dataclass(frozen=True)
class Screening:
    """What a detector's look over all slices gave."""

    candidates: list[Candidate]
    slices: int
    """How many slices were compared; each counts for the bound on false alarms."""
    status: Literal["ran", "partial", "skipped"] = "ran"
    reason: str = ""

    def noted(self, left_out: str) -> Screening:
        """The same, partial if something was left out."""
        return replace(self, status="partial", reason=left_out) if left_out else self

    @classmethod
    def nothing(cls, reason: str) -> Screening:
        """A detector that the data gives nothing to look at."""
        return cls([], 0, "skipped", reason)

    @classmethod
    def of(cls, candidates: list[Candidate], slices: int, has_baseline: bool) -> Screening:
        """A complete look, or a partial one when there was no baseline to compare with."""
        if has_baseline:
            return cls(candidates, slices)
        return cls(candidates, slices, "partial", "there is no baseline, so it compared only inside the window")


Detail = Callable[[Dataset, Candidate, str], Evidence]
"""(dataset, candidate, evidence id) → the query that tells why: messages, repeated inputs, kinds of tokens."""


@dataclass(frozen=True)
class Words:
    """A finding in words, made from its numbers alone."""

    title: str
    summary: str
    cause: str | None
    recommendation: str


@dataclass(frozen=True)
class Detector:
    """One kind of finding: what it measures, where it looks first, and how its findings are told.

    A detector that reads the profile has `screen_profile`; one with a query of its own has `screen_data`.
    """

    name: str
    question: str
    metrics: tuple[Metric, ...]
    tell: Callable[[Finding], Words]
    screen_profile: Callable[..., Screening] | None = None
    screen_data: Callable[[Dataset], Screening] | None = None
    detail: Detail | None = None
    parameters: dict[str, str] = field(default_factory=dict)
    """Parameter → what it means, for the documentation."""

    def metric(self, name: str) -> Metric:
        """The metric of that name.

        Raises:
            KeyError: when the detector has none.
        """
        return {metric.name: metric for metric in self.metrics}[name]
