"""Traces read by a model: what goes wrong first in the bad ones of a place, as a small taxonomy with shares.

The labels are made from a stratified sample of bad and good traces. The shares come from another random sample of bad
traces, that the labels have not seen: the model says which label each carries, and counting is Hansei's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from pydantic import Field

from hansei.contracts import Evidence, Segment, Taxonomy
from hansei.nodes.desk import Desk
from hansei.nodes.founded import founded
from hansei.nodes.prompts import LANGUAGES, PROMPTS
from hansei.tools.at_once import at_once
from hansei.tools.inquiry.sampling import sample_traces
from hansei.tools.langfuse.trace_excerpt import excerpt
from hansei.tools.langfuse.trace_tree import read_trees
from hansei.tools.langfuse.untrusted import one_line, quoted
from hansei.tools.language_model import ModelAnswer, ask_fitting
from hansei.tools.playbook.taxonomy import category, counted

LEARNED_FROM = 10
"""Traces that the labels are made from, half of them good."""
MARKED = 20
"""Bad traces of the fresh sample."""
AT_ONCE = 10
"""Traces in one question to the model."""
FEWEST_BAD = 3
"""Bad traces below which there is nothing to sort."""
MOST_LABELS = 6
LETTERS = 1_500
"""Of each trace."""
FEWEST_LETTERS = 1_000

OTHER = "other"
"""The label of a trace that none of the others fits."""


@dataclass(frozen=True)
class Place:
    """Traces of a segment, told bad or good by a metric."""

    metric: str
    segment: Segment
    parameters: Mapping[str, float]


class Label(ModelAnswer):
    """One way in which traces go wrong."""

    label: str
    definition: str


class Labels(ModelAnswer):
    """What goes wrong first."""

    labels: list[Label]


class Mark(ModelAnswer):
    """The label of one trace."""

    trace: str = Field(description="The trace's mark, such as t3.")
    label: str


class Marks(ModelAnswer):
    """The labels of all traces."""

    marks: list[Mark]


def read_place(place: Place, inquiry_id: str, desk: Desk) -> tuple[Taxonomy | None, Evidence | None]:
    """The taxonomy of a place's bad traces, and the evidence that drew those that were counted.

    Returns:
        None where there are too few bad traces, or the model sees nothing go wrong in them.

    Raises:
        ModelFailed: the model gave no labels.
        Refusal, HanseiError: the traces could not be drawn or read.
    """
    first = _drawn(place, "both", LEARNED_FROM, 1, desk)
    strata = {str(row["trace_id"]): str(row["stratum"]) for row in first.records()}
    if sum(stratum == "bad" for stratum in strata.values()) < FEWEST_BAD:
        return None, None
    labels = _labels(place, strata, desk)
    fresh = _drawn(place, "bad", min(MARKED + LEARNED_FROM, 40), 2, desk)
    drawn = [str(row["trace_id"]) for row in fresh.records() if str(row["trace_id"]) not in strata][:MARKED]
    if not labels or not drawn:
        return None, None
    marks = _marks(labels, drawn, desk)
    categories = [
        category(label, definition, [id for id in drawn if marks.get(id) == label])
        for label, definition in [*labels.items(), (OTHER, "")]
    ]
    taxonomy = Taxonomy(
        metric=place.metric,
        segment=place.segment,
        sample=f"{inquiry_id}.{fresh.id}",
        unread=len(drawn) - len(marks),
        categories=[one for one in categories if one.trace_ids],
    )
    named = fresh.model_copy(update={"id": taxonomy.sample})
    return counted(taxonomy, [named]) if taxonomy.categories else None, fresh


def _drawn(place: Place, which: Literal["both", "bad"], count: int, seed: int, desk: Desk) -> Evidence:
    answer = sample_traces(
        desk.dataset, desk.kit, desk.notebook, place.segment, place.metric, which, count, seed=seed,
        parameters=place.parameters,
    )  # fmt: skip
    [evidence] = desk.notebook.find(answer.artifact)
    return evidence


def _labels(place: Place, strata: Mapping[str, str], desk: Desk) -> dict[str, str]:
    """Label → definition; those that say what the traces do not say are left out."""
    shown = _Shown(list(strata), desk, strata)

    def messages(letters: int) -> list[tuple[str, str]]:
        values = {"metric": place.metric, "traces": shown.told(letters), "most": str(MOST_LABELS)}
        return desk.endpoint.prompts.read(PROMPTS / "analyst_labels.md").filled(
            {**values, "language": LANGUAGES[desk.language]}
        )

    answer = ask_fitting(desk.endpoint, desk.meter, desk.node, messages, LETTERS * len(strata), Labels)
    material = shown.told(LETTERS * len(strata))
    found: dict[str, str] = {}
    for one in answer.labels[:MOST_LABELS]:
        label, definition = one_line(one.label, 60), one_line(one.definition, 250)
        if label and label.casefold() != OTHER and founded(f"{label} {definition}", material):
            found.setdefault(label, definition)
    if left_out := len(answer.labels[:MOST_LABELS]) - len(found):
        desk.notes.append(f"{left_out} of the model's labels were left out: they hold numbers or links of its own.")
    return found


def _marks(labels: Mapping[str, str], trace_ids: Sequence[str], desk: Desk) -> dict[str, str]:
    """Trace → label, for those that got one."""
    known = {label.casefold(): label for label in (*labels, OTHER)}
    told = quoted("\n".join(f"{label}: {definition}" for label, definition in labels.items()))

    def sorted_by_model(shown: _Shown) -> dict[str, str]:
        def messages(letters: int) -> list[tuple[str, str]]:
            values = {"labels": told, "traces": shown.told(letters), "other": OTHER}
            return desk.endpoint.prompts.read(PROMPTS / "analyst_marks.md").filled(values)

        answer = ask_fitting(desk.endpoint, desk.meter, desk.node, messages, LETTERS * AT_ONCE, Marks)
        found: dict[str, str] = {}
        for mark in answer.marks:
            trace_id, label = shown.ids.get(mark.trace.strip()), known.get(mark.label.strip().casefold())
            if trace_id is not None and label is not None:
                found.setdefault(trace_id, label)
        return found

    shown = [_Shown(trace_ids[start : start + AT_ONCE], desk) for start in range(0, len(trace_ids), AT_ONCE)]
    answers, failed = at_once([partial(sorted_by_model, one) for one in shown])
    if failed is not None:
        raise failed
    return {trace_id: label for found in answers for trace_id, label in (found or {}).items()}


class _Shown:
    """Traces in a question to the model, each under a mark of its own: t1, t2 …"""

    def __init__(self, trace_ids: Sequence[str], desk: Desk, strata: Mapping[str, str] | None = None) -> None:
        trees = read_trees(desk.dataset, trace_ids)
        self.ids = {f"t{number}": id for number, id in enumerate((id for id in trace_ids if id in trees), 1)}
        self._trees, self._strata, self._masking = trees, strata or {}, desk.endpoint.masking

    def told(self, letters: int) -> str:
        """The traces in about so many letters."""
        each = max(FEWEST_LETTERS, letters // max(1, len(self.ids)))
        return "\n\n".join(
            f"{mark}{self._stratum(id)}:\n{quoted(excerpt(self._trees[id], each, masking=self._masking).text)}"
            for mark, id in self.ids.items()
        )

    def _stratum(self, id: str) -> str:
        return f" ({self._strata[id]})" if id in self._strata else ""
