"""The documentation: links lead somewhere, commands and their options exist, the tutorial runs, pages are generated."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import typer.main

from hansei.cli.app import app

ROOT = Path(__file__).resolve().parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "benchmarks").glob("*.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def blocks(page: Path, *languages: str) -> list[str]:
    return [text for language, text in BLOCK.findall(page.read_text("utf-8")) if language in languages]


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives to a page's headings."""
    headings = re.findall(r"^#+ (.+)$", BLOCK.sub("", page.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@every_page
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in LINK.findall(BLOCK.sub("", page.read_text("utf-8"))):
        if re.match(r"[a-z]+:", target):
            assert target.startswith("https://"), target
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


def test_every_page_of_the_documentation_is_in_its_contents() -> None:
    contents = (ROOT / "docs" / "README.md").read_text("utf-8")
    for page in (ROOT / "docs").glob("*.md"):
        assert page.name in ("README.md", "notes.md") or f"({page.name})" in contents, page.name


def commands(page: Path) -> Iterator[list[str]]:
    """The calls of hansei in a page's blocks, as words."""
    for text in blocks(page, "sh", "console"):
        for line in text.replace("\\\n", " ").splitlines():
            call = re.match(r"(?:\$ )?(?:[A-Z_]+=\S+ )*(hansei(?: .*)?)$", line.split(" #")[0].strip())
            if call:
                yield shlex.split(re.split(r" (?:\||\|\||&&|>) ", call[1])[0])


def test_every_command_exists_and_takes_its_options() -> None:
    known = typer.main.get_command(app)
    found = [call for page in PAGES for call in commands(page)]
    assert len(found) > 15
    for call in found:
        options = known.commands[call[1]] if len(call) > 1 and not call[1].startswith("-") else known  # type: ignore[attr-defined]
        rest = call[2:]
        if rest and rest[0] in getattr(options, "commands", {}):
            options, rest = options.commands[rest[0]], rest[1:]  # type: ignore[attr-defined]
        names = {name for one in options.params for name in one.opts} | {"--help", "-h"}
        for word in rest:
            assert not word.startswith("-") or word.split("=")[0] in names, call


@pytest.mark.long
def test_the_tutorial_runs_as_it_is_written(tmp_path: Path) -> None:
    script = "\n".join(["set -euo pipefail", *blocks(ROOT / "docs" / "tutorial.md", "sh")])
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    assert "Everything is as it was written." in done.stdout
    for name in ("hansei-demo/report/report.html", "three-days/report.md", "three-days/ja/report.html"):
        assert (tmp_path / name).stat().st_size > 1_000
    assert 'lang="ja"' in (tmp_path / "three-days/ja/report.html").read_text("utf-8")[:500]


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_about_detectors_is_what_the_playbook_says() -> None:
    """After a change of the playbook: `make docs`."""
    assert (ROOT / "docs" / "detectors.md").read_text("utf-8") == script("write_detectors").text()


def test_the_page_about_questions_is_what_the_grammar_understands() -> None:
    """After a change of the forms: `make docs`."""
    assert (ROOT / "docs" / "questions.md").read_text("utf-8") == script("write_questions").text()
