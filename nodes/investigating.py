"""The analyst's model policy: an open question, looked into with tools, and answered by what was seen.

The model looks (SQL through the guard, samples, single traces), then concludes. Of what it concludes only this is kept:
sentences whose numbers and names stand in the evidence that they cite; candidates of known metrics, which are measured
here and doubted later like any other; and a place whose traces are worth reading (see `hansei.nodes.reading`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from pydantic import Field

from hansei.contracts import DIMENSIONS, Evidence, Investigation, Segment, Taxonomy
from hansei.contracts.investigation import Answered
from hansei.errors import BudgetExceeded, ModelFailed, QueryFailed, QueryRefused
from hansei.nodes.desk import Desk
from hansei.nodes.inquiries import Inquiry
from hansei.nodes.prompts import LANGUAGES, PROMPTS
from hansei.nodes.reading import Place, read_place
from hansei.tools.inquiry.answer import Refusal
from hansei.tools.inquiry.kit import inquiry_tools
from hansei.tools.inquiry.personal import is_personal
from hansei.tools.inquiry.sampling import checked_segment
from hansei.tools.langfuse.dataset import run_evidence
from hansei.tools.langfuse.untrusted import one_line
from hansei.tools.language_model import ModelAnswer, ask, ask_fitting
from hansei.tools.language_model.looping import Looks, LoopBounds, look_around
from hansei.tools.language_model.prompt import quotation
from hansei.tools.playbook.assess import build_finding
from hansei.tools.playbook.catalogue import detector_of
from hansei.tools.playbook.conclude import Draft
from hansei.tools.playbook.model import Candidate
from hansei.tools.playbook.proposals import PROPOSABLE, measure_proposal, proposed
from hansei.tools.report.grounding import facts_of_evidence, is_sentence, speaks_of, unfounded

MOST_SENTENCES = 5
MOST_PROPOSALS = 3
MOST_EVIDENCE = 8
"""Queries that an answer may rest on."""

MOST_LETTERS = 36_000
"""Of looks in the question for the conclusion."""

LONGEST_SENTENCE = 400
_IDS = frozenset({"id", "trace_id", "observation_id", "parent_id"})


class Sentence(ModelAnswer):
    """One sentence of an answer."""

    text: str
    evidence: list[str] = Field(description="Ids of the evidence that it rests on.")


class Named(ModelAnswer):
    """One dimension of a segment."""

    dimension: str
    value: str


class Proposal(ModelAnswer):
    """A segment in which a metric differs."""

    metric: str
    direction: Literal["regression", "improvement", "hotspot"]
    segment: list[Named]


class Reading(ModelAnswer):
    """Where bad traces should be read."""

    metric: str
    segment: list[Named]


class Conclusion(ModelAnswer):
    """What an investigation found."""

    verdict: Literal["supported", "refuted", "open"]
    answer: list[Sentence]
    proposals: list[Proposal] = Field(default_factory=list)
    reading: Reading | None = None


class Rewritten(ModelAnswer):
    """Sentences written anew."""

    sentences: list[str]


@dataclass
class Investigated:
    """An investigation and the drafts that it proposes, by fingerprint."""

    investigation: Investigation
    drafts: dict[str, Draft] = field(default_factory=dict)


def investigate(inquiry: Inquiry, desk: Desk) -> Investigated:
    """Looks into an open question.

    Raises:
        ModelFailed: there is no answer.
        HanseiError: ClickHouse cannot be asked.
    """
    looks = _look(inquiry, desk)
    if looks.stopped:
        desk.notes.append(f"The looking around: {looks.stopped[:1].lower()}{looks.stopped[1:]}")
    desk.tell(f"Concluding after {len(looks.looks)} looks")
    concluded = _conclude(inquiry, desk, looks)
    evidence = _kept(concluded, desk)
    answer = _answer(inquiry, concluded, looks, evidence, desk)
    drafts = _measured(inquiry, concluded, desk)
    taxonomy = _taxonomy(inquiry, concluded, evidence, desk)
    verdict: Answered = concluded.verdict if answer else "open"
    return Investigated(
        Investigation(
            id=inquiry.id,
            question=inquiry.question,
            hypothesis=inquiry.hypothesis,
            refuted_by=inquiry.refuted_by,
            verdict=verdict,
            answer=" ".join(answer),
            taxonomy=taxonomy,
            evidence=[one.model_copy(update={"id": f"{inquiry.id}.{one.id}"}) for one in evidence.values()],
            notes=desk.notes,
        ),
        drafts,
    )


def _look(inquiry: Inquiry, desk: Desk) -> Looks:
    tools = inquiry_tools(desk.dataset, desk.kit, desk.notebook)
    described = tools[0].invoke({"type": "tool_call", "id": "0", "name": tools[0].name, "args": {}})
    told = [_told(candidate) for candidate in inquiry.candidates] or ["(none)"]
    prompt = desk.endpoint.prompts.read(PROMPTS / "analyst_look.md")

    def opening(room: int) -> list[tuple[str, str]]:
        return prompt.filled(
            {
                "question": inquiry.question, "hypothesis": _hypothesis(inquiry), "looks": str(desk.budget.looks),
                "candidates": quotation(told, most_letters=4_000, masking=desk.endpoint.masking),
                "description": str(described.content)[: room // 2],
            }
        )  # fmt: skip

    desk.tell("Looking at the data")
    budget = desk.budget
    bounds = LoopBounds(budget.looks, budget.looks + 2, budget.question_tokens, budget.question_seconds)
    return look_around(desk.endpoint, desk.meter, desk.node, opening, tools, bounds)


def _conclude(inquiry: Inquiry, desk: Desk, looks: Looks) -> Conclusion:
    def messages(letters: int) -> list[tuple[str, str]]:
        return _concluding(inquiry, desk, looks, letters, "")

    return ask_fitting(desk.endpoint, desk.meter, desk.node, messages, MOST_LETTERS, Conclusion)


def _concluding(inquiry: Inquiry, desk: Desk, looks: Looks, letters: int, wrong: str) -> list[tuple[str, str]]:
    return desk.endpoint.prompts.read(PROMPTS / "analyst_conclusion.md").filled(
        {
            "question": inquiry.question, "hypothesis": _hypothesis(inquiry), "language": LANGUAGES[desk.language],
            "looks": looks.told(letters) or "(nothing was looked at)", "most": str(MOST_SENTENCES),
            "most_proposals": str(MOST_PROPOSALS), "metrics": ", ".join(PROPOSABLE),
            "dimensions": ", ".join(DIMENSIONS), "wrong": wrong,
        }
    )  # fmt: skip


def _hypothesis(inquiry: Inquiry) -> str:
    if not inquiry.hypothesis:
        return "(none yet: make one)"
    return f"{inquiry.hypothesis} It would be refuted by: {inquiry.refuted_by}"


def _told(candidate: Candidate) -> str:
    where = ", ".join(f"{key} = {value}" for key, value in sorted(candidate.segment.items())) or "the whole project"
    return f"{candidate.metric}, {candidate.direction} against its {candidate.comparison.against}, {where}"


def _kept(concluded: Conclusion, desk: Desk) -> dict[str, Evidence]:
    """The evidence that the answer cites and that may stand in a report, by its id in the notebook."""
    cited = list(dict.fromkeys(id for sentence in concluded.answer for id in sentence.evidence))
    known = desk.notebook.find(cited)[:MOST_EVIDENCE]
    kept: dict[str, Evidence] = {}
    for one in known:
        if _is_personal(one):
            desk.notes.append("An answer of the data was left out, since personal data or secrets stand in it.")
        elif not _repeats(one, desk):
            desk.notes.append("An answer of the data was left out, since asking again gave another one.")
        else:
            kept[one.id] = one
    return kept


def _is_personal(evidence: Evidence) -> bool:
    """Whether a text in it would be masked; ids are looked up, never read."""
    return any(
        is_personal(value)
        for row in evidence.rows
        for name, value in zip(evidence.columns, row, strict=True)
        if name not in _IDS
    )


def _repeats(evidence: Evidence, desk: Desk) -> bool:
    """Whether the question gives the same answer once more: one that leaves an order open may not."""
    try:
        again = run_evidence(
            desk.dataset.reader, evidence.id, evidence.purpose, evidence.sql, evidence.parameters, foreign=True
        )
    except (BudgetExceeded, QueryFailed):
        return False
    return again.result_hash == evidence.result_hash


def _answer(
    inquiry: Inquiry, concluded: Conclusion, looks: Looks, evidence: Mapping[str, Evidence], desk: Desk
) -> list[str]:
    """The sentences that their evidence bears out; one that it does not may be written anew once."""
    said = [(one_line(one.text, LONGEST_SENTENCE), one.evidence) for one in concluded.answer[:MOST_SENTENCES]]
    wrong = {place: found for place, (text, ids) in enumerate(said) if (found := _wrong(text, ids, looks, evidence))}
    again = _again(inquiry, desk, looks, [(said[place][0], found) for place, found in wrong.items()])
    kept = [text for text, _ in said]
    dropped = 0
    for number, place in enumerate(wrong):
        better = one_line(again[number], LONGEST_SENTENCE) if number < len(again) else ""
        fits = bool(better) and not _wrong(better, said[place][1], looks, evidence)
        kept[place] = better if fits else ""
        dropped += not fits
    if wrong:
        desk.notes.append(
            f"Of the model's answer {len(wrong) - dropped} sentences were written anew and {dropped} dropped: they said"
            " what the evidence that they cite does not say."
        )
    told = [text for text in kept if text]
    if told and not speaks_of(" ".join(told), facts_of_evidence([*evidence.values()])):
        desk.notes.append("The model's answer was dropped: nothing in it is about the evidence that it cites.")
        return []
    return told


def _wrong(text: str, ids: Sequence[str], looks: Looks, evidence: Mapping[str, Evidence]) -> list[str]:
    """What in a sentence its evidence does not bear out; empty: it may stand."""
    cited = [evidence[id] for id in ids if id in evidence]
    if not cited:
        return ["it cites no evidence"]
    if not is_sentence(text):
        return ["it is no whole sentence"]
    seen = [look.said for look in looks.looks if set(look.ids) & set(ids)]
    return unfounded(text, facts_of_evidence(cited, seen))


def _again(inquiry: Inquiry, desk: Desk, looks: Looks, wrong: Sequence[tuple[str, list[str]]]) -> list[str]:
    if not wrong:
        return []
    unfit = [f"{sentence} (not found: {', '.join(found)})" for sentence, found in wrong]
    told = "Write these sentences anew, in this order, each without what is not found in its evidence:\n"
    quoted = quotation(unfit, most_letters=4_000, longest_line=600, masking=desk.endpoint.masking)
    messages = _concluding(inquiry, desk, looks, MOST_LETTERS // 2, told + quoted)
    try:
        return ask(desk.endpoint, desk.meter, desk.node, messages, Rewritten).sentences
    except ModelFailed:
        return []  # they are dropped, and counted


def _measured(inquiry: Inquiry, concluded: Conclusion, desk: Desk) -> dict[str, Draft]:
    """What is proposed, and what the question is about and the rules do not measure, as drafts."""
    candidates = list(inquiry.aside)
    refused = 0
    for proposal in concluded.proposals[:MOST_PROPOSALS]:
        try:
            candidates.append(proposed(proposal.metric, _segment(proposal.segment), proposal.direction))
        except (QueryRefused, Refusal):
            refused += 1
    drafts: dict[str, Draft] = {}
    for candidate in candidates:
        try:
            draft = measure_proposal(desk.dataset, candidate)
        except (BudgetExceeded, QueryFailed, KeyError):
            refused += 1
            continue
        metric = detector_of(candidate.metric)[1]
        if build_finding(metric, draft.candidate, draft.evidence, desk.facts, None, "") is None:
            refused += 1  # the window holds no row of it
        else:
            drafts[draft.id] = draft
    if refused:
        desk.notes.append(f"{refused} of the model's proposals could not be measured.")
    return drafts


def _taxonomy(inquiry: Inquiry, concluded: Conclusion, evidence: dict[str, Evidence], desk: Desk) -> Taxonomy | None:
    """What goes wrong in the traces of the place that the model names, else of what the question is about."""
    places = [Place(one.metric, one.segment, one.parameters) for one in inquiry.candidates[:1]]
    if concluded.reading is not None:
        try:
            places.insert(0, Place(concluded.reading.metric, _segment(concluded.reading.segment), {}))
        except Refusal:
            desk.notes.append("The place that the model wanted to read traces of does not exist.")
    if not places:
        return None
    desk.tell("Reading traces")
    try:
        taxonomy, sample = read_place(places[0], inquiry.id, desk)
    except (ModelFailed, BudgetExceeded, QueryFailed, Refusal) as failure:
        message = getattr(failure, "message", str(failure))
        desk.notes.append(f"Traces were not read: {message[:1].lower()}{message[1:]}")
        return None
    if taxonomy is not None and sample is not None:
        evidence[sample.id] = sample
    return taxonomy


def _segment(named: Sequence[Named]) -> Segment:
    """A segment as it may be asked for.

    Raises:
        Refusal: it has an unknown dimension.
    """
    return checked_segment({one.dimension: one.value for one in named})
