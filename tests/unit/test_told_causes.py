"""A sentence that says why may name only what one finding's evidence holds, and must be about something."""

from __future__ import annotations

from functools import partial

import pytest
from tests.support.sample_report import sample_report

from hansei.tools.report.causes import names_in, unsupported
from hansei.tools.report.grounding import facts_of_finding, facts_of_report, is_sentence, speaks_of
from hansei.tools.report.settling import Own, Sentence, wrong_in

REPORT = sample_report()
FACTS = facts_of_report(REPORT)
OWN = Own(partial(facts_of_finding, REPORT), names_in(REPORT.findings))


@pytest.mark.parametrize(
    ("sentence", "about"),
    [
        ("search_kb fails because release 2026.11.11 went live.", [1]),
        ("The connection pool may be exhausted, which explains why 18 % of the calls fail.", [1]),
        ("sql-copilot costs more since it calls gpt-5.", [4]),
        ("search_kb fails, and sql-copilot costs $0.083 a trace.", [1, 4]),  # two things, neither of which is why
        ("search_kbの失敗はリリース2026.11.11が原因です。", [1]),
        ("The cause of the failures of search_kb is in support-agent.", [1]),  # its echo
    ],
)
def test_what_one_finding_holds_may_be_told_as_its_cause(sentence: str, about: list[int]) -> None:
    findings = [REPORT.findings[number - 1] for number in about]
    assert unsupported(sentence, findings, OWN.facts, OWN.names) == []


@pytest.mark.parametrize(
    ("sentence", "about", "what"),
    [
        ("sql-copilot costs more because search_kb fails.", [1, 4], "sql-copilot"),
        ("search_kb fails since gpt-5 took over.", [1], "gpt-5"),
        ("research-agent takes 41 s due to release 2026.11.11.", [3, 1], "2026.11.11"),
        ("The failures of search_kb led to 0.71 in helpfulness.", [1, 2], "0.71"),
        ("The release explains all of it.", [], "it says why, and is about no finding"),
        ("search_kbの失敗により、research-agentが遅くなっています。", [1, 3], "research-agent"),
    ],
)
def test_one_finding_is_not_told_as_the_cause_of_another(sentence: str, about: list[int], what: str) -> None:
    findings = tuple(REPORT.findings[number - 1] for number in about)
    assert what in unsupported(sentence, findings, OWN.facts, OWN.names)
    assert wrong_in(Sentence(sentence, findings), FACTS, OWN) != []


@pytest.mark.parametrize("text", ["no", "true", "“”", "...", "はい", "不明です"])
def test_a_word_is_no_sentence(text: str) -> None:
    assert not is_sentence(text)
    assert wrong_in(Sentence(text), FACTS) == ["it is no whole sentence"]


@pytest.mark.parametrize(
    "text", ["the answer to the question", "camping demand after the rainy season", "よくわかりません"]
)
def test_a_sentence_about_nothing_is_found_out(text: str) -> None:
    assert is_sentence(text)
    assert not speaks_of(text, OWN.facts(REPORT.findings[0]))


def test_every_word_of_the_rules_is_about_its_finding() -> None:
    for language in ("en", "ja"):
        report = sample_report(language)
        for finding in report.findings:
            facts = facts_of_finding(report, finding)
            assert all(speaks_of(text, facts) for text in (finding.title, finding.summary, finding.recommendation))
