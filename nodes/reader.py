"""reader: what a follow-up question asks for; it plans an answer as the planner plans a report.

Rule policy: a grammar over the report's own words, `hansei.tools.conversation.grammar`.

Model policy: where the grammar does not understand and the context names a model, the model fills in the same forms.
It chooses what is looked up and never says what comes out. Where it fails, the rules' answer stands: the forms.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from langgraph.runtime import Runtime
from pydantic import Field, ValidationError
from typing_extensions import TypedDict

from hansei.context import Context
from hansei.contracts import Report
from hansei.contracts.asks import ASK, FIELDS, Ask, Named
from hansei.contracts.finding import Strict
from hansei.contracts.spent import Usage
from hansei.errors import ModelFailed
from hansei.nodes.messages import question_in
from hansei.nodes.prompts import PROMPTS
from hansei.nodes.scope import Scope, Steps, context_of
from hansei.tools.conversation.answering import not_answered
from hansei.tools.conversation.grammar import understood
from hansei.tools.conversation.looking import fits
from hansei.tools.conversation.naming import Unclear
from hansei.tools.language_model import ask_fitting, endpoint_of, model_meter_of
from hansei.tools.language_model.prompt import quotation
from hansei.tools.playbook.catalogue import DETECTORS


class ReaderInput(TypedDict, total=False):
    """The thread's report, and the conversation."""

    scope: Scope
    report: dict[str, Any]
    messages: list[Any]
    answers: list[dict[str, Any]]
    named: dict[str, Any]


class ReaderOutput(TypedDict):
    """What is asked, or the answer when it is not understood."""

    inquiry: dict[str, Any]


class Pair(Strict):
    """One dimension of a segment."""

    dimension: str
    value: str


class Guess(Strict):
    """A question in one of the forms, flat, as a model fills it in."""

    form: Literal["examples", "breakdown", "compare", "measure", "day", "about", "trace", "list", "none"]
    finding: str | None = None
    metric: str | None = None
    segment: list[Pair] = Field(default_factory=list)
    dimension: str | None = None
    value: str | None = None
    first: str | None = None
    second: str | None = None
    day: str | None = None
    count: int | None = None
    trace: str | None = None
    what: str | None = None

    def as_ask(self) -> Ask | None:
        """The form with only what belongs to it; None when that is not enough, or no form."""
        known = {name: value for name, value in self.model_dump(exclude={"segment"}).items() if value is not None}
        known |= {"segment": {pair.dimension: pair.value for pair in self.segment}} if self.segment else {}
        fields = FIELDS.get(self.form, frozenset())
        try:
            return ASK.validate_python({name: value for name, value in known.items() if name in fields})
        except ValidationError:
            return None


def reader(state: ReaderInput, runtime: Runtime[Context]) -> dict[str, Any]:
    """Understands the last message as one `Ask`; when it cannot, `inquiry` holds the answer that says so."""
    steps = Steps(runtime, "reader", "Reading the question")
    report = Report.model_validate(state["report"])
    question = question_in(state.get("messages") or [])
    number = len(state.get("answers") or []) + 1
    # On a fresh report the findings are what was listed last.
    named = Named.model_validate(state.get("named") or {"listed": [{"finding": f.id} for f in report.findings]})
    base: dict[str, Any] = {"number": number, "question": question}
    try:
        found, by = understood(question, report, named), "rules"
    except Unclear as unclear:
        guess, used, notes = _asked_model(question, report, named, state, number, runtime, steps)
        base |= {"usage": used.model_dump(mode="json")} if used is not None else {}
        base["notes"] = notes
        if guess is None:
            answer = not_answered(unclear, report, named, number=number, question=question)
            steps.finished("not understood")
            return {"inquiry": {**base, "answer": answer.model_dump(mode="json")}}
        found, by = guess, "model"
    steps.finished(f"understood as {found.form}")
    return {"inquiry": {**base, "ask": ASK.dump_python(found, mode="json"), "by": by}}


def _untold(notes: Sequence[str], report: Report, answers: Sequence[Mapping[str, Any]]) -> list[str]:
    """The notes that neither the report nor an answer before has told."""
    told = {*report.coverage.notes, *(note for answer in answers for note in answer.get("notes", ()))}
    return [note for note in dict.fromkeys(notes) if note not in told]


def _asked_model(
    question: str,
    report: Report,
    named: Named,
    state: ReaderInput,
    number: int,
    runtime: Runtime[Context],
    steps: Steps,
) -> tuple[Ask | None, Usage | None, list[str]]:
    """What the model makes of the question, what it used (None: there is none to ask), and what it lacked."""
    context, scope = context_of(runtime), state["scope"]
    endpoint = endpoint_of(context, scope["run_id"])
    if endpoint is None or not question:
        return None, None, []
    steps.running("Asking the model")
    findings = [f"{f.id} | {f.metric} | {f.segment} | {f.title}" for f in (*report.findings, *report.refuted)]
    spoken = [
        f"it: finding {named.finding}, metric {named.metric}, segment {named.segment}",
        *(f"{n}: {item}" for n, item in enumerate(named.listed, 1)),
    ]
    values = {
        "question": quotation([question], most_letters=2_000, masking=endpoint.masking),
        "spoken_of": quotation(spoken, most_letters=4_000, longest_line=300, masking=endpoint.masking),
        "metrics": ", ".join(metric.name for detector in DETECTORS for metric in detector.metrics),
        "first": report.baseline.start.date().isoformat(),
        "last": report.window.end.date().isoformat(),
    }
    # A conversation may go on for long: each question has the run's budget to itself.
    meter = model_meter_of(f"{scope['run_id']} q{number}", context.model_budget, context.model_prices)
    prompt = endpoint.prompts.read(PROMPTS / "reader_question.md")
    notes = _untold(endpoint.prompts.notes, report, state.get("answers") or [])

    def messages(letters: int) -> list[tuple[str, str]]:
        told = quotation(findings, most_letters=letters, longest_line=400, masking=endpoint.masking)
        return prompt.filled({**values, "findings": told})

    try:
        guess = ask_fitting(endpoint, meter, "reader", messages, 8_000, Guess)
    except ModelFailed as failure:
        steps.running(failure.message)
        return None, meter.used, [*notes, failure.message]
    found = guess.as_ask()
    return (found if found is not None and fits(found, report) else None), meter.used, notes
