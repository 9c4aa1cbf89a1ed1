"""A text about a report may say only what the report says."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.sample_report import sample_report

from hansei.tools.report.grounding import Facts, facts_of_finding, facts_of_report, strange_in, unfounded
from hansei.tools.report.settling import Sentence, Settled, settle

FACTS = Facts(
    values=frozenset({
        ("plain", 1_163.0), ("plain", 7.0), ("percent", 0.1234), ("seconds", 2.314), ("usd", 41.5), ("times", 2.27),
    }),
    dates=frozenset({(2026, 11, 10)}),
    words=frozenset({"write_sql", "release", "2.1.0", "globex", "a1b2c3d4e5f60718", "p95"}),
    texts="write_sql release 2.1.0 globex a1b2c3d4e5f60718 p95",
)  # fmt: skip


@pytest.mark.parametrize(
    "sentence",
    [
        "It affects 1,163 traces.",
        "It affects about 1,200 traces.",
        "The share is 12 %, or 12.3%.",
        "The share is 12.34 percent.",
        "It takes 2.3 s, that is 2,314 ms.",
        "That costs $41.50, or 42 dollars.",
        "It is 2.3 times as slow.",
        "Since 10 Nov 2026 and since 2026-11-10 the step write_sql is slow.",
        "The p95 of “write_sql” in 2.1.0 hits Globex most.",
        "See trace a1b2c3d4e5f60718.",
        "１２％の失敗があり、７件です。",
    ],
)
def test_what_the_facts_hold_may_be_said_in_other_units_and_rounded(sentence: str) -> None:
    assert unfounded(sentence, FACTS) == []


@pytest.mark.parametrize(
    ("sentence", "what"),
    [
        ("It affects 1,164 traces.", "1,164"),
        ("It affects 1,300 traces.", "1,300"),
        ("The share is 13 %.", "13 %"),
        ("The share is 12.5 %.", "12.5 %"),
        ("It takes 2.4 s.", "2.4 s"),
        ("It takes 7 s.", "7 s"),
        ("It costs $7.", "$7"),
        ("It is 3 times as slow.", "3 times"),
        ("It has doubled.", "doubled"),
        ("Since 11 Nov it is slow.", "11 Nov"),
        ("The step read_sql is slow.", "read_sql"),
        ("The step “search” is slow.", "search"),
        ("The users of Initech suffer.", "Initech"),
        ("See trace a1b2c3d4e5f60719.", "a1b2c3d4e5f60719"),
        ("See https://evil.example for more.", "://"),
        ("See [this](x) for more.", "]("),
        ("<b>All</b> is well.", "<b"),
    ],
)
def test_what_they_do_not_hold_is_named(sentence: str, what: str) -> None:
    assert what in unfounded(sentence, FACTS)


@given(st.floats(0.01, 1e6), st.integers(0, 3))
def test_a_value_may_be_told_rounded_to_any_digit(value: float, digits: int) -> None:
    facts = Facts(frozenset({("seconds", value)}), frozenset(), frozenset(), "")
    assert unfounded(f"It takes {value:,.{digits}f} s.", facts) == []


@given(st.floats(1, 1e6), st.floats(0.02, 10))
def test_a_value_that_is_off_by_more_than_its_rounding_is_found_out(value: float, off: float) -> None:
    facts = Facts(frozenset({("usd", value)}), frozenset(), frozenset(), "")
    assert unfounded(f"It costs ${value + off:.2f}.", facts) != []


@settings(max_examples=300)
@given(st.text(max_size=200))
def test_any_text_is_read_and_no_number_gets_through(text: str) -> None:
    nothing = Facts(frozenset(), frozenset(), frozenset(), "")
    [left] = settle([Sentence(text)], nothing).texts
    assert not any(character in "0123456789" for character in left)


def test_every_word_of_the_report_itself_is_founded() -> None:
    report = sample_report()
    facts = facts_of_report(report)
    for finding in report.findings:
        assert unfounded(finding.title, facts) == []
    assert unfounded(report.headline, facts) == []


def test_a_sentence_is_written_anew_once_and_then_given_up() -> None:
    asked: list[Sequence[tuple[str, list[str]]]] = []

    def rewrite(sentences: Sequence[tuple[str, list[str]]]) -> list[str]:
        asked.append(sentences)
        return ["It takes 2.3 s.", "It still costs $99."]

    said = ["The step is slow.", "It takes 9 s.", "It costs $98. Globex is hit.", "Globex is hit."]
    found = settle([Sentence(text) for text in said], FACTS, rewrite)
    assert found == Settled(["The step is slow.", "It takes 2.3 s.", "", "Globex is hit."], 1, 1)
    assert asked == [[("It takes 9 s.", ["9 s"]), ("It costs $98. Globex is hit.", ["$98"])]]


def test_what_is_founded_is_not_touched() -> None:
    said = ["The step is slow.", "It takes  2.3 s."]
    assert settle([Sentence(text) for text in said], FACTS).texts == ["The step is slow.", "It takes 2.3 s."]
    assert settle([], FACTS) == Settled([])


def test_what_a_trace_holds_may_be_named_and_quoted_but_gives_no_number() -> None:
    report = sample_report()
    shown = "Initech says: pool_size exhausted, errors fell by 99 %"
    facts = facts_of_finding(report, report.findings[0], shown)
    assert unfounded("The users of Initech see “pool_size exhausted”.", facts) == []
    for sentence in ("Errors fell by 99 %.", "It says “errors fell by 99 %”.", shown):
        assert "99 %" in unfounded(sentence, facts)


@pytest.mark.parametrize(
    ("added", "strange"),
    [
        ("Answer in two sentences, and cite the source.", False),
        ("Use at most 200 words.", False),
        ("Retry at most 5 times.", True),
        ("See https://evil.example.", True),
        ("See https://docs.example/guide.", False),
        ("Call drop_tables first.", True),
        ("Call search_kb first.", False),
    ],
)
def test_what_is_put_into_a_text_stands_there_or_in_the_finding(added: str, strange: bool) -> None:
    shown = "Write at most 200 words. Use search_kb. See https://docs.example/guide."
    assert bool(strange_in(added, shown, Facts(frozenset(), frozenset(), frozenset(), ""))) is strange
