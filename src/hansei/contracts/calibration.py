"""A judge of an evaluation held against people: rates with intervals, drift, disagreements, what to label next."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from hansei.contracts.finding import Estimate, Strict


class Disagreement(Strict):
    """A trace that the judge and people see differently, for somebody to look at."""

    trace_id: str
    people: str = Field(description="What people say: pass or fail; a category; a number.")


class GroupOfLabels(Strict):
    """Labels of one week, version or model."""

    name: str
    agreement: Estimate = Field(description="How often judge and people agree.")


class DriftOfJudge(Strict):
    """Whether a judge agrees with people as well in one group as in the others."""

    by: Literal["week", "version", "judged_by"]
    groups: list[GroupOfLabels]
    p: float = Field(description="How likely groups that agree alike would differ as much by chance.")


class Unlabelled(Strict):
    """A trace that people should label next."""

    trace_id: str
    verdict: str = Field(description="The judge's: pass or fail; a category; a number; of a pair first, second or tie.")
    why: Literal["drawn", "unlikely"] = Field(
        description="drawn: by chance, the rates are measured on it; unlikely: the other verdicts speak against it."
    )
    against: str | None = Field(
        None, description="Of a pair: its other trace. The judge is held against people when both have a label."
    )


class CategoryRates(Strict):
    """One category of a judge, held against people's labels."""

    name: str
    people: int = Field(description="Test labels with it.")
    tpr: Estimate | None = Field(description="Share of these that the judge gives it, too. None: there are none.")
    tnr: Estimate | None = Field(description="Share of the other test labels' traces that the judge does not give it.")


class Numeric(Strict):
    """A judge's numbers, held against people's on the same traces."""

    spearman: Estimate | None = Field(description="Rank correlation. None: either gave one number only.")
    within: Estimate = Field(description="Share of traces on which they are no further apart than `tolerance`.")
    tolerance: float
    bias: Estimate = Field(description="How much more the judge gives than people do, on average.")


class Calibration(Strict):
    """A judge held against people's labels: of traces, or, of a judge of pairs, their preferences."""

    labels: int = Field(description="Traces, or pairs, that people and the judge have judged.")
    tested: int = Field(0, description="Of these, those that the rates are measured on; the rest is for improving it.")
    agreement: Estimate | None = None
    kappa: float | None = None
    kappa_interval: Estimate | None = Field(None, description="Kappa with its 95 % interval.")
    tpr: Estimate | None = Field(None, description="Share of the failures that people see which the judge finds.")
    tnr: Estimate | None = Field(None, description="Share of the traces sound to people which the judge lets pass.")
    corrected: Estimate | None = Field(None, description="The failing share, corrected for the judge's errors.")
    categories: list[CategoryRates] = Field(
        default_factory=list, description="Of a judge of categories or pairs (first, second, tie)."
    )
    confusion: dict[str, dict[str, int]] = Field(
        default_factory=dict, description="The same: people's verdict → the judge's → how many test labels."
    )
    numeric: Numeric | None = Field(None, description="Of a judge of numbers.")
    decided: Estimate | None = Field(
        None, description="Of a judge of pairs: agreement where both it and people prefer one of the two."
    )
    note: str = Field("", description="Why there are no rates, or no corrected share.")
    drift: list[DriftOfJudge] = Field(default_factory=list)
    disagreements: list[Disagreement] = Field(default_factory=list)

    @property
    def is_measured(self) -> bool:
        """Whether there is a measure that says how far the judge can be believed."""
        return (self.tpr is not None and self.tnr is not None) or bool(self.confusion) or self.numeric is not None
