"""Bad, odd and hostile input: a clear line or a true report, never a traceback, and every report can be verified."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from tests.support.cli import hansei, hansei_here
from tests.support.job import analyse, fill, verify
from tests.support.schemas import both
from tests.support.world import END, PERIODS, PROJECT, Visit, make_world

from hansei import NoData, Report, UsageError
from hansei.contracts import Count, Finding
from hansei.demo.rows import ObservationRow, Rows, ScoreRow, TraceRow
from hansei.demo.tables import SCHEMAS, Schema
from hansei.tools.clickhouse import close_readers
from hansei.tools.report.files import read_report, write_report

START = PERIODS.window.start

_numbers = count()


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    yield f"chdb://{tmp_path_factory.mktemp('bad')}"
    close_readers()


@pytest.fixture
def stored(directory: str) -> Callable[[Schema, Rows], str]:
    """Writes rows into a database of their own."""
    return lambda schema, rows: fill(f"{directory}?database=bad_{next(_numbers)}", schema, rows)


@pytest.fixture(scope="module")
def steady(directory: str) -> dict[Schema, tuple[str, Rows]]:
    """A small project without faults in each schema: its URL and its rows."""
    rows = make_world(per_day=20)
    return {schema: (fill(f"{directory}?database=steady_{schema}", schema, rows), rows) for schema in SCHEMAS}


def checked(url: str, folder: Path, **request: Any) -> Report:
    """The report of a run, written to files and read back, with every query asked again."""
    report = analyse(url, PROJECT, **request)
    written = read_report(write_report(report, folder)["json"])
    assert verify(url, written).differences == []
    return written


def size(rows: Rows, start: Any, end: Any) -> tuple[int, int, int]:
    """Traces, observations and scores that begin in a span."""
    moments = (
        [trace.timestamp for trace in rows.traces],
        [step.start_time for step in rows.observations],
        [score.timestamp for score in rows.scores],
    )
    traces, steps, scores = (sum(start <= moment < end for moment in of_kind) for of_kind in moments)
    return traces, steps, scores


def assert_true(report: Report, rows: Rows) -> None:
    """The coverage is what the rows say."""
    found: tuple[Count, ...] = (report.coverage.traces, report.coverage.observations, report.coverage.scores)
    window, baseline = report.window, report.baseline
    assert tuple(item.window for item in found) == size(rows, window.start, window.end)
    assert tuple(item.baseline for item in found) == size(rows, baseline.start, baseline.end)
    days = window.length / timedelta(days=1)
    for finding in report.findings:
        if finding.metric == "traces_per_day":
            assert finding.segment.keys() <= {"trace_name", "environment"}
            app = finding.segment.get("trace_name")
            mine = [t for t in rows.traces if app in (None, t.name) and window.start <= t.timestamp < window.end]
            assert finding.current.value == pytest.approx(len(mine) / days)


# Spans of time


@pytest.mark.parametrize("schema", both("v4"))
@pytest.mark.parametrize(
    "request_",
    [
        pytest.param({"window": "1h"}, marks=pytest.mark.long),
        {"window": "1h", "baseline": "13d"},
        {"window": "3d", "until": END.isoformat()},
        {"window": "30d"},
        pytest.param({"window": "9000w"}, marks=pytest.mark.long),
        {"until": (END + timedelta(days=3)).isoformat()},
        {"until": "2026-11-09T13:37:11.123456+09:00"},
    ],
    ids=lambda request: ",".join(request.values()),
)
def test_any_span_gives_a_true_report(
    steady: dict[Schema, tuple[str, Rows]], tmp_path: Path, schema: Schema, request_: dict[str, str]
) -> None:
    url, rows = steady[schema]
    report = checked(url, tmp_path, **request_)
    assert_true(report, rows)
    assert report.findings == []
    if report.coverage.traces.baseline == 0:
        assert any("The baseline holds no traces" in note for note in report.coverage.notes)
        told = {detector.name: detector for detector in report.coverage.detectors}
        assert told["traffic"].status == "skipped"
        assert told["error"].status == "partial"


@pytest.mark.parametrize("schema", both("v4"))
def test_without_a_baseline_changes_are_not_measured(
    stored: Callable[[Schema, Rows], str], tmp_path: Path, schema: Schema
) -> None:
    rows = make_world(days=7)
    report = checked(stored(schema, rows), tmp_path, until=END.isoformat())
    assert_true(report, rows)
    assert report.coverage.traces.baseline == 0
    assert "The baseline holds no traces: changes cannot be told, only what stands out inside the window." in (
        report.coverage.notes
    )
    assert all(finding.direction == "hotspot" for finding in report.findings)


@pytest.mark.parametrize("schema", both("v4"))
def test_an_empty_window_is_a_stop_of_the_traffic_and_nothing_else(
    stored: Callable[[Schema, Rows], str], tmp_path: Path, schema: Schema
) -> None:
    rows = make_world()
    report = checked(stored(schema, rows), tmp_path, until=(END + timedelta(days=7)).isoformat())
    assert_true(report, rows)
    assert report.coverage.traces.window == 0
    assert "The window holds no traces: everything but traffic is unmeasured." in report.coverage.notes
    assert {finding.kind for finding in report.findings} == {"traffic"}
    assert {finding.current.value for finding in report.findings} == {0.0}


@pytest.mark.parametrize("until", ["2020-01-01", "2099-12-31T23:59:59Z", "9999-12-31"])
def test_a_window_far_from_the_data_is_told_where_the_data_is(
    steady: dict[Schema, tuple[str, Rows]], until: str
) -> None:
    url, _ = steady["v4"]
    with pytest.raises(NoData) as caught:
        analyse(url, PROJECT, until=until)
    assert "has no traces in the window or the baseline" in caught.value.message
    assert "Its data runs from 2 Nov 2026" in caught.value.remedy


@pytest.mark.long
def test_fractions_of_a_second_lose_no_finding(stored: Callable[[Schema, Rows], str], tmp_path: Path) -> None:
    def fault(visit: Visit) -> None:
        if visit.app == "support" and visit.day >= 0 and visit.random.random() < 0.3:
            visit.steps[0].level = "ERROR"

    url = stored("v3", make_world(fault))
    exact = checked(url, tmp_path, until=END.isoformat())
    report = checked(url, tmp_path, until="2026-11-15T23:59:59.999999Z")
    assert report.window == exact.window
    assert [finding.id for finding in report.findings] == [finding.id for finding in exact.findings]
    assert report.findings


@pytest.mark.parametrize(
    "request_",
    [{"window": "99999w"}, {"until": "0001-01-01"}, {"until": "9999-12-31T23:59:59.5"}],
    ids=lambda request: ",".join(request.values()),
)
def test_a_window_beyond_the_calendar_is_refused(
    steady: dict[Schema, tuple[str, Rows]], request_: dict[str, str]
) -> None:
    url, _ = steady["v3"]
    with pytest.raises(UsageError, match="beyond the calendar"):
        analyse(url, PROJECT, **request_)


# Odd values

NASTY = {
    "unicode and quotes": "日本語の道具 🛠️ e\u0301 \u202eright\u200b\ufeff a'b\"c`d' OR 1=1; DROP TABLE traces; --",
    "backslashes": "\\N back\\slash\\n\\0\\x41\\",
    "placeholders": "{x:String} {mine0:String} {project_id:String} %(a)s %s {0} $1 ?",
    "controls": " line\nline two\r\ttabbed\x00\x01\x1b[31mred\x7f ",
    "HTML and Markdown": "<script>alert(1)</script><img src=x onload=y> [a](http://x.example) | **b**",
    "long": "long " * 600,
}


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "schema"),
    [
        pytest.param(name, SCHEMAS[i % 2], marks=[] if name in ("controls", "unicode and quotes") else pytest.mark.long)
        for i, name in enumerate(NASTY)
    ],
)
def test_findings_about_hostile_names_are_measured_and_verified(
    stored: Callable[[Schema, Rows], str], tmp_path: Path, schema: Schema, name: str
) -> None:
    text = NASTY[name]

    def fault(visit: Visit) -> None:
        visit.environment, visit.release, visit.user = text[:100], text, f"{visit.user}{text}"
        visit.app = f"{visit.app} {text}"
        visit.scores = [(f"score {text}", float(visit.random.random() < (0.9 if visit.day < 0 else 0.4)), "BOOLEAN")]
        for step in visit.steps:
            if step.name == "lookup_order":
                step.name = text
                if visit.day >= 0 and visit.random.random() < 0.3:
                    step.level, step.status, step.output = "ERROR", text, text
            elif step.name == "answer":
                step.name, step.model, step.prompt = text, text, (text, 6)
                step.cost *= 3 if visit.day >= 0 else 1

    rows = make_world(fault)
    report = checked(stored(schema, rows), tmp_path, until=END.isoformat())
    by_kind = {finding.kind: finding for finding in reversed(report.findings)}

    calls = [row for row in rows.observations if (row.type, row.name) == ("TOOL", text) and row.start_time >= START]
    assert by_kind["error"].segment["tool_name"] == text
    assert_value(by_kind["error"], sum(row.level == "ERROR" for row in calls), len(calls))

    scores = [row.value for row in rows.scores if row.timestamp >= START]
    assert by_kind["quality"].segment["score_name"] == f"score {text}"
    assert_value(by_kind["quality"], sum(scores), len(scores))

    cost = next(finding for finding in report.findings if finding.metric == "cost_per_call")
    assert set(cost.segment.values()) & {text, text[:100], f"support {text}"}
    spent = [row.total_cost or 0 for row in rows.observations if row.model == text and row.start_time >= START]
    assert_value(cost, float(sum(spent)), len(spent))


def assert_value(finding: Finding, total: float, of: int) -> None:
    assert finding.current.n == of
    assert finding.current.value == pytest.approx(total / of, rel=1e-12)
    assert finding.direction == "regression"
    assert finding.example_trace_ids


@pytest.mark.parametrize("schema", both("v4"))
def test_rows_that_hold_next_to_nothing(stored: Callable[[Schema, Rows], str], tmp_path: Path, schema: Schema) -> None:
    rows = Rows()
    for number in range(14 * 30):
        at, trace_id = END - timedelta(minutes=48 * (number + 1)), f"t{number}"
        rows.traces.append(TraceRow(id=trace_id, timestamp=at, name="", project_id=PROJECT))
        rows.scores.append(ScoreRow(id=f"s{number}", timestamp=at, name="", project_id=PROJECT, data_type=""))
        for kind in ("GENERATION", "SPAN", "TOOL", ""):
            rows.observations.append(
                ObservationRow(
                    id=f"{trace_id}{kind}", trace_id=trace_id, start_time=at, type=kind, name="", project_id=PROJECT,
                    level="",
                )
            )  # fmt: skip
    report = checked(stored(schema, rows), tmp_path, until=END.isoformat())
    assert_true(report, rows)
    assert report.findings == []
    assert report.coverage.total_cost.window == 0
    assert "100 % of traces have no user id, so users cannot be told apart." in report.coverage.missing
    assert "100 % of generations have no cost, so what is said about money leaves them out." in report.coverage.missing


@pytest.mark.long
@pytest.mark.parametrize("schema", both("v4"))
def test_payloads_of_two_megabytes(stored: Callable[[Schema, Rows], str], tmp_path: Path, schema: Schema) -> None:
    huge = "payload " * 250_000

    def fault(visit: Visit) -> None:
        for step in visit.steps:
            if step.name == "lookup_order" and visit.day >= 0 and visit.random.random() < 0.4:
                step.level = "ERROR"
                if visit.random.random() < 0.05:
                    step.status, step.input, step.output = huge, huge, huge

    rows = make_world(fault)
    last = rows.traces[-1]
    last.input, last.output, last.metadata, last.tags = huge, huge, {"k" * 10_000: huge}, [huge]
    rows.scores[-1].comment = rows.scores[-1].string_value = huge
    report = checked(stored(schema, rows), tmp_path, until=END.isoformat())
    assert_true(report, rows)
    assert [finding.kind for finding in report.findings] == ["error"]
    assert all(file.stat().st_size < 1_000_000 for file in tmp_path.iterdir())


# As a person would do it


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder, and the URL of a small project that no process holds open."""
    folder = tmp_path_factory.mktemp("desk")
    close_readers()
    url = fill(f"chdb://{folder / 'clickhouse'}?database=langfuse", "v4", make_world(per_day=10))
    fill(f"chdb://{folder / 'clickhouse'}?database=nothing", "v4", Rows())
    return folder, url


