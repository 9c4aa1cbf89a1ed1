"""`hansei render`, and the first screen that it shares with `hansei analyze`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
from tests.support.sample_report import empty_report, hostile_report, sample_report

from hansei.cli.app import run
from hansei.contracts import Report
from hansei.tools.report.files import render_html, render_json, render_markdown, write_report

SNAPSHOTS = Path(__file__).parents[1] / "support" / "snapshots"


def written(folder: Path, report: Report) -> Path:
    return write_report(report, folder)["json"]


def test_the_forms_come_again_from_the_json_alone(tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    file.write_text(render_json(sample_report()), encoding="utf-8")
    assert run(["render", str(file)]) == 0
    assert (tmp_path / "report.html").read_text("utf-8") == render_html(sample_report())
    assert (tmp_path / "report.md").read_text("utf-8") == render_markdown(sample_report())
    assert file.read_text("utf-8") == render_json(sample_report())


def test_one_form_goes_where_it_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(tmp_path, sample_report())
    assert run(["render", str(tmp_path), "--form", "md", "--out", str(tmp_path / "other"), "--language", "ja"]) == 0
    assert [file.name for file in (tmp_path / "other").iterdir()] == ["report.md"]
    assert "最初に行うこと" in (tmp_path / "other" / "report.md").read_text("utf-8")
    assert capsys.readouterr().out == f"Wrote {tmp_path / 'other' / 'report.md'}\n"


@pytest.mark.parametrize("language", ["en", "ja"])
def test_the_first_screen_at_the_terminal_is_as_it_was(
    language: Literal["en", "ja"], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """After a change that is meant: ``python -m tests.support.write_snapshots``, and look at the difference."""
    assert run(["render", str(written(tmp_path, sample_report(language))), "--form", "terminal"]) == 0
    assert capsys.readouterr().out == (SNAPSHOTS / f"terminal.{language}.txt").read_text("utf-8")


@pytest.mark.parametrize("report", [empty_report(), hostile_report(), sample_report("ja")], ids=["none", "evil", "ja"])
def test_any_report_has_a_first_screen_of_plain_lines(
    report: Report, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["render", str(written(tmp_path, report)), "--form", "terminal"]) == 0
    shown = capsys.readouterr().out
    assert shown
    assert all(line.isprintable() for line in shown.splitlines())


def test_what_is_no_report_is_refused_with_a_remedy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["render", str(tmp_path / "none.json")]) == 2
    assert "There is no file" in capsys.readouterr().err
