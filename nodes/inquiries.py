"""Open questions for the analysts that a model plans: typed, few, the cheapest first."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

from pydantic import Field

from hansei.contracts import Coverage, Finding, Investigation
from hansei.contracts.finding import Strict
from hansei.nodes.scope import Task
from hansei.tools.langfuse.untrusted import one_line
from hansei.tools.language_model import ModelAnswer
from hansei.tools.playbook.conclude import Draft
from hansei.tools.playbook.model import Candidate

Need = Literal["scores", "traces", "observations"]

MOST_ASIDE = 4
"""Candidates of the screen that are measured because a question is about them, besides the strongest."""

LONGEST = 300
"""Letters of each sentence of an inquiry."""


class OpenQuestion(ModelAnswer):
    """Something that only looking at the data can tell."""

    question: str = Field(description="One question about cause or kind that the analyses above do not answer.")
    hypothesis: str = Field(description="What may be going on.")
    refuted_by: str = Field(description="What one would see in the data if the hypothesis were wrong.")
    needs: list[Need] = Field(description="The relations that answer it.")
    about: list[str] = Field(default_factory=list, description="Marks of the candidates that it is about, such as c3.")


class Inquiry(Strict):
    """One open question as a task of an analyst."""

    id: str
    question: str
    hypothesis: str = ""
    refuted_by: str = ""
    needs: list[Need] = Field(default_factory=list)
    candidates: list[Candidate] = Field(default_factory=list, description="Of the screen, that it is about.")
    aside: list[Candidate] = Field(default_factory=list, description="Those that the rules do not measure.")


def inquiries(asked: Sequence[Inquiry], coverage: Coverage, most: int) -> list[Inquiry]:
    """The first `most` questions with the cheapest in front, by the rows of the relations that they need.

    Args:
        asked: in the order in which they matter; equal ones count once.
        coverage: how many rows there are.
        most: questions.
    """
    unlike = list({one.question.casefold(): one for one in reversed(asked)}.values())[::-1][:most]
    rows: Mapping[Need, int] = {
        "scores": coverage.scores.window, "traces": coverage.traces.window, "observations": coverage.observations.window
    }  # fmt: skip

    def cost(one: Inquiry) -> int:
        needs: set[Need] = set(one.needs) or {"observations"}
        return sum(rows[need] for need in needs)

    ordered = sorted(unlike, key=cost)
    return [one.model_copy(update={"id": f"q{number}"}) for number, one in enumerate(ordered, 1)]


def settled(inquiry: Inquiry, measured: Collection[str]) -> Inquiry:
    """The inquiry with the candidates that only it measures.

    Args:
        measured: fingerprints of what the rules measure.
    """
    unlike = {Draft(candidate=candidate).id: candidate for candidate in inquiry.candidates}
    aside = [candidate for id, candidate in unlike.items() if id not in measured][:MOST_ASIDE]
    return inquiry.model_copy(update={"aside": aside})


def as_asked(question: str) -> Inquiry:
    """The user's own question, where the model has put it in no other words."""
    return Inquiry(id="", question=one_line(question, LONGEST))


def unanswerable(question: str) -> Investigation:
    """A question that traces cannot answer, answered as such."""
    said = one_line(question, LONGEST)
    return Investigation(id="q0", question=said, hypothesis="", refuted_by="", verdict="unanswerable", answer="")


def investigations_of(
    stored: Mapping[str, Any], proposals: Mapping[str, Finding], told: Collection[str]
) -> tuple[list[Investigation], list[str]]:
    """The investigations as they are reported, and a note for each question that was not looked into.

    Args:
        stored: by the inquiry's id: ``investigation`` or ``note``, and ``about``, the fingerprints that it came upon.
        proposals: what became of what the models proposed, by fingerprint; each is told once.
        told: fingerprints of what the report tells anyway.
    """
    shown: list[Investigation] = []
    notes: list[str] = []
    left = dict(proposals)
    for _, found in sorted(stored.items()):
        notes += [found["note"]] if "note" in found else []
        if "investigation" not in found:
            continue
        about = found.get("about", [])
        shown.append(
            Investigation.model_validate(found["investigation"]).model_copy(
                update={
                    "findings": [left.pop(id) for id in about if id in left],
                    "told_by": [id for id in about if id in told],
                }
            )
        )
    return shown, notes


def task_of(inquiry: Inquiry) -> Task:
    """The inquiry as a task."""
    reason = "; ".join(
        part
        for part in (
            "an open question of the model's" if inquiry.hypothesis else "the question as it was asked",
            f"hypothesis: {inquiry.hypothesis}" if inquiry.hypothesis else "",
            f"refuted by: {inquiry.refuted_by}" if inquiry.refuted_by else "",
            f"needs: {', '.join(inquiry.needs)}" if inquiry.needs else "",
        )
        if part
    )
    dumped: dict[str, Any] = inquiry.model_dump(mode="json")
    return {
        "id": inquiry.id, "detector": "", "question": inquiry.question, "reason": reason, "candidates": None,
        "inquiry": dumped,
    }  # fmt: skip
