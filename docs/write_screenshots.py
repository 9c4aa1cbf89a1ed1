"""Makes docs/images from the demo's report, in Chromium: `make screenshots`."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

FOLDER = Path(__file__).with_name("images")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
WIDTH, HEIGHT = 1280, 900


def shoot(report: Path) -> None:
    """Takes the pictures of one page."""
    FOLDER.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = running.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        page.goto(report.resolve().as_uri())
        page.screenshot(path=FOLDER / "first-screen.png")
        part(page, ".finding", "lookup_order", "finding.png")
        part(page, ".flow-of", "research-agent", "flow.png")
        page.emulate_media(color_scheme="dark")
        page.set_viewport_size({"width": 390, "height": 844})
        page.screenshot(path=FOLDER / "phone.png")
        running.close()
    for picture in FOLDER.glob("*.png"):
        Image.open(picture).convert("RGB").quantize(128).save(picture, optimize=True)


def part(page: Page, selector: str, text: str, name: str) -> None:
    """A picture of the first element that holds a text."""
    page.locator(selector, has=page.locator("h3", has_text=text)).first.screenshot(path=FOLDER / name)


if __name__ == "__main__":
    if CHROMIUM is None:
        sys.exit("There is no Chromium here. On Debian: apt-get install chromium fonts-noto-cjk")
    if len(sys.argv) > 1:
        shoot(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run([sys.executable, "-m", "hansei", "demo"], cwd=folder, check=True)
            shoot(Path(folder) / "hansei-demo" / "report" / "report.html")
