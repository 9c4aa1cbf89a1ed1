"""What a report tells of the project beside its findings: its health, how its steps run, what was new, example traces.

Like findings, these are computed from the answers of the queries that stand beside them, and `hansei verify` computes
them again. Example traces are the exception: their texts are quoted from the data, and sealed.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from hansei.contracts.evidence import Evidence
from hansei.contracts.finding import Estimate, Segment, Strict, Unit


class DayValue(Strict):
    """A value over the 24 hours from `start` (UTC); None: nothing to measure on that day."""

    start: datetime
    value: float | None


class HeldAgainstPeople(Strict):
    """An evaluator's values of a score, held against people's annotations of the same name on the same traces."""

    labels: int = Field(description="Traces that both scored.")
    tpr: Estimate | None = Field(None, description="Of yes or no: share of what people call bad that it does, too.")
    tnr: Estimate | None = Field(None, description="Of yes or no: share of what people call good that it does, too.")
    correlation: Estimate | None = Field(None, description="Of numbers: Pearson's.")


class Sign(Strict):
    """One vital sign of the project."""

    name: Literal["traces", "failing_traces", "latency_median", "latency_tail", "cost_per_trace", "score"]
    subject: str = Field("", description="Of a score its name.")
    unit: Unit
    worse: Literal[1, 0, -1] = Field(description="1: more is worse; -1: less is worse; 0: neither.")
    window: Estimate | None = Field(description="None: not measured.")
    baseline: Estimate | None
    days: list[DayValue] = Field(
        description="Day by day, the baseline's first, oldest first; of each period its last 200 days."
    )
    of_evaluators: float = Field(
        0.0,
        exclude_if=lambda share: not share,
        description="Of a score: the share of its values that evaluators gave, Langfuse's or Hansei's, not people.",
    )
    believed: HeldAgainstPeople | None = Field(
        None,
        exclude_if=lambda held: held is None,
        description="Of a score that evaluators gave: how far they can be believed. Absent: uncalibrated.",
    )


class Change(Strict):
    """Something that the traces had not had before: a release, a model, a version of a prompt, a tool's definition."""

    segment: Segment = Field(description="What is new, and where: its trace name or observation name.")
    definition: str = Field(
        "",
        exclude_if=lambda hash: not hash,
        description="Of a tool whose definition is new: its hash. The segment names the step that is offered the tool.",
    )
    first_seen: datetime
    share: float = Field(description="Its share of the window's traces or calls in that place.")


class Health(Strict):
    """The project's vital signs, window against baseline, and what was new."""

    signs: list[Sign]
    changes: list[Change] = Field(description="What was new within the window and the baseline, oldest first.")
    evidence: list[Evidence]


class Passes(Strict):
    """How often a step was taken in a period, how often it failed, and how long it took."""

    count: int
    errors: int = 0
    seconds: float | None = Field(None, description="Median; None: no call ended.")


class Step(Strict):
    """One kind of step: the observations of one name that have no observation below them."""

    name: str
    window: Passes
    baseline: Passes


class Transition(Strict):
    """How often one step followed another within a trace, by their starts. Empty names: the trace's begin and end."""

    source: str
    target: str
    window: int
    baseline: int


class Flow(Strict):
    """How the traces of one name ran."""

    trace_name: str
    window: int = Field(description="Traces.")
    baseline: int
    steps: list[Step] = Field(description="Most frequent first.")
    transitions: list[Transition]


class Flows(Strict):
    """How the application's steps ran, for the trace names with most traces."""

    days: list[datetime] = Field(
        default_factory=list,
        description="Only the 24 hours from these times were counted, one day of each period; empty: all.",
    )
    flows: list[Flow]
    evidence: list[Evidence]


class ExcerptLine(Strict):
    """One line of an excerpt: about the trace, a step, a text of the step above, or steps that were left out."""

    kind: Literal["trace", "step", "text", "gap"]
    text: str
    depth: int = 0
    failing: bool = Field(False, description="Whether it belongs to the step in which the trace first went wrong.")


class Excerpt(Strict):
    """A few lines of an example trace, quoted from the data with secrets masked."""

    trace_id: str
    lines: list[ExcerptLine]
