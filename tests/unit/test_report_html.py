"""The page: complete, accessible in its structure, self-contained, and safe whatever the texts hold."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from html.parser import HTMLParser
from itertools import pairwise
from typing import get_args

import pytest
from tests.support.sample_report import (
    HOSTILE,
    TRACE_IDS,
    empty_report,
    finding,
    hostile_report,
    long_report,
    sample_report,
)

from hansei.contracts import DIMENSIONS, SEVERITIES, Count, Direction, Kind, Report, Screening, Verdict
from hansei.tools.playbook.catalogue import DETECTORS
from hansei.tools.report.catalogue import TEMPLATES, catalogue
from hansei.tools.report.html import render_html
from hansei.tools.report.text import one_line

VOID = {"meta", "link", "br", "img", "input", "hr"}


@dataclass
class Page(HTMLParser):
    """Elements and text of a page; fails for tags that are not closed in order."""

    source: str
    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    texts: list[tuple[str, str]] = field(default_factory=list)
    path: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.feed(self.source)
        self.close()
        assert self.path == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs), f"an attribute twice in <{tag}>"
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.path.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.path.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append((self.path[-1] if self.path else "", data))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def text(self) -> str:
        return " ".join(" ".join(data for tag, data in self.texts if tag not in ("style", "script")).split())

    def headings(self) -> list[str]:
        return [name for name, _ in self.tags if re.fullmatch(r"h\d", name)]


def page(report: Report) -> Page:
    return Page(render_html(report))


REPORTS: dict[str, Callable[[], Report]] = {
    "sample": sample_report,
    "japanese": lambda: sample_report("ja"),
    "empty": empty_report,
    "hostile": hostile_report,
    "hostile japanese": lambda: hostile_report("ja"),
    "thirty": long_report,
}
every_page = pytest.mark.parametrize("name", REPORTS)


@cache
def source(name: str) -> str:
    return render_html(REPORTS[name]())


@every_page
def test_nothing_is_loaded_run_or_styled_from_elsewhere(name: str) -> None:
    shown = Page(source(name))
    allowed = {
        "html", "head", "meta", "title", "link", "style", "body", "a", "header", "main", "section", "nav", "article",
        "footer", "div", "p", "strong", "span", "bdi", "q", "code", "pre", "br", "h1", "h2", "h3", "h4", "ol", "ul",
        "li", "dl", "dt", "dd", "table", "thead", "tbody", "tr", "th", "td", "figure", "figcaption", "details",
        "summary", "svg", "g", "path", "text", "use", "defs", "clippath", "rect", "desc", "circle", "polygon",
        "button", "script",
    }  # fmt: skip
    assert {tag for tag, _ in shown.tags} <= allowed
    for tag, attributes in shown.tags:
        assert not [
            name for name in attributes if name.startswith("on") or name in ("style", "src", "srcset", "action")
        ]
        if (target := attributes.get("href")) is not None:
            web = tag == "a" and target.startswith("https://langfuse.example.com/project/")
            assert web or target.startswith("#") or (tag == "link" and target == "data:,"), target
            assert not web or attributes["rel"] == "noreferrer noopener"
    style = [data for tag, data in shown.texts if tag == "style"]
    assert "url(" not in "".join(style)
    assert "@import" not in "".join(style)
    assert shown.all("script") == [{}]
    assert [data for tag, data in shown.texts if tag == "script"] == [(TEMPLATES / "report.js").read_text("utf-8")]


@every_page
def test_the_policy_allows_its_own_style_sheet_and_script_and_nothing_else(name: str) -> None:
    shown = Page(source(name))
    policies = [a["content"] for a in shown.all("meta") if a.get("http-equiv") == "Content-Security-Policy"]
    css, script = ("".join(data for tag, data in shown.texts if tag == kind) for kind in ("style", "script"))
    style, code = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (css, script))
    assert policies == [
        f"default-src 'none'; style-src 'sha256-{style}'; script-src 'sha256-{code}'; img-src data:; base-uri 'none'; "
        "form-action 'none'"
    ]
    assert len(shown.all("style")) == 1


@every_page
def test_structure_serves_screen_readers(name: str) -> None:
    shown = Page(source(name))
    levels = [int(heading[1]) for heading in shown.headings()]
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(later - earlier <= 1 for earlier, later in pairwise(levels))
    ids = [attributes["id"] for _, attributes in shown.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in shown.tags:
        for attribute in ("aria-labelledby", "href"):
            for target in (attributes.get(attribute) or "").split():
                if attribute == "aria-labelledby" or target.startswith("#"):
                    assert target.removeprefix("#") in ids, target
    assert shown.all("html") == [{"lang": "ja" if "japanese" in name else "en"}]
    assert len(shown.all("main")) == 1
    assert all(attributes.get("role") == "img" for attributes in shown.all("svg"))
    assert len(shown.all("svg")) >= len(REPORTS[name]().findings)
    buttons = shown.all("button")
    assert {attributes["data-copy"] for attributes in buttons} <= set(ids)
    assert all("hidden" in attributes and attributes["type"] == "button" for attributes in buttons)


@every_page
def test_twice_the_same_bytes(name: str) -> None:
    report = REPORTS[name]()
    assert source(name) == render_html(Report.model_validate(report.model_dump(mode="json", by_alias=True)))


def test_the_first_screen_says_what_to_do() -> None:
    text = Page(source("sample")).text
    first = text[: text.index("Findings 7")]
    for part in (
        "search_kb fails in 18 % of its calls since 11 Nov, and answers got worse with prompt version 7.",
        "1 critical 2 high 2 medium 1 low 1 improvement", "Why did support get worse this week?",
        "Raise the connection pool of search_kb from 10 to 50, or roll release 2026.11.11 back.",
        "Gain: saves about $31.20 a week · spares 402 traces a window (6.4 % of all)",
        "Failing traces +7.3 points · worse 9.4 % 8.9–9.9 % 2.1 % 2–2.2 %", "p95 latency −49 % · better 12 s",
        "Traces a day +22 % · changed", "Median latency no clear change", "helpfulness −15 % · worse 0.71",
        "9 Nov 2026 – 15 Nov 2026 (UTC), 7 days", "in 212 comparisons", "3 gaps in the coverage",
    ):  # fmt: skip
        assert part in first, part


def test_the_first_sentence_of_the_verdict_is_the_title() -> None:
    shown = page(
        sample_report(headline="25 % of calls of “look_up” 2.4.0 fail, up from 1.4 %. 12 problems in all. Bye.")
    )
    assert ("h1", "25 % of calls of “look_up” 2.4.0 fail, up from 1.4 %.") in shown.texts
    assert ("p", "12 problems in all. Bye.") in shown.texts


def test_a_finding_tells_everything_it_knows() -> None:
    report = sample_report()
    text = Page(source("sample")).text
    start = text.index("Critical Errors Got worse #1")
    shown = text[start : text.index("High Quality Got worse #2")]
    for part in (
        "search_kb fails in 18 % of its calls, up from 3.1 %", "Window 18 % (17–20 %) n = 2,931",
        "Baseline: observation search_kb 3.1 % (2.4–3.9 %) n = 2,875", "Change +15 points",
        "Where observation search_kb release 2026.11.11", "Since 11 Nov 2026", "p < 0.001", "4 of 5 checks passed",
        "Likely cause Release 2026.11.11 went live", "Recommendation Raise the connection pool",
        "Users affected 211", "error rate, trace support-agent: 2.1 % → 9.4 %",
        "✓ Mix shift (passed) With the baseline's mix", "? Arrival lag (could not be checked)",
        "Measured day by day e11 · 14 rows · read 1.28 M rows in 42 ms", "countIf(level = 'ERROR') AS y",
        "project acme-prod", "Result: 14 rows", report.findings[0].evidence[0].result_hash, "hansei verify report.json",
        *TRACE_IDS,
    ):  # fmt: skip
        assert part in shown, part


def test_the_rest_of_the_report_is_there() -> None:
    text = Page(source("sample")).text
    for part in (
        "Refuted Errors of all traces rose from 2 % to 3 %", "✕ Mix shift (failed) With the baseline's mix of traces",
        "Not measurable First token of chat came later", "Quality Ran in part 12 Scores of 2 of 5 names are text.",
        "Cache Skipped 0 No usage of cached tokens is recorded.", "No trace carries a user id before 4 Nov.",
        "312 traces of the environment", "Which steps fail more? Errors · Errors rose by 170 %.",
        "Which users met the errors of search_kb?", "Model gpt-5-mini", "Cost of the model $0.093", "Took 6.8 s",
        "Trace of this run in Langfuse",
    ):  # fmt: skip
        assert part in text, part


def test_long_answers_are_cut_and_say_so() -> None:
    rows = [["x" * 500, number] for number in range(30)]
    report = sample_report()
    proof = report.findings[0].evidence[0].model_copy(update={"columns": ["a", "b"], "rows": rows, "row_count": 30})
    text = page(report.model_copy(update={"findings": [finding(1, evidence=[proof])]})).text
    assert "10 more rows are in report.json." in text
    assert "x" * 160 + "… (+340)" in text
    assert "x" * 161 not in text


def test_nothing_found() -> None:
    text = Page(source("empty")).text
    assert "Nothing stands out in this window." in text
    assert "212 comparisons were made, and none passed the tests" in text
    assert "The baseline holds no traces." in text
    assert "Nothing needs to be done" in text
    assert "Traces 120 – –" in text
    assert "No candidate was refuted." in text
    assert "Model none: rules only" in text


def test_nothing_to_look_at_is_not_called_healthy() -> None:
    report = empty_report()
    coverage = report.coverage.model_copy(
        update={"traces": Count(window=0, baseline=0), "observations": Count(window=0, baseline=0)}
    )
    screening = Screening(slices=0, p_values=[], false_discovery_rate=0.05)
    text = page(report.model_copy(update={"coverage": coverage, "screening": screening})).text
    assert "This window holds no traces: there is nothing to judge." in text
    assert "Nothing could be judged" in text
    assert "Nothing stands out" not in text
    assert "Errors per observation – –" in text


def test_hostile_text_shows_as_text_and_nothing_hides() -> None:
    hostile = source("hostile")
    assert one_line(HOSTILE) in Page(hostile).text
    assert hostile.count("<script") == 1
    assert "<img" not in hostile
    for character in "\u202e\u202c\u200b\x1b\u2028\ufeff\u2066":
        assert character not in hostile
    for part in ("⟨U+202E⟩gnp.exe⟨U+202C⟩", "zero⟨U+200B⟩width", "{{ 7 * 7 }} {% raw %}", "&amp;lt;b&amp;gt;"):
        assert part in hostile


def _luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_text_stands_out_from_its_ground_in_light_and_dark() -> None:
    css = (TEMPLATES / "report.css").read_text("utf-8")
    light, dark = (dict(re.findall(r"--([\w-]+): (#\w{6})", part)) for part in css.split("@media screen and (pref", 1))
    pairs = [(ink, ground) for ink in ("ink", "muted", "link") for ground in ("page", "raised", "advice")]
    pairs += [(role, "page") for role in ("window", "baseline", "onset", "good")]
    pairs += [("ink", "alarm"), ("onset", "alarm"), ("muted", "alarm"), ("good", "raised"), ("onset", "raised")]
    pairs += [(f"on-{severity}", severity) for severity in ("critical", "high", "medium", "low")]
    assert set(dark) == set(light)
    for theme in (light, dark):
        for ink, ground in pairs:
            darker, lighter = sorted((_luminance(theme[ink]), _luminance(theme[ground])))
            assert (lighter + 0.05) / (darker + 0.05) >= 4.5, (ink, ground, theme[ink], theme[ground])


def test_an_unsafe_link_is_shown_as_text() -> None:
    shown = page(sample_report(findings=[finding(1, trace_urls=["javascript:alert(1)"])]))
    assert not [a for a in shown.all("a") if "alert" in (a["href"] or "")]
    assert TRACE_IDS[0] in shown.text


def test_queries_of_any_length_stay_below_three_megabytes_and_it_is_said() -> None:
    proof = [one.model_copy(update={"sql": "SELECT '<'\n" * 1_500}) for one in sample_report().findings[0].evidence * 3]
    shown = render_html(sample_report(findings=[finding(number, evidence=proof) for number in range(1, 31)]))
    assert len(shown.encode()) < 3_000_000
    assert 10 < shown.count('class="sql"') < 180
    assert "Its SQL, parameters and rows are in report.json." in shown


def test_thirty_findings_stay_below_three_megabytes() -> None:
    assert len(source("thirty").encode()) < 3_000_000


def test_japanese_from_head_to_foot() -> None:
    text = Page(source("japanese")).text
    for part in (
        "最初に行うこと",
        "プロジェクトの状態",
        "検出事項",
        "2026年11月9日 〜 2026年11月15日(UTC)、7日間",
        "18%(17〜20%)",
        "+15ポイント",
    ):
        assert part in text, part
    english, japanese = catalogue("en"), catalogue("ja")
    groups = ("section.", "finding.", "coverage.", "health.", "run.", "impact.")
    headings = [key for key, words in english.texts.items() if key.startswith(groups) and len(words) > 6]
    assert len(headings) > 30
    for key in headings:
        assert japanese.texts[key] != english.texts[key]
        assert f" {english.texts[key]} " not in text, key


def test_every_code_of_the_contracts_has_its_word() -> None:
    texts = catalogue("en").texts
    wanted = {f"kind.{one}" for one in get_args(Kind)} | {f"direction.{one}" for one in get_args(Direction)}
    wanted |= {f"verdict.{one}" for one in get_args(Verdict)} | {f"severity.{one}" for one in SEVERITIES}
    wanted |= {f"dimension.{one}" for one in DIMENSIONS}
    assert wanted <= set(texts)


def test_every_metric_and_parameter_of_the_playbook_has_its_word() -> None:
    texts = catalogue("en").texts
    assert {f"metric.{metric.name}" for one in DETECTORS for metric in one.metrics} <= set(texts)
    assert {f"parameter.{name}" for one in DETECTORS for name in one.parameters} <= set(texts)
