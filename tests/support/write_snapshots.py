"""Writes the texts that the snapshot tests compare with: ``python -m tests.support.write_snapshots``."""

from __future__ import annotations

from contextlib import redirect_stdout
from pathlib import Path
from typing import get_args

from tests.support.sample_report import sample_report

from hansei.cli.console import PlainConsole
from hansei.cli.first_screen import tell_report
from hansei.contracts import Report
from hansei.tools.report.markdown import render_markdown

FOLDER = Path(__file__).parent / "snapshots"

if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for language in get_args(Report.model_fields["language"].annotation):
        text = render_markdown(sample_report(language))
        (FOLDER / f"report.{language}.md").write_text(text, encoding="utf-8")
        with (FOLDER / f"terminal.{language}.txt").open("w", encoding="utf-8") as file, redirect_stdout(file):
            tell_report(PlainConsole(), sample_report(language), [])
