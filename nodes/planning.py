"""The planner's model policy: what a question is about, what may lie behind the slices that stand out, what is open.

Two questions to the model, since they may be trusted differently. What is looked into is chosen from the user's
question alone: no text out of a trace is in sight, so none can talk an analysis away. The candidates, whose names come
out of traces, are only shown to be explained: the answer adds hypotheses and open questions, which analysts look into
beside the rules' tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import Field

from hansei.contracts import Coverage, Evidence
from hansei.errors import ModelFailed
from hansei.nodes.founded import founded
from hansei.nodes.inquiries import LONGEST, Inquiry, OpenQuestion, as_asked, inquiries
from hansei.nodes.prompts import LANGUAGES, PROMPTS
from hansei.nodes.scope import CANDIDATES, Scope, Screened
from hansei.tools.langfuse.coverage import coverage_of
from hansei.tools.langfuse.untrusted import one_line
from hansei.tools.language_model import Endpoint, ModelAnswer, ModelMeter, ask, ask_fitting
from hansei.tools.language_model.prompt import quotation
from hansei.tools.playbook.catalogue import DETECTORS
from hansei.tools.playbook.model import Candidate
from hansei.tools.report.grounding import is_sentence

MOST_TASKS = 6
"""Detectors that the model may choose for a question."""

MOST_ABOUT = 5
"""Candidates that an open question is about."""

MOST_LETTERS = 12_000
"""Of candidates in a prompt: some 4,000 tokens, which small models can read."""


class AboutQuestion(ModelAnswer):
    """What the question calls for."""

    answerable: bool = Field(description="Whether traces of an LLM application can tell.")
    analyses: list[str] = Field(description="Names from the list of analyses, most important first.")


class Hypothesis(ModelAnswer):
    """What may lie behind the candidates of one analysis."""

    analysis: str = Field(description="A name from the list of analyses.")
    hypothesis: str
    refuted_by: str
    candidates: list[str] = Field(default_factory=list, description="Marks of candidates, such as c3.")


class Hypotheses(ModelAnswer):
    """Hypotheses for the plan."""

    entries: list[Hypothesis]
    questions: list[OpenQuestion] = Field(default_factory=list, description="Most important first.")


@dataclass
class Choice:
    """What is looked into."""

    detectors: frozenset[str]
    why: str = ""
    """Added to each task's reason."""
    besides: list[Candidate] = field(default_factory=list)
    """Candidates that matter to the user's question: what of them the rules do not measure is measured aside."""
    reasons: dict[str, str] = field(default_factory=dict)
    """Detector → words for the plan."""
    notes: list[str] = field(default_factory=list)
    """For the coverage statement."""
    inquiries: list[Inquiry] = field(default_factory=list)
    """What analysts look into with the model; the cheapest first."""
    unanswerable: bool = False
    """Whether the model takes the question for one that traces cannot answer."""


def choose(
    rules: Choice,
    scope: Scope,
    look: Callable[[frozenset[str]], Mapping[str, Screened]],
    named: frozenset[str],
    endpoint: Endpoint,
    meter: ModelMeter,
    most_questions: int = 0,
    earlier: Sequence[Mapping[str, Any]] = (),
) -> Choice:
    """The rules' choice with what the model adds. Where the model fails, the rules' stands and a note says so.

    Args:
        rules: what the rules choose.
        scope: what the run looks at.
        look: gives the first screen of the detectors that are chosen.
        named: detectors that the question's words name; they are looked at in any case.
        endpoint: the model.
        meter: counts its calls.
        most_questions: open questions.
        earlier: findings of earlier runs, with `title` and `state`, as far as a ledger knows any.
    """
    choice = Choice(rules.detectors, rules.why)
    if scope["question"]:
        try:
            _narrow(choice, scope["question"], named, endpoint, meter)
        except ModelFailed as failure:
            if not endpoint.dry:  # there everything that would be asked is counted
                return Choice(rules.detectors, rules.why, notes=[f"Planned by rules: {_inside(failure.message)}"])
    screened = look(choice.detectors)
    try:
        _explain(choice, scope, screened, endpoint, meter, most_questions, earlier)
    except ModelFailed as failure:
        planned = "Planned without hypotheses" if scope["question"] else "Planned by rules"
        choice.notes.append(f"{planned}: {_inside(failure.message)}")
        return choice
    if scope["question"] and not choice.unanswerable and not choice.inquiries:
        choice.inquiries = [as_asked(scope["question"])]
    if choice.inquiries:
        first = choice.inquiries[0]
        choice.inquiries[0] = first.model_copy(update={"candidates": [*first.candidates, *choice.besides]})
    choice.inquiries = inquiries(choice.inquiries, _coverage(scope), most_questions)
    return choice


def _narrow(choice: Choice, question: str, named: frozenset[str], endpoint: Endpoint, meter: ModelMeter) -> None:
    analyses = "\n".join(f"{detector.name}: {detector.question}" for detector in DETECTORS)
    values = {"analyses": analyses, "question": one_line(question, 2_000, endpoint.masking), "most": str(MOST_TASKS)}
    messages = endpoint.prompts.read(PROMPTS / "planner_question.md").filled(values)
    answer = ask(endpoint, meter, "planner", messages, AboutQuestion)
    if not answer.answerable:
        choice.notes.append("The model takes the question for one that traces cannot answer; the plan is the rules'.")
        choice.unanswerable = True
        return
    known = {detector.name for detector in DETECTORS}
    chosen = [name for name in dict.fromkeys(answer.analyses) if name in known][:MOST_TASKS]
    if not chosen:
        raise ModelFailed("The model answered with no analysis that there is.", reason="invalid")
    choice.detectors, choice.why = named | frozenset(chosen), ""


