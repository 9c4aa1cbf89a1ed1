"""What a model wrote is shown beside the rules' words, marked, and as text."""

from __future__ import annotations

import re

import pytest
from markdown_it import MarkdownIt
from tests.support.sample_report import HOSTILE, hostile_report, sample_report
from tests.support.sample_words import told

from hansei.contracts import Report
from hansei.tools.report.files import render_json
from hansei.tools.report.html import render_html
from hansei.tools.report.markdown import render_markdown
from hansei.tools.report.reword import in_language


@pytest.mark.parametrize("render", [render_html, render_markdown])
@pytest.mark.parametrize(
    ("language", "mark"), [("en", "Written by the model some-model."), ("ja", "モデルsome-modelによる")]
)
def test_it_stands_beside_the_rules_words_and_is_marked(render: object, language: str, mark: str) -> None:
    report = sample_report(language)  # type: ignore[arg-type]
    shown, plain = render(told(report)), render(report)  # type: ignore[operator]
    for text in ("Look at the pool first.", "The pool may be too small.", "Make it larger.", "Say so."):
        assert text in shown
        assert text not in plain
    assert shown.count(mark) == 2
    assert mark not in plain
    assert plain.count(report.findings[0].recommendation[:20]) == shown.count(report.findings[0].recommendation[:20])


def test_a_report_by_rules_says_nothing_of_it() -> None:
    plain = render_json(sample_report())
    assert not any(key in plain for key in ('"summary": null', '"worded"', '"usage"'))
    assert Report.model_validate_json(plain) == sample_report()
    again = Report.model_validate_json(render_json(told(sample_report())))
    assert again == told(sample_report())


def test_a_diff_with_a_fence_in_it_stays_in_its_block() -> None:
    blocks = [token for token in MarkdownIt().parse(render_markdown(told(sample_report()))) if token.type == "fence"]
    [diff] = [token for token in blocks if token.info == "diff"]
    assert "+Say so.```" in diff.content


def test_hostile_words_are_text_in_html() -> None:
    page = render_html(hostile_report())
    assert page.count("&lt;script&gt;alert") > 10
    assert "<script>alert" not in page
    assert not re.search(r"<a [^>]*evil", page)
    assert "\u202e" not in page


def test_another_language_has_none_of_it() -> None:
    changed = in_language(told(sample_report()), "ja")
    assert changed.summary is None
    assert not any(one.worded for one in changed.findings)
    assert in_language(told(sample_report()), "en").summary == "Look at the pool first."
    assert HOSTILE in (hostile_report().summary or "")
