"""What a model looked into, in each form of the report: shown, and nothing in it becomes markup or a link."""

from __future__ import annotations

import io
import re
from contextlib import redirect_stdout
from typing import Literal

import pytest
from markdown_it import MarkdownIt
from tests.support.sample_report import HOSTILE, sample_report

from hansei.cli.console import PlainConsole
from hansei.cli.first_screen import tell_report
from hansei.contracts import Estimate, Evidence, Investigation, Report, Taxonomy, hash_result
from hansei.tools.playbook.taxonomy import category, counted
from hansei.tools.report.html import render_html
from hansei.tools.report.markdown import render_markdown


def evidence(ids: list[str]) -> Evidence:
    rows = [[id] for id in ids]
    return Evidence(
        id="q1.q0", purpose="sample", sql="SELECT 1", parameters={}, columns=["trace_id"], rows=list(rows),
        row_count=len(rows), rows_read=1, seconds=0.1, result_hash=hash_result(["trace_id"], list(rows)),
    )  # fmt: skip


def investigated(said: str, language: Literal["en", "ja"] = "en") -> Report:
    report = sample_report(language)
    sample = evidence(["t1", "t2", "t3", "t4"])
    taxonomy = Taxonomy(
        metric="score_rate", segment={"trace_name": said}, sample=sample.id, unread=1,
        categories=[category("other", "", ["t4"]), category(said, said, ["t1", "t2", "t3"])],
    )  # fmt: skip
    one = Investigation(
        id="q1", question=said, hypothesis=said, refuted_by=said, verdict="supported", answer=said,
        taxonomy=counted(taxonomy, [sample]), findings=report.refuted[:1], told_by=[report.findings[0].id],
        evidence=[sample], notes=[said],
    )  # fmt: skip
    return report.model_copy(update={"investigations": [one]})


@pytest.mark.parametrize(
    ("language", "words"),
    [("en", ("Questions that were looked into", "Borne out", "75 %")), ("ja", ("掘り下げた問い", "裏づけあり", "75%"))],
)
def test_it_is_told_in_every_form(language: Literal["en", "ja"], words: tuple[str, ...]) -> None:
    report = investigated("Answers cite the archive.", language)
    printed = io.StringIO()
    with redirect_stdout(printed):
        tell_report(PlainConsole(), report, [])
    for page in (render_html(report), render_markdown(report)):
        assert all(word in page for word in words)
        assert report.findings[0].title in page
    assert words[1] in printed.getvalue()
    assert "Answers cite the archive." in printed.getvalue()


def test_hostile_words_stay_words() -> None:
    report = investigated(HOSTILE)
    page = render_html(report)
    for mark in ("<script>alert", "<img", "</svg>]]", "\u202e", "\x1b"):
        assert mark not in page
    assert not re.search(r"href=.{0,3}https://evil", page)
    text = render_markdown(report)
    html = MarkdownIt("commonmark", {"html": True}).enable("table").render(text)
    for mark in ("<script>alert", "<img", 'href="https://evil', "\u202e", "\x1b"):
        assert mark not in html
    printed = io.StringIO()
    with redirect_stdout(printed):
        tell_report(PlainConsole(), report, [])
    assert "\x1b" not in printed.getvalue()


def test_a_report_without_them_has_no_trace_of_them() -> None:
    report = sample_report()
    assert "investigations" not in report.model_dump()
    assert "looked into" not in render_html(report) + render_markdown(report)


def test_only_labels_of_traces_that_were_drawn_count() -> None:
    taxonomy = Taxonomy(
        metric="error_rate", segment={}, sample="q1.q0", unread=0,
        categories=[category("slow", "", ["t1", "invented"]), category("wrong", "", ["t2", "t3"])],
    )  # fmt: skip
    found = counted(taxonomy, [evidence(["t1", "t2", "t3"])])
    assert [(one.label, one.trace_ids) for one in found.categories] == [("wrong", ["t2", "t3"]), ("slow", ["t1"])]
    wrong = found.categories[0].share
    assert (wrong.n, round(wrong.value, 3)) == (3, 0.667)
    assert 0.2 < wrong.low < 0.667 < wrong.high < 0.95
    nothing = counted(taxonomy, [])
    assert nothing.categories[0].share == Estimate(value=0.0, n=0, low=0.0, high=1.0)