def _explain(
    choice: Choice,
    scope: Scope,
    screened: Mapping[str, Screened],
    endpoint: Endpoint,
    meter: ModelMeter,
    most_questions: int,
    earlier: Sequence[Mapping[str, Any]],
) -> None:
    marks = _marked(choice.detectors, screened)
    question = scope["question"]
    if not marks and (not question or choice.unanswerable):
        return
    lines = [f"{mark}: {_told(candidate)}" for mark, candidate in marks.items()] or ["(none stands out)"]
    known = [f"{one.get('state', 'known')}: {one.get('title', '')}" for one in earlier]
    values = {
        "analyses": "\n".join(f"{one.name}: {one.question}" for one in DETECTORS if one.name in choice.detectors),
        "coverage": _counts(scope),
        "question": one_line(question, 2_000, endpoint.masking)
        if question
        else "(none: the user wants to know what goes wrong)",
        "earlier": quotation(known, most_letters=MOST_LETTERS // 4, masking=endpoint.masking)
        if known
        else "(none is known)",
        "language": LANGUAGES[scope["language"]],
        "most": str(MOST_TASKS),
        "most_questions": str(0 if choice.unanswerable else most_questions),
    }

    def messages(letters: int) -> list[tuple[str, str]]:
        values["candidates"] = quotation(lines, most_letters=letters, masking=endpoint.masking)
        return endpoint.prompts.read(PROMPTS / "planner_hypotheses.md").filled(values)

    answer = ask_fitting(endpoint, meter, "planner", messages, MOST_LETTERS, Hypotheses)
    material = "\n".join(values[part] for part in ("question", "coverage", "candidates", "earlier"))
    unfounded, used = 0, 0
    for entry in answer.entries[:MOST_TASKS]:
        if entry.analysis not in choice.detectors:
            continue
        used += 1
        words = [one_line(text, 300) for text in (entry.hypothesis, entry.refuted_by)]
        if (is_sentence(words[0]) or not words[0]) and founded(" ".join(words), material):
            choice.reasons.setdefault(
                entry.analysis, f"hypothesis of the model: {words[0]}; refuted by: {words[1]}" if all(words) else ""
            )
        else:
            unfounded += 1
        if question:
            choice.besides += [marks[mark] for mark in entry.candidates if mark in marks]
    if answer.entries and not used and not answer.questions:
        raise ModelFailed("The model answered with no analysis that there is.", reason="invalid")
    for asked in answer.questions if not choice.unanswerable else ():
        sentences = [one_line(text, LONGEST) for text in (asked.question, asked.hypothesis, asked.refuted_by)]
        if not all(sentences) or not is_sentence(sentences[0]) or not founded(" ".join(sentences), material):
            unfounded += 1
            continue
        about = [marks[mark] for mark in dict.fromkeys(asked.about) if mark in marks]
        choice.inquiries.append(
            Inquiry(
                id="", question=sentences[0], hypothesis=sentences[1], refuted_by=sentences[2], needs=asked.needs,
                candidates=about[:MOST_ABOUT],
            )
        )  # fmt: skip
    if unfounded:
        choice.notes.append(
            f"{unfounded} of the model's hypotheses held numbers or links that are not in the data, or were no"
            " sentence: they were left out."
        )


def _marked(detectors: frozenset[str], screened: Mapping[str, Screened]) -> dict[str, Candidate]:
    """Mark → candidate: the strongest first."""
    found = [
        (-candidate.strength, name, place, candidate)
        for name, entry in screened.items()
        if name in detectors
        for place, candidate in enumerate(CANDIDATES.validate_python(entry["candidates"]))
    ]
    found.sort(key=lambda one: one[:3])
    return {f"c{number}": candidate for number, (*_, candidate) in enumerate(found, 1)}


def _told(candidate: Candidate) -> str:
    where = ", ".join(f"{key} = {value}" for key, value in sorted(candidate.segment.items())) or "the whole project"
    return (
        f"{candidate.detector}, {candidate.metric}, {candidate.direction}, {where}"
        f" ({candidate.strength:.1f} standard errors against its {candidate.comparison.against})"
    )


def _coverage(scope: Scope) -> Coverage:
    evidence = [Evidence.model_validate(item) for item in scope["coverage"]]
    return coverage_of(evidence, str(scope["adapter"]["version"]), [], [])


def _counts(scope: Scope) -> str:
    found = _coverage(scope)
    return "\n".join(
        f"{what}: {count.window} in the window, {count.baseline} in the baseline before it"
        for what, count in (
            ("traces", found.traces), ("observations", found.observations), ("scores", found.scores),
            ("errors", found.errors),
        )
    )  # fmt: skip


def _inside(message: str) -> str:
    """A message as the second half of a sentence."""
    return message[:1].lower() + message[1:]


def usage_of(meter: ModelMeter) -> dict[str, Any]:
    """What each node used, for the state."""
    return {node: usage.model_dump() for node, usage in meter.by_node.items()}
