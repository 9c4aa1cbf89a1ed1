"""The writer's model policy: what the findings come to, and the first of them in other words, beside the rules' own.

Every call is about findings that are concluded already, and what it gives is held against them sentence by sentence; a
sentence that says something else is written anew once, and then the rules' words take its place. What a trace holds is
shown with the finding that it belongs to and with no other, so an order in it reaches no further than that one's words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from pydantic import Field

from hansei.contracts import Finding, Report, Wording
from hansei.errors import ModelFailed
from hansei.nodes.prompts import LANGUAGES, PROMPTS
from hansei.tools.at_once import at_once
from hansei.tools.langfuse.instructions import Instruction
from hansei.tools.language_model import Endpoint, ModelAnswer, ModelMeter, ask_fitting
from hansei.tools.language_model.prompt import QuotedText, quotation, quoted_text
from hansei.tools.report.catalogue import catalogue
from hansei.tools.report.causes import names_in
from hansei.tools.report.changes import Refused, changed
from hansei.tools.report.directions import names_kind
from hansei.tools.report.grounding import Facts, facts_of_finding, facts_of_report, speaks_of
from hansei.tools.report.settling import Own, Rewrite, Sentence, Settled, marked, settle
from hansei.tools.report.text import excerpt, visible

MOST_SENTENCES = 5
"""Of the summary."""

MOST_OF_ONE = 3
"""Sentences of a cause or a recommendation."""

MOST_TOLD = 6
"""Findings that are told in the model's words: the first ones."""

MOST_LETTERS = 12_000
"""Of findings in a prompt."""

LONGEST_TEXT = 4_000
"""Letters of a prompt's text or a tool's definition that are shown."""

LONGEST = 1_500
"""Letters of a summary, a cause or a recommendation."""


class Told(ModelAnswer):
    """A sentence, and what it is about."""

    text: str = Field(description="One whole sentence.")
    about: list[int] = Field(description="Numbers of the findings that it is about.")


class Summary(ModelAnswer):
    """A summary, sentence by sentence."""

    sentences: list[Told]


class Edit(ModelAnswer):
    """A change of one of the texts that were shown."""

    text: str = Field(description="The text's mark, such as p1.")
    find: str = Field(description="Copied from the text letter by letter; occurs in it once.")
    replace: str = Field(description="What takes its place.")


class Explanation(ModelAnswer):
    """A finding explained."""

    cause: list[str] = Field(description="Each one whole sentence.")
    recommendation: list[str] = Field(description="Each one whole sentence.")
    edit: Edit | None = None


class Anew(ModelAnswer):
    """Sentences written anew, in the order in which they were given."""

    sentences: list[str]


@dataclass(frozen=True)
class Written:
    """What one call gave."""

    sentences: int = 0
    rewritten: int = 0
    replaced: int = 0
    changes_refused: int = 0
    failed: ModelFailed | None = None
    summary: str = ""
    worded: Wording | None = None


def write(
    report: Report, instructions: Mapping[str, Sequence[Instruction]], endpoint: Endpoint, meter: ModelMeter
) -> tuple[Report, list[str]]:
    """The report with what the model says of it, and notes for its coverage statement.

    Args:
        report: as the rules tell it; all but `summary` and the findings' `worded` stays as it is.
        instructions: what the traces of a finding show that the model was told, by the finding's id.
        endpoint: the model.
        meter: counts its calls.
    """
    if not report.findings:
        return report, []
    told = report.findings[:MOST_TOLD]
    jobs: list[Callable[[], Written]] = [partial(_summed_up, report, endpoint, meter)]
    jobs += [partial(_explained, report, one, instructions.get(one.id, ()), endpoint, meter) for one in told]
    answers, failed = at_once(jobs, workers=len(jobs))
    if failed is not None:
        raise failed  # not by the model: each job keeps its failure
    written = [one or Written() for one in answers]
    words = {finding.id: one.worded for finding, one in zip(told, written[1:], strict=True)}
    findings = [one.model_copy(update={"worded": words.get(one.id)}) for one in report.findings]
    return report.model_copy(update={"summary": written[0].summary or None, "findings": findings}), _notes(written)


