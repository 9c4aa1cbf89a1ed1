"""Files of a report: all three or none, and back again."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from tests.support.sample_report import empty_report, evidence, finding, hostile_report, long_report, sample_report

from hansei.contracts import Estimate, Report
from hansei.errors import UsageError
from hansei.tools.report.files import read_report, render_json, write_report
from hansei.tools.report.html import render_html
from hansei.tools.report.markdown import render_markdown


@pytest.mark.parametrize(
    "report", [sample_report(), sample_report("ja"), empty_report(), hostile_report(), long_report(2)]
)
def test_a_report_comes_back_as_it_was(report: Report, tmp_path: Path) -> None:
    files = write_report(report, tmp_path / "new" / "folder")
    assert [file.name for file in files.values()] == ["report.json", "report.md", "report.html"]
    assert list(files) == ["json", "md", "html"]
    assert read_report(files["json"]) == report
    assert read_report(tmp_path / "new" / "folder") == report
    assert files["md"].read_text("utf-8") == render_markdown(report)
    assert files["html"].read_text("utf-8") == render_html(report)
    assert sorted(path.name for path in files["json"].parent.iterdir()) == ["report.html", "report.json", "report.md"]


def test_json_has_the_published_names_in_order() -> None:
    text = render_json(sample_report())
    plain = json.loads(text)
    assert list(plain)[:6] == ["schema_version", "hansei_version", "run", "project_id", "window", "baseline"]
    assert plain["coverage"]["schema"] == "v4"
    assert text.endswith("}\n")
    assert text == render_json(sample_report())


def test_what_json_and_utf8_lack_is_kept(tmp_path: Path) -> None:
    proof = evidence(1, "detail", ["a"], []).model_copy(update={"rows": [["\ud800"], [float("inf")]]})
    unknown = Estimate(value=float("nan"), n=0, low=float("-inf"), high=float("inf"))
    files = write_report(sample_report(findings=[finding(1, evidence=[proof], current=unknown)]), tmp_path)
    again = read_report(files["json"]).findings[0]
    assert math.isnan(again.current.value)
    assert (again.current.low, again.current.high) == (float("-inf"), float("inf"))
    assert again.evidence[0].rows == [["\ud800"], [None]]
    assert "⟨U+D800⟩" in files["html"].read_text("utf-8")


def test_a_second_run_replaces_the_first(tmp_path: Path) -> None:
    write_report(sample_report(), tmp_path)
    files = write_report(empty_report(), tmp_path)
    assert read_report(files["json"]) == empty_report()
    assert "Nothing stands out" in files["md"].read_text("utf-8")


def test_when_one_file_cannot_be_written_the_others_stay(tmp_path: Path) -> None:
    files = write_report(sample_report(), tmp_path)
    before = files["json"].read_bytes(), files["md"].read_bytes()
    files["html"].unlink()
    files["html"].mkdir()
    with pytest.raises(UsageError, match="cannot be written") as caught:
        write_report(empty_report(), tmp_path)
    assert "--out" in caught.value.remedy
    assert (files["json"].read_bytes(), files["md"].read_bytes()) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "report.json", "report.md"]


def test_a_place_that_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UsageError) as caught:
            write_report(empty_report(), place)
        assert "\n" not in caught.value.message
    assert (tmp_path / "file").read_text() == "mine"


def _changed(**changes: Any) -> str:
    return json.dumps(json.loads(render_json(sample_report())) | changes)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is not JSON"),
        ("{", "is not JSON"),
        ("[" * 200_000, "is not JSON"),
        ("[]", "is not a report: it has no schema_version"),
        ('{"schema_version": 1}', "is not a report: it has no schema_version"),
        ('{"schema_version": "²"}', "is not a report: it has no schema_version"),
        ('{"schema_version": "1.0"}', "is not a report: hansei_version: missing (11 more)"),
        (_changed(schema_version="2.0"), "has schema 2.0, newer than this Hansei's 1.0"),
        (_changed(schema_version="1.10"), "has schema 1.10, newer"),
        (_changed(surprise=1), "is not a report: surprise: extra_forbidden"),
        (_changed(language="xx"), "is not a report: language: literal_error"),
    ],
)
def test_a_file_that_is_no_report(content: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    file.write_text(content)
    with pytest.raises(UsageError) as caught:
        read_report(file)
    assert message in caught.value.message
    assert "\n" not in str(caught.value)
    assert caught.value.remedy


def test_a_file_that_is_not_there_or_not_text(tmp_path: Path) -> None:
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(UsageError, match="There is no file"):
            read_report(path)
    (tmp_path / "report.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="is not JSON"):
        read_report(tmp_path)
