"""An evaluation: what traces are judged by, what was found in each, and what it comes to."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from typing import Any, Literal, Self

from pydantic import Field, computed_field, field_validator, model_validator

from hansei.contracts.calibration import Calibration, Unlabelled
from hansei.contracts.finding import Comparison, Estimate, Segment, Strict
from hansei.contracts.request import Request
from hansei.contracts.spent import Usage
from hansei.contracts.window import Window

CriterionKind = Literal["code", "judge", "pairwise"]
ValueType = Literal["boolean", "numeric", "categorical"]
PlanName = Literal["uniform", "stratified", "finding", "sequential"]

UNCALIBRATED = "uncalibrated"
"""Stands wherever a judge's rates are told that no labels of people were held against."""


class Example(Strict):
    """A trace that shows what a criterion means."""

    trace: str = Field(max_length=1_000, description="The trace's id.")
    verdict: str = Field(max_length=200, description="What it is by this criterion: pass, fail, or a category.")
    why: str = Field(max_length=1_000, description="Why, in one sentence.")


class Compared(Strict):
    """Two versions whose answers to the same input are held against each other."""

    dimension: Literal["release", "version", "environment", "prompt_version", "model"]
    first: str = Field(min_length=1, max_length=200)
    second: str = Field(min_length=1, max_length=200)
    prompt: str | None = Field(None, max_length=200, description="With prompt_version: the prompt's name.")


class Criterion(Strict):
    """One thing that traces are judged by. A boolean criterion is a way to go wrong: a trace passes when it is absent.

    Raises:
        pydantic.ValidationError: it cannot be judged.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 _.-]{0,79}$", description="Short, such as wrong_order_number.")
    kind: CriterionKind = Field(description="code: a check without a model; judge: a model reads the trace.")
    definition: str = Field(min_length=1, max_length=1_000, description="One sentence by which anyone could tell.")
    type: ValueType = Field("boolean", description="boolean: pass or fail; numeric: a number; categorical: a category.")
    check: str | None = Field(None, description="Of a code criterion: which check.")
    parameters: dict[str, Any] = Field(default_factory=dict, description="Of a check: its limits.")
    examples: list[Example] = Field(default_factory=list, max_length=6)
    categories: list[str] = Field(default_factory=list, max_length=20, description="Of a categorical criterion.")
    lowest: float | None = Field(None, description="Of a numeric criterion.")
    highest: float | None = Field(None, description="Of a numeric criterion.")
    compared: Compared | None = Field(None, description="Of a pairwise criterion: what is compared.")
    score: str | None = Field(
        None,
        max_length=200,
        description="The score's name in Langfuse. Default: no_<name> of a boolean criterion, else <name>.",
    )
    true_means: Literal["pass", "fail"] = Field("pass", description="What a true score says, ours and people's.")
    config_id: str | None = Field(None, description="The score config of Langfuse that it was taken from.")

    @model_validator(mode="before")
    @classmethod
    def _without_version(cls, data: Any) -> Any:
        """A version that stands in a file is for its readers: it always follows from the text."""
        return {key: value for key, value in data.items() if key != "version"} if isinstance(data, dict) else data

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.kind == "code") != (self.check is not None):
            raise ValueError("a criterion names a check if and only if its kind is code")
        if self.kind == "code" and self.type != "boolean":
            raise ValueError("a code criterion is boolean")
        if (self.kind == "pairwise") != (self.compared is not None):
            raise ValueError("a criterion says what is compared if and only if its kind is pairwise")
        if (self.type == "categorical") != (len(self.categories) > 1):
            raise ValueError("a categorical criterion needs two categories, and only it has any")
        if self.type == "numeric" and (self.lowest is None or self.highest is None or self.lowest >= self.highest):
            raise ValueError("a numeric criterion needs lowest and highest")
        return self

    @computed_field(description="Follows from everything that a verdict depends on: another text, another version.")  # type: ignore[prop-decorator]
    @property
    def version(self) -> str:
        judged = self.model_dump(exclude={"version", "score", "true_means", "config_id"})
        text = json.dumps(judged, sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @property
    def score_name(self) -> str:
        """The score's name in Langfuse."""
        is_sound = self.type == "boolean" and self.kind != "pairwise" and self.true_means == "pass"
        return self.score or (f"no_{self.name}" if is_sound else self.name)


