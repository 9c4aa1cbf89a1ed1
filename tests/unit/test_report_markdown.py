"""Markdown: it reads well, and no text from outside becomes Markdown."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from tests.support.sample_report import HOSTILE, empty_report, finding, hostile_report, long_report, sample_report

from hansei.contracts import Report
from hansei.tools.report.markdown import render_markdown
from hansei.tools.report.markdown_text import code, escape, paragraph, sparkline
from hansei.tools.report.text import one_line

MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])


def html(markdown: str) -> str:
    return str(MARKDOWN.render(markdown))


def text_of(source: str) -> str:
    """The text that a reader sees of rendered Markdown."""
    import html as escaping

    return " ".join(escaping.unescape(re.sub(r"<[^>]*>", "", source)).split())


SNAPSHOTS = Path(__file__).parents[1] / "support" / "snapshots"


@pytest.mark.parametrize("language", ["en", "ja"])
def test_the_whole_file_is_as_it_was(language: Literal["en", "ja"]) -> None:
    """After a change that is meant: ``python -m tests.support.write_snapshots``, and look at the difference."""
    assert render_markdown(sample_report(language)) == (SNAPSHOTS / f"report.{language}.md").read_text("utf-8")


def test_a_flow_is_a_graph_that_mermaid_reads() -> None:
    blocks = re.findall(r"```mermaid\n(.*?)```", render_markdown(hostile_report()), re.DOTALL)
    assert blocks
    line = re.compile(
        r'flowchart TD|begin\(\("●"\)\)|stop\(\("○"\)\)|s\d+\["[^"\[\]<>{}|`]*(<br>[^"\[\]<>{}|`]*)*"\]'
        r'|(begin|s\d+) (-->|-\.->)\|"[^"|<>\[\]{}`]*"\| (stop|s\d+)|classDef changed .*|class s[\ds,]+ changed'
    )
    for block in blocks:
        for one in block.strip().splitlines():
            assert line.fullmatch(one.strip()), one


def test_a_finding_reads_like_this() -> None:
    markdown = render_markdown(sample_report())
    assert (
        """## Findings

### 1. search_kb fails in 18 % of its calls, up from 3.1 %

🔴 **Critical** · Errors · Got worse

Calls of the tool search_kb that end in an error rose from 3.1 % to 18 % with release 2026.11.11.

| error rate | Value | n |
| --- | ---: | ---: |
| Window | **18 % (17–20 %)** | 2,931 |
| Baseline: observation search_kb | 3.1 % (2.4–3.9 %) | 2,875 |
| Change | +15 points |  |

error rate, day by day: Baseline `▁▁▁▁▁▂▁` · Window `▁▁█▇▆█▇` \
release 2026.11.11 was first seen on 11 Nov 2026.

- **Where:** observation `search_kb`, release `2026.11.11`
- **Since:** 11 Nov 2026
- **How sure:** p < 0.001; q < 0.001 over all comparisons; 4 of 5 checks passed
- **Impact:** Extra cost a week: $31.20 · Traces beyond what was expected: 402 · Share of all traces: 6.4 % · \
Traces affected: 487 · Users affected: 211
- **This also explains:** error rate, trace support-agent: 2.1 % → 9.4 %
- **Likely cause:** Release 2026.11.11 went live on the day of the onset. 91 % of the new errors say \
“connection pool exhausted”.
- **Recommendation:** Raise the connection pool of search_kb from 10 to 50, or roll release 2026.11.11 back.

**What else it could have been**

- ✅ Re-derived by another query (passed): 18.2 % from raw rows, within 0.1 points.
"""
        in markdown
    )


def test_first_lines_are_the_verdict_and_the_actions() -> None:
    lines = render_markdown(sample_report()).splitlines()
    assert lines[0].startswith("# search_kb fails in 18 % of its calls since 11 Nov")
    assert "## What to do first" in lines[:20]
    assert lines[-1].endswith("`hansei verify report.json`")


@pytest.mark.parametrize("report", [sample_report("ja"), empty_report("ja")], ids=["sample", "empty"])
def test_japanese(report: Report) -> None:
    markdown = render_markdown(report)
    assert "## 最初に行うこと" in markdown
    assert "## Findings" not in markdown


def test_nothing_found() -> None:
    assert "212 comparisons were made, and none passed the tests" in render_markdown(empty_report())


def test_hostile_text_shows_as_text() -> None:
    rendered = html(render_markdown(hostile_report()))
    tags = set(re.findall(r"<(\w+)", re.sub(r"<!--.*?-->", "", rendered)))
    assert tags <= {
        "h1", "h2", "h3", "p", "strong", "blockquote", "ul", "ol", "li", "br", "code", "pre", "table", "thead", "tbody",
        "tr", "th", "td", "details", "summary",
    }  # fmt: skip
    assert one_line(HOSTILE) in text_of(rendered)
    assert len(re.findall("<h1>", rendered)) == 1


def test_hostile_text_breaks_no_table() -> None:
    for report in (hostile_report(), sample_report(), long_report(3)):
        rendered = html(render_markdown(report))
        tables = re.findall(r"<table>.*?</table>", rendered, re.DOTALL)
        assert len(tables) > 4
        for table in tables:
            rows = re.findall(r"<tr>.*?</tr>", table, re.DOTALL)
            assert len({len(re.findall(r"<t[hd]", row)) for row in rows}) == 1
        assert not re.findall(r"<p>\|", rendered)


def test_nothing_outside_code_is_linked_by_itself() -> None:
    blocks = MARKDOWN.parse(render_markdown(hostile_report()))
    texts = [one.content for block in blocks for one in block.children or [] if one.type == "text"]
    assert [text for text in texts if "evil.example" in text]
    for text in texts:
        assert not re.search(r"://\w|www\.\w|@\w", text.replace("//evil", "evil") if text.startswith("//") else text)


def test_only_plain_web_addresses_become_links() -> None:
    report = sample_report(findings=[finding(1, trace_urls=["https://x.example/a(b)c", "javascript:alert(1)"])])
    rendered = html(render_markdown(report))
    links = re.findall(r'href="([^"]*)"', rendered)
    assert "https://x.example/a%28b%29c" in links
    assert not [link for link in links if "alert" in link]


@given(st.text(max_size=60))
def test_escaped_text_comes_back_as_it_was(text: str) -> None:
    wanted = one_line(text)
    for markdown in (f"x {escape(text)} x", f"| {escape(text)} |\n|---|\n", f"# x {escape(text)} x", paragraph(text)):
        rendered = html(markdown)
        assert not set(re.findall(r"<(\w+)", re.sub(r"<!-- -->", "", rendered))) - {
            "p",
            "table",
            "thead",
            "tr",
            "th",
            "h1",
        }
        assert wanted in text_of(rendered)


@given(st.text("`a |\n~", max_size=12))
def test_code_holds_any_backticks(text: str) -> None:
    shown = html(f"x {code(text)} x")
    assert shown.count("<code>") == 1


def test_sparkline() -> None:
    assert sparkline([0, 1, 2, 4, 8]) == "▁▂▃▅█"
    assert sparkline([0, 0]) == "▁▁"
    assert sparkline([-1, 1]) == "▁█"


def test_twice_the_same_text() -> None:
    assert render_markdown(sample_report()) == render_markdown(sample_report())
