"""A real browser for tests of the page: Debian's Chromium, driven by Playwright; what it does is recorded."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, Request, sync_playwright

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
MISSING = "there is no Chromium here (on Debian: apt-get install chromium)"

DESKTOP, PHONE = (1280, 900), (390, 844)


@dataclass
class Opened:
    """A page in the browser, with all that it asked for and complained about since it was opened."""

    page: Page
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def fits(self) -> bool:
        """Whether nothing sticks out to the side."""
        return bool(self.page.evaluate("document.documentElement.scrollWidth <= innerWidth"))

    def bottom(self, selector: str) -> float:
        """Where the first such element ends, in pixels from the top."""
        box = self.page.locator(selector).first.bounding_box()
        assert box is not None, f"{selector} is not shown"
        return box["y"] + box["height"]

    def focused(self) -> str:
        """Tag, class and text of what has the focus."""
        shown: Any = self.page.evaluate(
            "[document.activeElement.tagName.toLowerCase(), document.activeElement.className,"
            " document.activeElement.innerText.slice(0, 80)].join(' ')"
        )
        return str(shown)


@contextmanager
def browser() -> Iterator[Browser]:
    """Chromium without a window."""
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield running
        running.close()


@contextmanager
def opened(
    running: Browser, file: Path, size: tuple[int, int] = DESKTOP, *, scheme: Any = "light", part: str = ""
) -> Iterator[Opened]:
    """A file in a window of its own."""
    context = running.new_context(
        viewport={"width": size[0], "height": size[1]}, color_scheme=scheme, service_workers="block"
    )
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = context.new_page()
    seen = Opened(page)

    def requested(request: Request) -> None:
        seen.requests.append(request.url)

    page.on("request", requested)
    page.on("console", lambda message: seen.complaints.append(message.text))
    page.on("pageerror", lambda error: seen.complaints.append(str(error)))
    page.on("dialog", lambda dialog: (seen.complaints.append("a dialog opened"), dialog.dismiss()))
    page.goto(file.as_uri() + part)
    yield seen
    context.close()
