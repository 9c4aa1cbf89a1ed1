"""The page in a real browser: it asks for nothing, complains of nothing, can be read, walked, copied and printed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from tests.support.browser import CHROMIUM, DESKTOP, MISSING, PHONE, browser, opened
from tests.support.sample_overview import flows
from tests.support.sample_report import HOSTILE, empty_report, evidence, hostile_report, long_report, sample_report

from hansei.contracts import Report
from hansei.tools.report.files import render_html
from hansei.tools.report.text import one_line

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = [pytest.mark.long, pytest.mark.skipif(CHROMIUM is None, reason=MISSING)]


def many_steps() -> Report:
    return sample_report(flows=flows([evidence(802, "flows", ["trace_name"], [["a"]])], 5, 60))


REPORTS: dict[str, Callable[[], Report]] = {
    "sample": sample_report,
    "japanese": lambda: sample_report("ja"),
    "empty": empty_report,
    "hostile": hostile_report,
    "thirty": long_report,
    "steps": many_steps,
}
every_page = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.long) if name in ("thirty", "steps") else name for name in REPORTS]
)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    made = {}
    for name, report in REPORTS.items():
        made[name] = folder / f"{name}.html"
        made[name].write_text(render_html(report()), encoding="utf-8")
    return made


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as running:
        yield running


@every_page
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_nothing_is_asked_for_and_nothing_goes_wrong(
    chromium: Browser, files: dict[str, Path], name: str, size: tuple[int, int]
) -> None:
    with opened(chromium, files[name], size) as seen:
        seen.page.evaluate("document.querySelectorAll('details').forEach(part => { part.open = true; })")
        seen.page.mouse.wheel(0, 100_000)
        assert [url for url in seen.requests if url != files[name].as_uri() and not url.startswith("data:")] == []
        assert seen.complaints == []
        assert seen.fits()


@every_page
@pytest.mark.parametrize(
    ("size", "scheme"), [(DESKTOP, "light"), (PHONE, "dark")], ids=["desktop", "phone in the dark"]
)
def test_axe_finds_nothing_serious(
    chromium: Browser, files: dict[str, Path], name: str, size: tuple[int, int], scheme: str
) -> None:
    with opened(chromium, files[name], size, scheme=scheme) as seen:
        if name != "thirty":  # what is folded away there is of the same kinds, and a great deal
            seen.page.evaluate("document.querySelectorAll('details').forEach(part => { part.open = true; })")
        found = Axe().run(seen.page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]})
        assert len(found.response["passes"]) > 10
        violations: list[dict[str, Any]] = found.response["violations"]
        serious = [one for one in violations if one["impact"] in ("serious", "critical")]
        assert [(one["id"], [node["html"][:200] for node in one["nodes"]][:3]) for one in serious] == []


def test_the_first_screen_of_a_desktop_holds_verdict_actions_health_and_what_was_looked_at(
    chromium: Browser, files: dict[str, Path]
) -> None:
    with opened(chromium, files["sample"]) as seen:
        for part in ("h1", ".actions li:nth-child(3)", ".signs tbody tr:last-child", ".looked"):
            assert seen.bottom(part) <= DESKTOP[1], part
        assert seen.page.locator(".signs .trend svg").count() == 6


def test_the_first_screen_of_a_phone_holds_the_verdict_and_the_first_action(
    chromium: Browser, files: dict[str, Path]
) -> None:
    with opened(chromium, files["sample"], PHONE) as seen:
        assert seen.bottom("h1") <= PHONE[1] / 2
        assert seen.bottom(".actions li") <= PHONE[1]
        assert seen.page.locator("h1").evaluate("e => parseFloat(getComputedStyle(e).fontSize)") >= 20


def test_the_page_can_be_walked_with_the_keyboard(chromium: Browser, files: dict[str, Path]) -> None:
    with opened(chromium, files["sample"]) as seen:
        seen.page.keyboard.press("Tab")
        assert seen.focused().startswith("a skip")
        assert seen.bottom(".skip") > 0
        seen.page.keyboard.press("Enter")
        seen.page.keyboard.press("Tab")
        walked = [seen.focused()]
        for _ in range(60):
            if walked[-1].startswith("summary") and "Evidence" in walked[-1]:
                break
            seen.page.keyboard.press("Tab")
            walked.append(seen.focused())
        assert any("search_kb fails" in one for one in walked)
        seen.page.keyboard.press("Enter")
        seen.page.keyboard.press("Tab")
        seen.page.keyboard.press("Enter")
        seen.page.keyboard.press("Tab")
        assert seen.focused().startswith("button copy")
        ring = "getComputedStyle(document.activeElement).outlineStyle"
        assert seen.page.evaluate(ring) == "solid"
        seen.page.keyboard.press("Enter")
        seen.page.get_by_text("Copied").wait_for()


def test_the_copy_button_copies_the_query(chromium: Browser, files: dict[str, Path]) -> None:
    with opened(chromium, files["sample"]) as seen:
        seen.page.evaluate("document.querySelectorAll('details').forEach(part => { part.open = true; })")
        seen.page.get_by_role("button", name="Copy SQL").first.click()
        seen.page.get_by_text("Copied").wait_for()
        copied = seen.page.evaluate("navigator.clipboard.readText()")
        assert copied == sample_report().findings[0].evidence[0].sql


def test_a_link_to_something_folded_away_unfolds_it(chromium: Browser, files: dict[str, Path]) -> None:
    with opened(chromium, files["sample"], part="#finding-1-q2") as seen:
        assert seen.page.locator("#finding-1-q2").is_visible()


@every_page
def test_it_prints(chromium: Browser, files: dict[str, Path], name: str) -> None:
    with opened(chromium, files[name]) as seen:
        printed = seen.page.pdf(format="A4", print_background=True)
        assert printed.startswith(b"%PDF")
        assert printed.count(b"/Type /Page\n") + printed.count(b"/Type/Page\n") >= 1
        seen.page.emulate_media(media="print")
        assert not seen.page.locator(".copy").first.is_visible()
        if name == "sample":  # what the critic looked into is on paper too
            assert seen.page.locator(".ruled-out .checks").first.is_visible()


def test_dark_and_light_differ(chromium: Browser, files: dict[str, Path]) -> None:
    grounds = []
    for scheme in ("light", "dark"):
        with opened(chromium, files["sample"], scheme=scheme) as seen:
            grounds.append(seen.page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert grounds == ["rgb(255, 255, 255)", "rgb(15, 20, 26)"]


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_hostile_text_is_text(chromium: Browser, files: dict[str, Path], size: tuple[int, int]) -> None:
    with opened(chromium, files["hostile"], size) as seen:
        assert seen.page.evaluate("document.scripts.length") == 1
        assert seen.page.evaluate("document.images.length") == 0
        links: list[str] = seen.page.evaluate("[...document.links].map(link => link.href)")
        assert [link for link in links if not link.startswith(files["hostile"].as_uri() + "#")] == []
        handlers = "[...document.querySelectorAll('*')].some(e => [...e.attributes].some(a => a.name.startsWith('on')))"
        assert seen.page.evaluate(handlers) is False
        shown = " ".join(seen.page.locator("h1").inner_text().split())
        assert shown == one_line(HOSTILE)


def test_charts_in_japanese_have_glyphs(chromium: Browser, files: dict[str, Path]) -> None:
    with opened(chromium, files["japanese"]) as seen:
        assert seen.page.locator("html").get_attribute("lang") == "ja"
        texts = seen.page.locator(".chart text").all_text_contents()
        assert "対象期間" in texts
        width = "e => e.getComputedTextLength()"
        label = seen.page.locator(".chart text", has_text="対象期間").first
        assert label.evaluate(width) > 0