def _notes(written: Sequence[Written]) -> list[str]:
    notes = []
    by = {"Summarised": written[:1], "Explained": written[1:]}
    for what, parts in by.items():
        if failure := next((one.failed for one in parts if one.failed is not None), None):
            notes.append(f"{what} by rules: {failure.message[:1].lower()}{failure.message[1:]}")
    rewritten, replaced = (sum(getattr(one, name) for one in written) for name in ("rewritten", "replaced"))
    if rewritten or replaced:
        count = sum(one.sentences for one in written)
        notes.append(
            f"Of the model's {count} sentences {rewritten} were written anew and {replaced} replaced by the rules'"
            " words, since they said what the evidence does not say, or nothing about it."
        )
    if refused := sum(one.changes_refused for one in written):
        notes.append(
            f"{refused} changes of prompts or tools that the model proposed were left out: they do not apply to the"
            " text in the traces, or hold what is not in the evidence."
        )
    return notes


def _summed_up(report: Report, endpoint: Endpoint, meter: ModelMeter) -> Written:
    language = LANGUAGES[report.language]
    lines = [line for number, finding in enumerate(report.findings, 1) for line in _lines(finding, f"{number}. ")]
    prompt = endpoint.prompts.read(PROMPTS / "writer_summary.md")

    def messages(letters: int) -> list[tuple[str, str]]:
        findings = quotation(lines, most_letters=letters, longest_line=600, masking=endpoint.masking)
        return prompt.filled({"findings": findings, "language": language, "most": str(MOST_SENTENCES)})

    try:
        said = ask_fitting(endpoint, meter, "writer", messages, MOST_LETTERS, Summary)
    except ModelFailed as failure:
        return Written(failed=failure)
    sentences = [Sentence(one.text, _about(report, one.about)) for one in said.sentences[:MOST_SENTENCES]]
    facts = facts_of_report(report)
    own = Own(partial(facts_of_finding, report), names_in(report.findings))
    settled = settle(sentences, facts, _anew(lines, language, endpoint, meter), own)
    if not _says_something(settled, facts, report.findings):
        settled = _given_up(settled)
    texts: list[str] = []
    for text, sentence in zip(settled.texts, sentences, strict=True):
        # The rules' sentence on the same: what the finding is called.
        instead = f"{sentence.about[0].title}{'。' if report.language == 'ja' else '.'}" if sentence.about else ""
        named = [one for one in report.findings if (score := one.segment.get("score_name")) and score in text]
        kept = marked(text, [*sentence.about, *named], catalogue(report.language)) if text else instead
        if kept and kept not in texts:
            texts.append(kept)
    return _counted(settled, summary=_joined(texts, report.language))


