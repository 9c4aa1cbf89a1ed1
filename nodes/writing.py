"""The writer's model policy: a summary in the model's words, of which only what the report bears out is kept.

It goes into the message for the chat, below the headline that is computed from the findings. The report itself is as
without a model, but for a note on the summary in its coverage statement.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from hansei.contracts import Finding, Report
from hansei.errors import ModelFailed
from hansei.tools.language_model import Endpoint, ModelMeter, ask, read_prompt
from hansei.tools.language_model.prompt import quotation
from hansei.tools.report.grounding import facts_of_report, ground
from hansei.tools.report.text import excerpt, visible

PROMPTS = Path(__file__).parent / "prompts"
MOST_SENTENCES = 5
MOST_LETTERS = 12_000
"""Of findings in a prompt."""

LONGEST = 1_500
"""Letters of a summary."""

LANGUAGES = {"en": "English", "ja": "Japanese"}


class Summary(BaseModel):
    """A summary, sentence by sentence."""

    model_config = ConfigDict(extra="forbid")

    sentences: list[str] = Field(description="Each one whole sentence.")


def summarise(report: Report, endpoint: Endpoint, meter: ModelMeter) -> tuple[str, list[str]]:
    """A summary of a report's findings, and notes for its coverage statement.

    Returns:
        '' where there is nothing to tell, the model failed, or nothing of what it wrote is founded.
    """
    if not report.findings:
        return "", []
    language = LANGUAGES[report.language]
    lines = [line for number, finding in enumerate(report.findings, 1) for line in _told(number, finding)]
    findings = quotation(lines, most_letters=MOST_LETTERS, longest_line=600, masking=endpoint.masking)

    def written(wrong: str = "") -> list[str]:
        values = {"findings": findings, "language": language, "most": str(MOST_SENTENCES), "wrong": wrong}
        messages = read_prompt(PROMPTS / "writer_summary.md").filled(values)
        return ask(endpoint, meter, "writer", messages, Summary).sentences[:MOST_SENTENCES]

    def again(sentences: Sequence[tuple[str, list[str]]]) -> list[str]:
        unfit = [f"{sentence} (not found: {', '.join(found)})" for sentence, found in sentences]
        try:
            return written(
                f"Write these {len(unfit)} sentences anew, in this order, without what is not found in the findings:\n"
                + quotation(unfit, most_letters=4_000)
            )
        except ModelFailed:
            return []  # they are dropped, and counted

    try:
        first = written()
    except ModelFailed as failure:
        return "", [f"Summarised by rules: {failure.message[:1].lower()}{failure.message[1:]}"]
    found = ground("\n".join(" ".join(sentence.split()) for sentence in first), facts_of_report(report), again)
    notes = []
    if found.rewritten or found.dropped:
        notes.append(
            f"Of the model's summary {found.rewritten} sentences were written anew and {found.dropped} dropped, since"
            " they said what the findings do not say."
        )
    return excerpt(visible(found.text), LONGEST), notes


def _told(number: int, finding: Finding) -> list[str]:
    texts = [f"{number}. {finding.severity}, {finding.direction}: {finding.title}", finding.summary]
    texts += [finding.cause] if finding.cause else []
    return [*texts, f"What to do: {finding.recommendation}"]
