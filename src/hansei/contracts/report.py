"""The report: the contract between Hansei and everyone who reads its results."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from hansei.contracts.calibration import Numeric
from hansei.contracts.evaluation import Compared, Pairwise
from hansei.contracts.evidence import Evidence
from hansei.contracts.finding import Estimate, Finding, Strict
from hansei.contracts.investigation import Investigation
from hansei.contracts.overview import Excerpt, Flows, Health
from hansei.contracts.since import Since
from hansei.contracts.spent import Spent, Usage
from hansei.contracts.window import Window

SCHEMA_VERSION = "1.0"


class Figure(Strict):
    """A total for the window and for the baseline."""

    window: float
    baseline: float


class Count(Strict):
    """A count for the window and for the baseline."""

    window: int
    baseline: int


class DetectorStatus(Strict):
    """What a detector did in this run."""

    name: str
    status: Literal["ran", "partial", "skipped"]
    reason: str
    slices: int = Field(0, description="Slices that it compared.")


class Coverage(Strict):
    """What was looked at, and what was not.

    Counts are taken after row versions, deletions, other projects, experiments and Langfuse-internal environments are
    out.
    """

    langfuse_schema: Literal["v3", "v4"] = Field(alias="schema")
    traces: Count
    observations: Count
    scores: Count
    total_cost: Figure = Field(description="US dollars.")
    errors: Count = Field(description="Observations at level ERROR.")
    detectors: list[DetectorStatus]
    missing: list[str] = Field(description="What the data lacks, one sentence each.")
    notes: list[str] = Field(description="What the reader should know about the data, one sentence each.")
    evidence: list[Evidence] = Field(default_factory=list, description="The queries behind the figures.")


class Run(Strict):
    """How the report came about."""

    id: str
    started_at: datetime
    seconds: float
    model: str | None = Field(description="None: rules only.")
    tokens: int
    cost: float = Field(description="US dollars spent on the model.")
    langfuse_trace_url: str | None
    queries: int = 0
    rows_read: int = Field(
        0, description="Sum over the evidence, where copies count as in Evidence; `spent` counts making them, too."
    )
    spent: Spent = Field(default_factory=Spent)
    usage: dict[str, Usage] = Field(
        default_factory=dict,
        exclude_if=lambda usage: not usage,
        description="Node → what it used of the model. Absent: no model was asked, or an older Hansei wrote this.",
    )


class Screening(Strict):
    """How much was looked at, for the bound on false alarms."""

    slices: int = Field(description="Slices that were compared over all detectors.")
    p_values: list[float] = Field(description="Of the candidates that passed the screen; every other slice counts 1.")
    false_discovery_rate: float = Field(description="Bound on the share of false alarms among the findings.")


class PlanItem(Strict):
    """One thing that the planner decided to look into."""

    id: str
    detector: str
    question: str
    reason: str


class Judgement(Strict):
    """What traces of the window come to by one criterion of an evaluation, with how far its judge can be believed.

    It is taken from the evaluation that was made beside the report, and not asked again by verify.
    """

    criterion: str
    definition: str
    kind: Literal["code", "judge", "pairwise"] = Field(description="code: a check without a model.")
    n: int | None = Field(None, description="Traces, or pairs, with a value. None: an older Hansei wrote this.")
    failing: Estimate | None = Field(description="Share of the judged traces. None: none was judged as pass or fail.")
    mean: Estimate | None = Field(None, description="Of a judge of numbers.")
    shares: dict[str, Estimate] = Field(default_factory=dict, description="Of a judge of categories.")
    compared: Compared | None = Field(None, description="Of a judge of pairs: the two versions.")
    pairwise: Pairwise | None = Field(None, description="Of a judge of pairs: which version is better how often.")
    unscored: int = Field(description="Traces that should have a verdict and have none.")
    calibration: Literal["not_needed", "uncalibrated", "calibrated"]
    labels: int = Field(0, description="Traces that people and the judge have judged.")
    tpr: Estimate | None = Field(None, description="Share of the failures that people see which the judge finds.")
    tnr: Estimate | None = Field(None, description="Share of the traces sound to people which the judge lets pass.")
    corrected: Estimate | None = Field(None, description="The failing share, corrected for the judge's errors.")
    agreement: Estimate | None = Field(None, description="Of a judge of categories or pairs: with people's labels.")
    kappa: Estimate | None = Field(None, description="Cohen's kappa of the same.")
    numeric: Numeric | None = Field(None, description="A judge's numbers, held against people's.")
    drifts: list[Literal["week", "version", "judged_by"]] = Field(
        default_factory=list, description="By what its agreement with people differs more than chance lets it."
    )


class Report(Strict):
    """The whole result of a run; `report.json` is its dump."""

    schema_version: str = SCHEMA_VERSION
    hansei_version: str
    run: Run
    project_id: str
    window: Window
    baseline: Window
    language: Literal["en", "ja"]
    question: str | None = None
    headline: str = Field("", description="The verdict in one or two sentences.")
    summary: str | None = Field(
        None,
        exclude_if=lambda summary: summary is None,
        description="In a model's words, each sentence held against the findings. Absent: no model summed up.",
    )
    coverage: Coverage
    screening: Screening
    findings: list[Finding] = Field(description="Confirmed only, most important first.")
    refuted: list[Finding] = Field(description="What looked like a finding and is none, or cannot be measured.")
    investigations: list[Investigation] = Field(
        default_factory=list,
        exclude_if=lambda found: not found,
        description="What a language model looked into; it is not there without one.",
    )
    judgements: list[Judgement] = Field(
        default_factory=list,
        exclude_if=lambda found: not found,
        description="What an evaluation of the same window came to. Absent: none was made with the report.",
    )
    plan: list[PlanItem]
    follow_ups: list[str]
    health: Health | None = Field(None, description="None: it could not be measured, or an older Hansei wrote this.")
    flows: Flows | None = None
    excerpts: list[Excerpt] = Field(default_factory=list, description="Of the findings' example traces.")
    since_last: Since | None = Field(
        None,
        exclude_if=lambda since: since is None,
        description="What became of earlier findings. Absent: no ledger is kept, or this is its first run.",
    )
    seals: dict[str, str] = Field(
        default_factory=dict,
        description="Per part of the report a checksum of each of its values: verify names what was edited later.",
    )