class CriteriaFile(Strict):
    """What stands in a criteria.yaml."""

    criteria: list[Criterion] = Field(min_length=1, max_length=50)

    @field_validator("criteria")
    @classmethod
    def _names_differ(cls, criteria: list[Criterion]) -> list[Criterion]:
        names = [one.name for one in criteria]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two criteria are named {twice[0]}")
        return criteria


class OfFinding(Strict):
    """A finding of a report, as far as its traces follow from it."""

    id: str = Field(max_length=200)
    metric: str = Field(max_length=200)
    segment: Segment
    comparison: Comparison
    parameters: dict[str, float] = Field(default_factory=dict, description="Thresholds of the metric.")
    usual: float | None = Field(None, description="The reference's value: of an average, what is beyond it is bad.")


class EvaluationRequest(Request):
    """The input of the evaluation graph."""

    criteria: list[Criterion] = Field(
        default_factory=list, description="What to judge by. Default: all checks that need no model and no parameter."
    )
    from_langfuse: bool = Field(False, description="Judge by the project's score configs in Langfuse as well.")
    discover: bool = Field(False, description="Let the model find criteria in the traces; you approve them.")
    traces: int | None = Field(
        None, ge=1, le=100_000, description="How many traces at most. Default: 100 with a judge, else 2,000."
    )
    plan: PlanName = Field("uniform", description="How they are chosen: uniform, stratified, finding or sequential.")
    by: str = Field("trace_name", max_length=200, description="With stratified: the dimension that is divided by.")
    segment: Segment = Field(default_factory=dict, description="Only these traces: dimension → value.")
    finding: OfFinding | None = Field(
        None,
        description="With the plan finding: only traces of its segment in which its metric was bad, and sound ones.",
    )
    sound: float = Field(
        0.2, ge=0, le=0.5, description="With a finding: the share of the traces that are sound ones, for comparison."
    )
    feedback: str | None = Field(
        None,
        max_length=600,
        description="Users' feedback that counts as people's label: NAME, NAME>=NUMBER, NAME<=NUMBER or NAME=CATEGORY,…"
        " Default: annotations under the criterion's score name.",
    )
    half_width: float = Field(0.05, gt=0, lt=0.5, description="With sequential: stop when the interval is so narrow.")
    seed: int = Field(1, ge=0, description="Another one draws other traces.")
    approved: bool = Field(False, description="Whether the estimate needs no approval: the bounds on the cost hold.")
    run_id: str | None = Field(None, max_length=100, description="Go on with this run. Default: a new one.")
    dry_run: bool = Field(False, description="Estimate what judging would cost, and judge nothing.")


class Verdict(Strict):
    """What one trace is by one criterion."""

    trace_id: str
    observation_id: str | None = None
    against: str | None = Field(
        None, description="Of a pair that both orders agree on: the second trace; `trace_id` is the first."
    )
    criterion: str
    version: str = Field(description="The criterion's.")
    at: datetime | None = Field(
        None,
        exclude_if=lambda at: at is None,
        description="When the trace was; of a pair the later one. Only what a run has come to is kept with it.",
    )
    value: bool | float | str | None = Field(
        description="Boolean: true when it passes. None: unscored, for the reason in `unscored`; never a zero."
    )
    unscored: str = Field("", description="Why there is no value: not_applicable, unparseable, no_quote, …")
    judged_by: str = Field("", description="The model and the version of the prompt; empty: a check.")
    quote: str = Field("", description="Where in the trace it shows, as it was shown to the judge: masked.")
    reason: str = ""

    @model_validator(mode="after")
    def _one_or_the_other(self) -> Self:
        if (self.value is None) != bool(self.unscored):
            raise ValueError("a verdict has a value or says why not")
        return self