def _explained(
    report: Report, finding: Finding, instructions: Sequence[Instruction], endpoint: Endpoint, meter: ModelMeter
) -> Written:
    language, masking = LANGUAGES[report.language], endpoint.masking
    example = next((one for one in report.excerpts if one.trace_id in finding.example_trace_ids), None)
    traced = [f"{'  ' * line.depth}{line.text}" for line in (example.lines if example else [])]
    prompt = endpoint.prompts.read(PROMPTS / "writer_finding.md")
    known: dict[str, tuple[Instruction, QuotedText]] = {}
    values: dict[str, str] = {}

    def messages(letters: int) -> list[tuple[str, str]]:
        """With so many letters of the trace, and of each text; both are kept as they were shown last."""
        known.update(
            (f"{one.kind[0]}{i}", (one, quoted_text(one.text, letters, masking)))
            for i, one in enumerate(instructions, 1)
        )
        texts = [f"{mark}, {_what(one)}:\n{text.section}" for mark, (one, text) in known.items()]
        values.update(
            finding=quotation(_lines(finding), most_letters=3 * letters, longest_line=1_000, masking=masking),
            trace=quotation(traced, most_letters=letters, masking=masking),
            texts="\n".join(texts) or "(none)",
            language=language,
            most=str(MOST_OF_ONE),
        )
        return prompt.filled(values)

    try:
        said = ask_fitting(endpoint, meter, "writer", messages, LONGEST_TEXT, Explanation)
    except ModelFailed as failure:
        return Written(failed=failure)
    shown = "\n".join((values["trace"], *(text.shown for _, text in known.values())))
    facts = facts_of_finding(report, finding, shown)
    causes = [Sentence(text, (finding,)) for text in said.cause[:MOST_OF_ONE]]
    advice = [Sentence(text, (finding,), advice=True) for text in said.recommendation[:MOST_OF_ONE]]
    own = Own(lambda _: facts, names_in(report.findings))
    settled = settle([*causes, *advice], facts, _anew(_lines(finding), language, endpoint, meter), own)
    if not _says_something(settled, facts, [finding]):
        settled = _given_up(settled)
    cause, recommendation = settled.texts[: len(causes)], settled.texts[len(causes) :]
    change, refused = None, 0
    if said.edit is not None:
        try:
            instruction, text = known[said.edit.text]
            change = changed(instruction, text.shown, said.edit.find, said.edit.replace, facts)
        except (KeyError, Refused):
            refused = 1
    worded = Wording(
        cause=_joined(cause, report.language) or None,
        recommendation=_joined(recommendation, report.language) or None,
        change=change,
    )
    return _counted(settled, worded=worded if worded != Wording() else None, refused=refused)


def _anew(lines: Sequence[str], language: str, endpoint: Endpoint, meter: ModelMeter) -> Rewrite:
    """Asks once for what did not hold. When that fails, the sentences are replaced, and counted."""

    def again(wrong: Sequence[tuple[str, list[str]]]) -> list[str]:
        unfit = [f"{sentence} (wrong: {', '.join(found)})" for sentence, found in wrong]
        sentences = quotation(unfit, most_letters=LONGEST_TEXT, longest_line=1_000, masking=endpoint.masking)
        prompt = endpoint.prompts.read(PROMPTS / "writer_rewrite.md")

        def messages(letters: int) -> list[tuple[str, str]]:
            findings = quotation([*lines], most_letters=letters, longest_line=1_000, masking=endpoint.masking)
            return prompt.filled({"findings": findings, "sentences": sentences, "language": language})

        try:
            return ask_fitting(endpoint, meter, "writer", messages, MOST_LETTERS, Anew).sentences
        except ModelFailed:
            return []

    return again


def _says_something(settled: Settled, facts: Facts, about: Sequence[Finding]) -> bool:
    """Whether what was kept is about the findings: a model that understands nothing writes whole sentences as well."""
    text = " ".join(settled.texts)
    return not text.strip() or speaks_of(text, facts) or names_kind(text, about)


def _given_up(settled: Settled) -> Settled:
    """None of the sentences."""
    count = len(settled.texts)
    return Settled([""] * count, 0, count)


def _lines(finding: Finding, mark: str = "") -> list[str]:
    texts = [f"{mark}{finding.severity}, {finding.direction}: {finding.title}", finding.summary]
    texts += [finding.cause] if finding.cause else []
    return [*texts, f"What to do: {finding.recommendation}"]


def _what(instruction: Instruction) -> str:
    return "the text of a prompt" if instruction.kind == "prompt" else "the definition of a tool"


def _about(report: Report, numbers: Sequence[int]) -> tuple[Finding, ...]:
    return tuple(report.findings[number - 1] for number in numbers if 1 <= number <= len(report.findings))


def _joined(texts: Sequence[str], language: str) -> str:
    return excerpt(visible(("" if language == "ja" else " ").join(text for text in texts if text)), LONGEST)


def _counted(settled: Settled, *, summary: str = "", worded: Wording | None = None, refused: int = 0) -> Written:
    return Written(len(settled.texts), settled.rewritten, settled.given_up, refused, summary=summary, worded=worded)
