"""What became of earlier findings: what the ledger knew of them, what a run measured again, and what a fix has done.

All of it but `Known` is computed from `Known` and the evidence beside it, so that `hansei verify` computes it again.
`Known` comes from earlier runs: it names the run and the hash of the answer that its figures were computed from.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from hansei.contracts.evidence import Evidence
from hansei.contracts.finding import Comparison, Direction, Estimate, Kind, Segment, Severity, Strict, Unit
from hansei.contracts.window import Window

LedgerState = Literal["new", "ongoing", "unclear", "fixed", "regressed"]
"""new: first seen in this window; ongoing: still there; unclear: it was there, and there was too little to tell; fixed:
back in its range, with traffic enough to tell; regressed: it was fixed, and is there again."""

SinceReason = Literal["found", "measured", "too_little", "between", "not_measured"]
"""Why a state: the run found it anew; its metric says so; too few rows; the interval allows for both; nobody asked."""

EffectVerdict = Literal["worked", "partly", "no_effect", "made_worse", "too_early"]


class Muted(Strict):
    """A finding that somebody has decided to live with."""

    reason: str
    until: datetime | None = Field(description="None: until it is unmuted.")


class Acted(Strict):
    """What was done about a finding, with what the effect will be measured on, fixed at that moment."""

    release: str | None = Field(None, description="It came with this release.")
    prompt_version: str | None = Field(None, description="It came with this version of the finding's prompt.")
    at: datetime | None = Field(
        None, description="It was done then. None: at the first trace of the release or version."
    )
    recorded_at: datetime
    metric: str
    segment: Segment = Field(description="The rows that are measured before and after.")
    parameters: dict[str, float] = Field(default_factory=dict)
    days: int = Field(description="Days before and after that are compared.")
    onset: datetime | None = Field(None, description="Days before it do not count as before: all was well then.")
    siblings: str | None = Field(description="Dimension whose other values are held against it. None: nothing is.")
    not_among: list[str] = Field(default_factory=list, description="Values that have a finding of this metric too.")


class Settled(Strict):
    """A verdict of an earlier run on a fix."""

    verdict: EffectVerdict
    run_id: str


class Known(Strict):
    """What the ledger knew of a finding before this run."""

    id: str = Field(description="The ledger's name of it: its fingerprint when it was first seen.")
    fingerprints: list[str] = Field(description="Of all its appearances, oldest first.")
    kind: Kind
    metric: str
    unit: Unit
    direction: Direction
    severity: Severity
    segment: Segment = Field(description="As it was last found.")
    comparison: Comparison
    parameters: dict[str, float]
    state: LedgerState
    since: datetime = Field(description="Its onset, or the start of the first window that had it.")
    first_run: str
    last_run: str = Field(description="The last run that measured it.")
    result_hash: str = Field(description="Of the last answer that it was measured by.")
    worst: Estimate = Field(description="As it was found when it came, or came back.")
    expected: Estimate | None = Field(description="What it was held against then. None: nothing, see Metric.bound.")
    last: Estimate = Field(description="As it was last measured.")
    cost: float = Field(0.0, description="US dollars that it has cost so far, as far as known.")
    traces: float = Field(0.0, description="Traces that it has hit so far, beyond what was expected.")
    counted_to: datetime = Field(description="End of the last window that is counted in cost and traces.")
    muted: Muted | None = None
    acted: Acted | None = None
    settled: Settled | None = None


class Effect(Strict):
    """What a fix has done: a difference in differences against siblings that it did not touch."""

    before: Window
    after: Window
    treated_before: Estimate
    treated_after: Estimate
    siblings: list[str] = Field(description="Values of the dimension in Acted.siblings that were held against it.")
    siblings_before: float | None = Field(description="Their pooled value. None: there are none.")
    siblings_after: float | None
    relative: bool = Field(description="Whether siblings are taken to change in proportion rather than by an amount.")
    effect: float = Field(description="Change that is the fix's, in `unit`; negative: less than without it.")
    unit: Unit = Field(description="Of the effect; a quantile's effect is on the share of rows above its threshold.")
    low: float
    high: float
    needed: float | None = Field(description="How much there was to remove, without sign.")
    verdict: EffectVerdict
    more_traces: int | None = Field(None, description="too_early: how many more are needed. None: no number helps.")


class SinceItem(Strict):
    """One finding of the ledger, after this run."""

    known: Known | None = Field(description="None: it is new.")
    id: str
    state: LedgerState
    reason: SinceReason
    finding_id: str | None = Field(description="Of this report's finding that it is. None: nothing stood out.")
    now: Estimate | None = Field(description="None: no row to measure.")
    measured_on: Segment = Field(default_factory=dict, description="The rows of `now`.")
    excess_traces: float | None = Field(None, description="Traces of the window beyond what was expected.")
    excess_cost: float | None = Field(None, description="US dollars of the window beyond what was expected.")
    age_days: float
    cost: float = Field(description="US dollars so far, this window included.")
    traces: float = Field(description="Traces so far, this window included.")
    muted: Muted | None = None
    effect: Effect | None = None
    evidence: list[Evidence] = Field(default_factory=list)


class Since(Strict):
    """What changed since the last run whose window ended earlier."""

    run_id: str
    window: Window
    items: list[SinceItem]
    not_measured: int = Field(0, description="Open findings that were left out, weakest first.")