class Estimated(Strict):
    """What judging would take."""

    traces: int = Field(description="Traces that were chosen.")
    verdicts: int = Field(description="Verdicts of judges that are wanted.")
    known: int = Field(description="Of these, given before and kept.")
    usage: Usage = Field(description="Of the model, for the rest. Its dollars are 0 where prices are not known.")
    priced: bool = Field(description="Whether prices of tokens are known.")
    before: Usage = Field(default_factory=Usage, description="What was spent on the same run before.")
    within: bool = Field(
        description="Whether that is within the run's bounds on the model, with what was spent before."
    )


class CriteriaDecision(Strict):
    """The answer to the criteria that were found: they are used, or those given in their place, or none."""

    decision: Literal["approve", "edit", "reject"]
    criteria: list[Criterion] = Field(default_factory=list, description="With edit: all that are to be used.")

    @model_validator(mode="after")
    def _edited(self) -> Self:
        if bool(self.criteria) != (self.decision == "edit"):
            raise ValueError("criteria are given with the decision edit, and only with it")
        return self


class CostDecision(Strict):
    """The answer to the estimate."""

    decision: Literal["approve", "reject"]


class Pairwise(Strict):
    """Answers of two versions to the same inputs, each pair judged in both orders."""

    pairs: int
    first: int = Field(description="Pairs in which the first version is better in both orders.")
    second: int
    tie: int
    order_dependent: Estimate | None = Field(description="Share of the pairs whose answer changed with the order.")
    first_place: Estimate | None = Field(
        None, description="Share of the pairs in which the answer that was shown first was better in both orders."
    )
    second_place: Estimate | None = Field(None, description="The same of the answer that was shown second.")


class CriterionResult(Strict):
    """What one criterion comes to."""

    criterion: Criterion
    n: int = Field(description="Traces with a value.")
    failing: int = Field(0, description="Of a boolean criterion.")
    unscored: int = Field(description="Traces that should have a value and have none.")
    not_applicable: int = Field(0, description="Traces in which there is nothing to judge.")
    reasons: dict[str, int] = Field(default_factory=dict, description="Why traces are unscored, with counts.")
    rate: Estimate | None = Field(None, description="Failing share of the traces with a value, and its interval.")
    sound: Estimate | None = Field(
        None, description="With a finding: the failing share of sound traces of its segment. `rate` is of the bad ones."
    )
    mean: Estimate | None = Field(None, description="Of a numeric criterion.")
    shares: dict[str, Estimate] = Field(default_factory=dict, description="Of a categorical criterion.")
    pairwise: Pairwise | None = None
    calibration: Calibration | Literal["uncalibrated", "not needed"] = Field(
        description="How far the judge can be believed; uncalibrated without labels of people; code needs none."
    )
    usage: Usage = Field(default_factory=Usage, description="What the judge used of the model in this run.")
    kept: int = Field(0, description="Verdicts that were kept from an earlier run.")
    examples: list[Verdict] = Field(default_factory=list, description="Verdicts that fail, a few.")
    to_label: list[Unlabelled] = Field(default_factory=list, description="Of a judge: what people should label next.")


class EvaluationResult(Strict):
    """An evaluation: the whole of evaluation.json."""

    schema_version: str = "1.0"
    hansei_version: str
    run_id: str
    started_at: datetime
    project_id: str
    window: Window
    language: Literal["en", "ja"] = "en"
    model: str | None
    plan: PlanName
    population: int = Field(description="Traces that could have been chosen.")
    traces: int = Field(description="Traces that were judged.")
    results: list[CriterionResult]
    estimated: Estimated | None = None
    usage: Usage = Field(default_factory=Usage)
    before: Usage = Field(
        default_factory=Usage, description="What was spent on the same run before: the bounds count it as well."
    )
    stopped: str = Field("", description="Why judging ended before its plan did; empty: it did not.")
    notes: list[str] = Field(default_factory=list)
