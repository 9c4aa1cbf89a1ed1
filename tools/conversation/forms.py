"""The forms of questions that are understood without a model, by example: for help, documentation and tests.

An example has places for names: `FORMS` fills them with made-up ones, `examples` with those of a report. One whose
place stays empty is left out; the place `of_a_finding` takes no room, and is there where the report has a finding.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from string import Formatter

from hansei.contracts import Report
from hansei.contracts.asks import Named
from hansei.tools.conversation.lexicon import segments_of, speakers, vocabulary, words_of

_NEAR = 5
"""Examples that are shown in place of all of them."""

_LONGEST = 60
"""Letters of a name that is put into an example."""

_EXAMPLES: dict[str, tuple[tuple[str, str], ...]] = {
    "en": (
        ("examples", "Show me five of those.{of_a_finding}"),
        ("breakdown", "Is it only {speakers} users?"),
        ("breakdown", "Is it only environment “{environment}”?"),
        ("breakdown", "Is it the model?{of_a_finding}"),
        ("breakdown", "Why not the model?{of_a_finding}"),
        ("breakdown", "Cost by model"),
        ("breakdown", "Which users?{of_a_finding}"),
        ("compare", "Compare v{before} and v{version} on cost."),
        ("day", "What changed on the {day}?"),
        ("measure", "Error rate over time"),
        ("measure", "And in environment “{environment}”?"),
        ("measure", "How much does app “{app}” cost?"),
        ("measure", "How often does tool “{tool}” fail?"),
        ("about", "Tell me about the {second} one."),
        ("about", "Why?{of_a_finding}"),
        ("about", "When did it start?{of_a_finding}"),
        ("about", "How many traces are affected?{of_a_finding}"),
        ("about", "What should I do about it?{of_a_finding}"),
        ("about", "How do you know?{of_a_finding}"),
        ("trace", "Show trace {trace}"),
        ("dataset", "Make a dataset from the {second} finding."),
        ("dataset", "Send these to Langfuse.{of_a_finding}"),
        ("list", "Which findings are there?"),
        ("list", "What got better?"),
        ("list", "What was refuted?"),
        ("list", "What was not looked at?"),
        ("list", "Help"),
    ),
    "ja": (
        ("examples", "例を5つ見せて{of_a_finding}"),
        ("breakdown", "{speakers}のユーザーだけですか？"),
        ("breakdown", "環境「{environment}」だけですか？"),
        ("breakdown", "なぜモデルではないのか{of_a_finding}"),
        ("breakdown", "モデル別のコスト"),
        ("breakdown", "どのユーザー？{of_a_finding}"),
        ("compare", "v{before}とv{version}をコストで比べて"),
        ("day", "{day}に何が変わった？"),
        ("measure", "エラー率の推移"),
        ("measure", "では環境「{environment}」は？"),
        ("measure", "アプリ「{app}」のコスト"),
        ("measure", "ツール「{tool}」のエラー率"),
        ("about", "{second}番目について教えて"),
        ("about", "それはなぜ？{of_a_finding}"),
        ("about", "いつから？{of_a_finding}"),
        ("about", "影響を受けたトレースは何件？{of_a_finding}"),
        ("about", "どうすればいい？{of_a_finding}"),
        ("about", "クエリを見せて{of_a_finding}"),
        ("trace", "トレース {trace} を見せて"),
        ("dataset", "{second}番目の問題からデータセットを作って"),
        ("dataset", "これらをLangfuseに送って{of_a_finding}"),
        ("list", "問題を見せて"),
        ("list", "良くなったものは？"),
        ("list", "棄却されたものは？"),
        ("list", "見ていないものは？"),
        ("list", "ヘルプ"),
    ),
}  # fmt: skip

_MADE_UP = {
    "app": "checkout", "tool": "lookup_order", "environment": "staging", "before": "6", "version": "7",
    "trace": "0af7651916cd43dd", "of_a_finding": "",
}  # fmt: skip
_FIRST, _SECOND = {"en": "first", "ja": "1"}, {"en": "second", "ja": "2"}


def _day(number: int, language: str) -> str:
    if language == "ja":
        return f"{number}日"
    ending = "th" if number in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def _filled(language: str, names: Mapping[str, str]) -> list[tuple[str, str]]:
    """The examples for whose places there are names."""
    return [
        (form, text.format(**names))
        for form, text in _EXAMPLES[language]
        if all(place is None or place in names for _, place, _, _ in Formatter().parse(text))
    ]


def _made_up(language: str) -> dict[str, str]:
    return {
        **_MADE_UP, "speakers": speakers("ja", language) or "", "day": _day(14, language), "second": _SECOND[language],
    }  # fmt: skip


FORMS = {language: _filled(language, _made_up(language)) for language in _EXAMPLES}
"""Language → (form, an example)."""


def examples(report: Report) -> list[str]:
    """An example of every form, with the report's own apps, tools, versions, days and traces, in its language."""
    return [text for _, text in _filled(report.language, _names_in(report))]


def nearest(question: str, report: Report, named: Named | None = None) -> list[str]:
    """The examples that share most with a question that was not understood, a few of them, of different forms."""
    known = vocabulary(report, named)

    def sorts(text: str) -> set[str]:
        found = {meaning.category for word in words_of(text, known) for meaning in word.meanings}
        return found - {"FILLER", "AND", "IT", "ONE", "SHOW"}

    asked, shown = sorts(question), dict[str, str]()
    filled = _filled(report.language, _names_in(report))
    for form, text in sorted(filled, key=lambda one: -len(sorts(one[1]) & asked)):
        shown.setdefault(form, text)
    return list(shown.values())[:_NEAR]


def _names_in(report: Report) -> dict[str, str]:
    """What the examples may name: the first of each that a finding speaks of."""
    language, names = report.language, dict[str, str]()
    places = {"trace_name": "app", "tool_name": "tool", "environment": "environment"}
    for finding in (*report.findings, *report.refuted):
        for dimension, value in segments_of(finding):
            if dimension in places and _speakable(value):
                names.setdefault(places[dimension], value)
            if dimension == "metadata.language" and (word := speakers(value, language)):
                names.setdefault("speakers", word)
            if dimension == "prompt_version" and re.fullmatch(r"\d{1,6}", value) and int(value) > 1:
                names.setdefault("version", value)
                names.setdefault("before", str(int(names["version"]) - 1))
        if finding.onset is not None and finding.onset >= report.window.start:
            names.setdefault("day", _day(finding.onset.day, language))
        for trace in finding.example_trace_ids[:1]:
            if re.fullmatch(r"[\w.:-]{6,64}", trace) and re.search(r"\d", trace):
                names.setdefault("trace", trace)
    if report.findings:
        names["of_a_finding"] = ""
        names["second"] = (_SECOND if len(report.findings) > 1 else _FIRST)[language]
    return names


def _speakable(name: str) -> bool:
    """Whether a name can stand in quotes in a question."""
    return 0 < len(name) <= _LONGEST and name.isprintable() and not set(name) & set("\"'“”「」『』{}`")
