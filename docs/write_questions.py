"""Writes docs/questions.md: the forms of questions that are understood without a model."""

from __future__ import annotations

from pathlib import Path

from hansei.tools.conversation.forms import FORMS

PATH = Path(__file__).with_name("questions.md")

MEANING = {
    "examples": "traces in which a finding shows",
    "breakdown": "a measure by the values of a dimension; whether it is only one of them",
    "compare": "two values of a dimension, with whether they differ beyond chance",
    "measure": "a measure of a slice in both periods, and its course by day",
    "day": "which findings began on a day, and its figures beside those of the other days",
    "about": "a finding: what it says, its cause, what to do, the queries behind it",
    "trace": "one trace as a tree of its steps",
    "dataset": "a finding's traces as a Langfuse dataset, shown first and written only when you approve",
    "list": "the findings, what was refuted, what was not looked at, these forms",
}


def text() -> str:
    """The page."""
    lines = [
        "# Questions on a report",
        "",
        "Written by `docs/write_questions.py`; do not edit.",
        "",
        "A report is the beginning of a conversation: `hansei chat REPORT_DIR`, the chat of LangGraph Studio, or a",
        "message on a thread of `build_graph(checkpointer=…)`. These forms are understood without a model, in",
        "English and Japanese, about the findings, slices, measures, days and traces of the report. Names may stand",
        "in quotes. “It”, “that tool” and “the second one” mean what was named or listed last.",
        "",
        "A question is understood as a whole or not at all: a word that has no place in a form is told, and nothing is",
        "guessed. With a model configured (`HANSEI_MODEL`), the model turns a question that fits no form into one of",
        "these; it chooses what is looked up and never says what comes out.",
        "",
        "Asked for a dataset, Hansei puts together what would be written, shows it and stops; only an approval (in",
        "the chat `y`, or `edit` to change or leave out; elsewhere the interrupt's answer) sends it to Langfuse. No",
        "model and no text of a trace can ask for one: only your own words in these forms. When input is piped,",
        "nothing is sent.",
        "",
        "All numbers of an answer come from its own queries, which it keeps; the measured ones are derived again by a",
        "second query that shares only the metric's definition.",
        "",
        "| form | what it gives | English | 日本語 |",
        "|---|---|---|---|",
    ]
    for form, meaning in MEANING.items():
        shown = ["<br>".join(example for name, example in FORMS[code] if name == form) for code in ("en", "ja")]
        lines.append(f"| {form} | {meaning} | {shown[0]} | {shown[1]} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PATH.write_text(text(), encoding="utf-8")
