"""The planner's model policy: what a question is about, and what may lie behind the slices that stand out.

Two questions to the model, since they may be trusted differently. What is looked into is chosen from the user's
question alone: no text out of a trace is in sight, so none can talk an analysis away. The candidates, whose names come
out of traces, are only shown to be explained: the answer adds hypotheses, and candidates to be measured besides those
of the rules.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from hansei.contracts import Evidence
from hansei.errors import ModelFailed
from hansei.nodes.scope import CANDIDATES, Scope, Screened
from hansei.tools.langfuse.coverage import coverage_of
from hansei.tools.langfuse.untrusted import one_line
from hansei.tools.language_model import Endpoint, ModelMeter, ask, read_prompt
from hansei.tools.language_model.prompt import quotation
from hansei.tools.playbook.catalogue import DETECTORS
from hansei.tools.playbook.model import Candidate

PROMPTS = Path(__file__).parent / "prompts"
MOST_TASKS = 6
"""Detectors that the model may choose for a question."""

MOST_BESIDES = 4
"""Candidates of one detector that are measured because the model asks for them, besides the strongest."""

MOST_LETTERS = 12_000
"""Of candidates in a prompt: some 4,000 tokens, which small models can read."""

LANGUAGES = {"en": "English", "ja": "Japanese"}


class AboutQuestion(BaseModel):
    """What the question calls for."""

    model_config = ConfigDict(extra="forbid")

    answerable: bool = Field(description="Whether traces of an LLM application can tell.")
    analyses: list[str] = Field(description="Names from the list of analyses, most important first.")


class Hypothesis(BaseModel):
    """What may lie behind the candidates of one analysis."""

    model_config = ConfigDict(extra="forbid")

    analysis: str = Field(description="A name from the list of analyses.")
    hypothesis: str
    refuted_by: str
    candidates: list[str] = Field(default_factory=list, description="Marks of candidates, such as c3.")


class Hypotheses(BaseModel):
    """Hypotheses for the plan."""

    model_config = ConfigDict(extra="forbid")

    entries: list[Hypothesis]


@dataclass
class Choice:
    """What is looked into."""

    detectors: frozenset[str]
    why: str = ""
    """Added to each task's reason."""
    besides: dict[str, list[int]] = field(default_factory=dict)
    """Detector → places in its list of candidates."""
    reasons: dict[str, str] = field(default_factory=dict)
    """Detector → words for the plan."""
    notes: list[str] = field(default_factory=list)
    """For the coverage statement."""


def choose(
    rules: Choice,
    scope: Scope,
    screened: Mapping[str, Screened],
    named: frozenset[str],
    endpoint: Endpoint,
    meter: ModelMeter,
) -> Choice:
    """The rules' choice with what the model adds. Where the model fails, the rules' stands and a note says so.

    Args:
        rules: what the rules choose.
        scope: what the run looks at.
        screened: the first screen.
        named: detectors that the question's words name; they are looked at in any case.
        endpoint: the model.
        meter: counts its calls.
    """
    choice = Choice(rules.detectors, rules.why)
    if scope["question"]:
        try:
            _narrow(choice, scope["question"], named, endpoint, meter)
        except ModelFailed as failure:
            return Choice(rules.detectors, rules.why, notes=[f"Planned by rules: {_inside(failure.message)}"])
    try:
        _explain(choice, scope, screened, endpoint, meter)
    except ModelFailed as failure:
        planned = "Planned without hypotheses" if scope["question"] else "Planned by rules"
        choice.notes.append(f"{planned}: {_inside(failure.message)}")
    return choice


def _narrow(choice: Choice, question: str, named: frozenset[str], endpoint: Endpoint, meter: ModelMeter) -> None:
    analyses = "\n".join(f"{detector.name}: {detector.question}" for detector in DETECTORS)
    values = {"analyses": analyses, "question": one_line(question, 2_000, endpoint.masking), "most": str(MOST_TASKS)}
    messages = read_prompt(PROMPTS / "planner_question.md").filled(values)
    answer = ask(endpoint, meter, "planner", messages, AboutQuestion)
    if not answer.answerable:
        choice.notes.append("The model takes the question for one that traces cannot answer; the plan is the rules'.")
        return
    known = {detector.name for detector in DETECTORS}
    chosen = [name for name in dict.fromkeys(answer.analyses) if name in known][:MOST_TASKS]
    if not chosen:
        raise ModelFailed("The model answered with no analysis that there is.", reason="invalid")
    choice.detectors, choice.why = named | frozenset(chosen), ""