@pytest.mark.parametrize(
    ("arguments", "message", "remedy"),
    [
        (["--project", "nobody"], "The project “nobody” has no traces here.", "Projects with data: acme."),
        (["--project", "a' OR '1'='1"], "The project “a' OR '1'='1” has no traces here.", "Projects with data: acme."),
        (["--project", "acme", "--until", "next tuesday"], "“next tuesday” is not a date or time.", "Write ISO 8601"),
        (["--project", "acme", "--until", "2026-13-45"], "“2026-13-45” is not a date or time.", "Write ISO 8601"),
        (["--project", "acme", "--window", "soon"], "“soon” is not a duration.", "Write a number and a unit"),
        (["--project", "acme", "--until", "2031-01-01"], "has no traces in the window", "Its data runs from"),
        (["--project", "acme", "--environment", "nope"], "in the environments “nope”", "check --environment"),
        (["--project", "acme", "--window", "99999w"], "beyond the calendar", "Give shorter ones"),
    ],
)
def test_a_request_that_cannot_be_met_is_one_line(
    desk: tuple[Path, str], arguments: list[str], message: str, remedy: str
) -> None:
    folder, url = desk
    done = hansei_here(folder, "analyze", "--clickhouse", url, "--quiet", *arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    said = " ".join(done.stderr.split())
    assert message in said
    assert remedy in said
    assert not (folder / "hansei-report").exists()


def test_an_empty_project_is_one_line(desk: tuple[Path, str]) -> None:
    folder, url = desk
    done = hansei(folder, "analyze", "--clickhouse", url.replace("langfuse", "nothing"), "--project", "acme")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "No project has any yet" in " ".join(done.stderr.split())


def test_a_report_without_a_baseline_says_what_it_could_not_measure(desk: tuple[Path, str]) -> None:
    folder, url = desk
    out = folder / "no baseline"
    done = hansei(folder, "analyze", "--clickhouse", url, "--project", "acme", "--window", "30d", "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert "Not fully measured: traffic (skipped): there are no traces before the window" in done.stdout
    report = json.loads((out / "report.json").read_text(encoding="utf-8"))
    assert report["coverage"]["traces"] == {"window": 140, "baseline": 0}
    again = hansei_here(folder, "verify", str(out / "report.json"), "--clickhouse", url)
    assert again.returncode == 0, again.stderr
    assert "Everything is as it was written." in again.stdout
