"""A finding: what changed or stands out, where, since when, how sure, what it costs, what to do, and the proof."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from hansei.contracts.evidence import Evidence

Kind = Literal[
    "error", "latency", "first_token_latency", "cost", "token_usage", "cache", "quality", "loop", "silent_failure",
    "truncation", "runaway", "empty_retrieval", "unfinished", "traffic", "judge_disagreement", "instrumentation_gap",
]  # fmt: skip
Direction = Literal["regression", "improvement", "hotspot"]
Severity = Literal["critical", "high", "medium", "low"]
Verdict = Literal["confirmed", "refuted", "not_measurable"]
Unit = Literal["ratio", "s", "usd", "tokens", "score", "traces/day", "steps"]

SEVERITIES: tuple[Severity, ...] = ("critical", "high", "medium", "low")
"""Worst first."""

DIMENSIONS: tuple[str, ...] = (
    "trace_name", "observation_name", "observation_type", "model", "prompt_name", "prompt_version", "release",
    "version", "environment", "tag", "user_id", "session_id", "tool_name", "status_message", "score_name", "language",
    "hour_of_day", "score_category",
)  # fmt: skip
"""Keys that a segment may have, besides ``metadata.<key>``.

`hour_of_day` is a span of hours in UTC such as ``02:00-04:00``, its end left out; it may go over midnight. A tag and
metadata are those of the trace (metadata also the observation's own).
`score_category` chooses no rows: its share among the scores is what is measured.
"""

Segment = dict[str, str]
"""Dimension → value: the rows that a finding is about. Empty: the whole project."""


class Strict(BaseModel):
    """Base of the report's parts: unknown fields are refused, and a field is dumped under its published name."""

    model_config = ConfigDict(extra="forbid", serialize_by_alias=True, validate_by_name=True, validate_by_alias=True)


class Estimate(Strict):
    """A measured value with its 95 % interval.

    `n` counts what the value is a rate or an average of (calls, traces, scores; days for traffic). The interval allows
    for calls of one trace being alike, and for days differing more than chance lets them.
    """

    value: float
    n: int
    low: float
    high: float


class Check(Strict):
    """One thing that the critic looked into. `passed` is None when it could not be looked into."""

    name: str
    passed: bool | None
    detail: str


class Impact(Strict):
    """What it costs. None means: not known, or does not apply; it never means zero.

    For a regression the numbers are attributable: what is there beyond what the baseline would have led to expect.
    """

    affected_traces: int | None = Field(None, description="Traces of the window in which it happened.")
    affected_users: int | None = Field(None, description="Distinct users of those traces.")
    excess_traces: float | None = Field(None, description="Affected traces beyond what the reference predicts.")
    share_of_traces: float | None = Field(None, description="excess_traces / all traces of the window, 0 to 1.")
    share_of_cost: float | None = Field(None, description="Extra money / all money of the window, 0 to 1.")
    cost_per_week: float | None = Field(None, description="Extra US dollars a week.")
    hours_per_week: float | None = Field(None, description="Extra hours of waiting a week.")


class Gain(Strict):
    """What putting it right is expected to bring, with its 95 % interval: more is better."""

    value: float
    low: float
    high: float
    unit: Literal["usd", "tokens", "s", "ratio", "score", "steps", "count"] = Field(
        description="count: a number of what `counted` says."
    )
    per: Literal["week", "row"] = Field(
        description="week: of traffic like the window's. row: of what the metric is measured over, such as a call."
    )
    counted: str = Field("", description="What the rows are: calls, traces, scores, model calls, …")


class Comparison(Strict):
    """What the current value is held against."""

    against: Literal["baseline", "rest_of_window"]
    segment: Segment = Field(
        description="The rows of the reference. Differs from the finding's segment when that did not exist before: "
        "version 7 of a prompt is compared with the prompt's earlier versions."
    )


class Echo(Strict):
    """Another change that this finding explains, folded into it."""

    kind: Kind
    metric: str
    unit: Unit
    segment: Segment
    current: float
    baseline: float | None


class TextChange(Strict):
    """A change of a text that stood in a trace, proposed by a model and made by nobody.

    It applies to the text as the model was shown it: what was masked or cut off there is so in the diff.
    """

    target: Literal["prompt", "tool"] = Field(description="A prompt's text, or a tool's definition as indented JSON.")
    name: str = Field(description="Of the prompt, of the step that was told it, or of the tool.")
    trace_id: str
    observation_id: str = Field(description="The model call whose input holds the text.")
    diff: str = Field(description="Unified diff.")


class Wording(Strict):
    """A finding in a model's words, beside those of the rules. Each sentence was held against the evidence."""

    cause: str | None = None
    recommendation: str | None = None
    change: TextChange | None = None


class Finding(Strict):
    """One finding. All its numbers are computed from its `evidence` by published functions, nothing is typed in."""

    id: str = Field(description="Stable fingerprint of kind, metric, direction and segment.")
    kind: Kind
    direction: Direction
    severity: Severity
    title: str
    summary: str
    cause: str | None
    recommendation: str
    segment: Segment
    metric: str
    unit: Unit
    current: Estimate
    baseline: Estimate | None = Field(description="The reference, see comparison.")
    effect: float | None = Field(description="current.value minus baseline.value, in the unit of the metric.")
    p_value: float | None
    q_value: float | None = Field(
        description="Benjamini-Hochberg over every slice that the run looked at, weighed by detector."
    )
    impact: Impact
    verdict: Verdict
    checks: list[Check]
    evidence: list[Evidence]
    example_trace_ids: list[str]
    trace_urls: list[str]
    # Beyond the first contract:
    comparison: Comparison
    onset: datetime | None = Field(description="Start of the first day (24 hours) of the change, UTC.")
    onset_hour: datetime | None = Field(
        None,
        exclude_if=lambda hour: hour is None,
        description="Start of the first hour of the change, UTC. Absent: the hours do not tell it.",
    )
    parameters: dict[str, float] = Field(
        default_factory=dict, description="Thresholds of the metric, such as the seconds that count as slow."
    )
    echoes: list[Echo] = Field(default_factory=list)
    gain: Gain | None = Field(
        None, description="What the recommendation is expected to bring. None: not known, or it got better already."
    )
    worded: Wording | None = Field(
        None, exclude_if=lambda worded: worded is None, description="Absent: no model told it."
    )
