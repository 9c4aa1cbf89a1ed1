"""Follow-up questions, understood: what each form asks for. Rules or a model fill them in, without numbers."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from hansei.contracts.finding import Segment, Strict

MOST_EXAMPLES = 50

_FINDING = Field(description="Id of a finding of the report, refuted ones included.")
_METRIC = Field(description="Name of a metric, such as cost_per_call.")
_SEGMENT: Segment = Field(
    default_factory=dict, description="Dimension → value: only these rows. Empty: the whole project."
)


class Examples(Strict):
    """Traces in which a finding shows."""

    form: Literal["examples"] = "examples"
    finding: str = _FINDING
    count: int = Field(5, ge=1, le=MOST_EXAMPLES)


class Breakdown(Strict):
    """A metric by the values of a dimension; whether it is only one of them."""

    form: Literal["breakdown"] = "breakdown"
    finding: str | None = Field(None, description="The finding whose metric and segment are taken.")
    metric: str = _METRIC
    segment: Segment = _SEGMENT
    dimension: str = Field(description="Such as model, release, user_id, metadata.language.")
    value: str | None = Field(None, description="The value that is asked about, when one is.")


class Compare(Strict):
    """Two values of a dimension, side by side on one metric."""

    form: Literal["compare"] = "compare"
    metric: str = _METRIC
    dimension: str
    first: str
    second: str
    segment: Segment = _SEGMENT


class Measure(Strict):
    """One figure, with its course by day."""

    form: Literal["measure"] = "measure"
    metric: str = _METRIC
    segment: Segment = _SEGMENT
    finding: str | None = Field(None, description="The finding whose metric and segment are taken.")


class OnDay(Strict):
    """What changed on a day."""

    form: Literal["day"] = "day"
    day: date = Field(description="UTC.")
    segment: Segment = _SEGMENT


class About(Strict):
    """A finding: what it says, why it stands or falls, what to do, or the queries behind it."""

    form: Literal["about"] = "about"
    finding: str = _FINDING
    what: Literal["summary", "cause", "advice", "proof", "impact"] = "summary"


class Trace(Strict):
    """One trace as a tree."""

    form: Literal["trace"] = "trace"
    trace: str = Field(min_length=1, max_length=200, description="Its id.")


class ToDataset(Strict):
    """A finding's traces as items of a Langfuse dataset: written when a person has approved it."""

    form: Literal["dataset"] = "dataset"
    finding: str = _FINDING
    traces: list[str] = Field(
        min_length=1, max_length=MOST_EXAMPLES, description="The traces in which the finding shows."
    )
    name: str = Field(min_length=1, max_length=200, description="The dataset's.")


class Listing(Strict):
    """The report's findings, what was refuted, what was not looked at; or the forms of questions."""

    form: Literal["list"] = "list"
    what: Literal["findings", "improvements", "refuted", "gaps", "forms"] = "findings"


Ask = Annotated[
    Examples | Breakdown | Compare | Measure | OnDay | About | Trace | ToDataset | Listing, Field(discriminator="form")
]
WRITES = "dataset"
"""The form that writes elsewhere, and so passes the approval gate."""
ASK: TypeAdapter[Ask] = TypeAdapter(Ask)
FIELDS: dict[str, frozenset[str]] = {
    form.model_fields["form"].default: frozenset(form.model_fields)
    for form in (Examples, Breakdown, Compare, Measure, OnDay, About, Trace, Listing)
}
"""Form → what it consists of. These a model may fill in; what writes is asked for by a person's own words alone."""


class Named(Strict):
    """What was named last, so that “it”, “that tool” and “the second one” mean something."""

    finding: str | None = None
    metric: str | None = None
    segment: Segment = Field(default_factory=dict, description="The rows that were spoken of last.")
    listed: list[dict[str, str]] = Field(
        default_factory=list, description="What was listed last, in order: {finding: id}, {trace: id} or a segment."
    )
    listed_metric: str | None = Field(None, description="What the listed segments were measured by.")
    last: dict[str, str] = Field(default_factory=dict, description="Of each dimension the value that was named last.")

    def after(self, now: Named) -> Named:
        """What “it” and “the second one” mean after an answer: what it spoke of, and what it listed.

        A finding or a metric that was spoken of takes the whole place of the one before.
        """
        topic = now if now.finding or now.metric else self
        # One trace of a list does not end the list.
        one_of_them = len(now.listed) == 1 and now.listed[0] in self.listed
        listing = now if now.listed and not one_of_them else self
        return Named(
            finding=topic.finding,
            metric=topic.metric,
            segment=topic.segment if topic is now else (now.segment or self.segment),
            listed=listing.listed,
            listed_metric=listing.listed_metric,
            last={**self.last, **now.segment},
        )