def _explain(
    choice: Choice, scope: Scope, screened: Mapping[str, Screened], endpoint: Endpoint, meter: ModelMeter
) -> None:
    marks = _marked(choice.detectors, screened)
    if not marks:
        return
    question = scope["question"]
    lines = [f"{mark}: {_told(candidate)}" for mark, (_, _, candidate) in marks.items()]
    values = {
        "analyses": "\n".join(f"{one.name}: {one.question}" for one in DETECTORS if one.name in choice.detectors),
        "coverage": _coverage(scope),
        "question": one_line(question, 2_000, endpoint.masking)
        if question
        else "(none: the user wants to know what goes wrong)",
        "candidates": quotation(lines, most_letters=MOST_LETTERS, masking=endpoint.masking),
        "language": LANGUAGES[scope["language"]],
        "most": str(MOST_TASKS),
    }
    messages = read_prompt(PROMPTS / "planner_hypotheses.md").filled(values)
    answer = ask(endpoint, meter, "planner", messages, Hypotheses)
    material = "\n".join((values["question"], values["coverage"], values["candidates"]))
    unfounded = 0
    for entry in answer.entries[:MOST_TASKS]:
        if entry.analysis not in choice.detectors:
            continue
        words = [one_line(text, 300) for text in (entry.hypothesis, entry.refuted_by)]
        if founded(" ".join(words), material):
            choice.reasons.setdefault(
                entry.analysis, f"hypothesis of the model: {words[0]}; refuted by: {words[1]}" if all(words) else ""
            )
        else:
            unfounded += 1
        if question:
            places = [marks[mark][1] for mark in entry.candidates if mark in marks and marks[mark][0] == entry.analysis]
            choice.besides[entry.analysis] = [*choice.besides.get(entry.analysis, []), *places]
    if unfounded:
        choice.notes.append(
            f"{unfounded} of the model's hypotheses held numbers or links that are not in the data: they were left out."
        )


def founded(text: str, material: str) -> bool:
    """Whether every number of a text stands in the material that its writer was shown, and it holds no link."""
    if re.search(r"://|www\.|\]\(|<\s*a\b|\bjavascript:", text, re.IGNORECASE):
        return False
    return set(_NUMBER.findall(text)) <= set(_NUMBER.findall(material))


_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


def besides(candidates: Sequence[Candidate], chosen: Sequence[Candidate], places: Sequence[int]) -> list[Candidate]:
    """Those at the places that are not chosen anyway, at most `MOST_BESIDES`."""
    wanted = [candidates[place] for place in dict.fromkeys(places) if 0 <= place < len(candidates)]
    return [candidate for candidate in wanted if candidate not in chosen][:MOST_BESIDES]


def _marked(detectors: frozenset[str], screened: Mapping[str, Screened]) -> dict[str, tuple[str, int, Candidate]]:
    """Mark → detector, place in its list, candidate: the strongest first."""
    found = [
        (name, place, candidate)
        for name, entry in screened.items()
        if name in detectors
        for place, candidate in enumerate(CANDIDATES.validate_python(entry["candidates"]))
    ]
    found.sort(key=lambda one: (-one[2].strength, one[0], one[1]))
    return {f"c{number}": one for number, one in enumerate(found, 1)}


def _told(candidate: Candidate) -> str:
    where = ", ".join(f"{key} = {value}" for key, value in sorted(candidate.segment.items())) or "the whole project"
    return (
        f"{candidate.detector}, {candidate.metric}, {candidate.direction}, {where}"
        f" ({candidate.strength:.1f} standard errors against its {candidate.comparison.against})"
    )


def _coverage(scope: Scope) -> str:
    evidence = [Evidence.model_validate(item) for item in scope["coverage"]]
    found = coverage_of(evidence, str(scope["adapter"]["version"]), [], [])
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
