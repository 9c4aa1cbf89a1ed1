"""`hansei verify`: whatever is changed in a report, or in the data after it, is noticed and named."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from tests.support.cli import Done, hansei, hansei_here
from tests.support.clickhouse_http import RunningServer, start_server
from tests.support.world import END, PROJECT, Visit, make_world

from hansei import Context, Report, build_graph
from hansei.demo import Writer, create_tables
from hansei.demo.rows import Rows, TraceRow
from hansei.tools.clickhouse import close_readers, open_reader, open_writer
from hansei.tools.report.files import write_report
from hansei.tools.report.verify import ask_again, compare, verify_report


def faults(visit: Visit) -> None:
    """From the third day on a tool fails now and then, which makes the whole app fail."""
    if visit.app == "support" and visit.day >= 2 and visit.random.random() < 0.25:
        visit.steps[1].level, visit.steps[1].status, visit.steps[1].output = "ERROR", "timeout", ""
        visit.steps[1].seconds *= 20


@dataclass(frozen=True)
class Case:
    """A database with a small project, and the report on it as the plain JSON of its file."""

    url: str
    file: Path

    @property
    def report(self) -> dict[str, Any]:
        return dict(json.loads(self.file.read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with start_server() as server:
        yield server


def stored(server: RunningServer, database: str) -> str:
    """The URL of a database with the small project."""
    url = server.url(database=database)
    client = open_writer(url)
    create_tables(client, "v4", database)
    with Writer(client, "v4", database) as writer:
        writer.write(make_world(faults))
    client.close()
    return url


def made(server: RunningServer, database: str, folder: Path) -> Case:
    url = stored(server, database)
    result = build_graph().invoke(
        {"project_id": PROJECT, "until": END.isoformat()}, context=Context(clickhouse_url=url)
    )
    files = write_report(Report.model_validate(result["report"]), folder)
    close_readers(url)
    return Case(url, files["json"])


@pytest.fixture(scope="module")
def case(server: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> Case:
    case = made(server, "acme", tmp_path_factory.mktemp("report"))
    assert {finding["kind"] for finding in case.report["findings"]} == {"error"}
    assert case.report["refuted"]
    return case


def verify(file: Path, url: str, *arguments: str, call: Callable[..., Done] = hansei_here) -> Done:
    return call(file.parent, "verify", str(file), "--clickhouse", url, *arguments)


def test_an_unchanged_report_is_as_it_was_written(case: Case) -> None:
    done = verify(case.file, case.url, call=hansei)
    assert done.returncode == 0
    told = done.stderr.splitlines()
    assert told[0] == f"verify: Asking every query of {case.file} again"
    assert re.fullmatch(r"verify: \d+ queries, [\d,]+ numbers \(.*s\)", told[1])
    assert done.stdout.endswith("Everything is as it was written.\n")
    outcome = json.loads(verify(case.file, case.url, "--json").stdout)
    assert outcome["ok"] is True
    assert outcome["differences"] == []
    evidence = [e for group in ("findings", "refuted") for f in case.report[group] for e in f["evidence"]]
    evidence += [e for part in ("coverage", "health", "flows") for e in case.report[part]["evidence"]]
    assert outcome["queries"] == len(evidence)


# -- every digit of the file ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    """Where a value stands: the container, its key there, and its path in the report."""

    container: Any
    key: Any
    path: str


def places(value: Any, path: str = "") -> Iterator[Place]:
    """Every value of a JSON document that has a digit in it; booleans and null have none."""
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    for key, child in inner:
        here = f"{path}[{key}]" if isinstance(value, list) else f"{path}.{key}" if path else str(key)
        if isinstance(child, dict | list):
            yield from places(child, here)
        elif re.search(r"\d", json.dumps(child)):
            yield Place(value, key, here)


def with_another_digit(report: dict[str, Any], place: Place) -> Report | None:
    """The report with one digit of the value changed, the last one possible; None when reading refuses them all."""
    written = place.container[place.key]
    text = written if isinstance(written, str) else json.dumps(written)
    try:
        digits = reversed([match.start() for match in re.finditer(r"\d", text)])
        for at, other in [(at, (int(text[at]) + step) % 10) for at in digits for step in (1, 9)]:
            changed = f"{text[:at]}{other}{text[at + 1 :]}"
            place.container[place.key] = changed if isinstance(written, str) else json.loads(changed)
            if place.container[place.key] == written:
                continue  # a digit beyond what a float can hold
            try:
                return Report.model_validate_json(json.dumps(report))
            except ValidationError:
                continue
        return None
    finally:
        place.container[place.key] = written


def row_or_value(path: str) -> str:
    """The path of the whole row for a value inside of one."""
    return re.sub(r"(\.rows\[\d+\]).*", r"\1", path)


@pytest.mark.parametrize("every", [5, pytest.param(1, marks=pytest.mark.long)], ids=["every fifth", "all"])
def test_one_changed_digit_anywhere_is_noticed_and_named_first(case: Case, every: int) -> None:
    report = case.report
    reader = open_reader(case.url)
    answers = ask_again(Report.model_validate(report), reader)
    reader.close()
    assert compare(Report.model_validate(report), answers).ok

    missed, unnamed, refused, tried = [], [], [], 0
    for place in islice(places(report), 0, None, every):
        row = re.search(r"\.rows\[(\d+)\]", place.path)
        if (row is not None and int(row[1]) > 0) or place.path.startswith("seals."):
            continue  # one row of each answer stands for all
        changed = with_another_digit(report, place)
        if changed is None:
            refused.append(place.path)
            continue
        tried += 1
        outcome = compare(changed, answers)
        if outcome.ok:
            missed.append(place.path)
        elif outcome.differences[0].path not in (place.path, row_or_value(place.path)):
            unnamed.append((place.path, outcome.differences[0].path))
    assert missed == []
    assert unnamed == []
    assert refused == []
    assert tried > 500 / every


@pytest.mark.parametrize(
    "path",
    [
        "findings[0].current.value",
        "findings[0].evidence[0].sql",
        "run.seconds",
    ],
)
def test_the_command_names_the_changed_digit_and_fails(case: Case, tmp_path: Path, path: str) -> None:
    report = case.report
    (place,) = [place for place in places(report) if place.path == path]
    changed = with_another_digit(report, place)
    assert changed is not None
    file = tmp_path / "report.json"
    file.write_text(changed.model_dump_json(by_alias=True), encoding="utf-8")
    done = verify(file, case.url)
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert lines[2].split()[0] == row_or_value(path)
    assert "Everything is as it was written." not in done.stdout


@pytest.mark.long
def test_what_was_taken_out_or_put_in_is_named(case: Case) -> None:
    reader = open_reader(case.url)
    answers = ask_again(Report.model_validate(case.report), reader)
    without = case.report
    del without["coverage"]["detectors"][0]
    assert compare(Report.model_validate(without), answers).differences[0].path == "coverage"
    without = case.report
    removed = without["refuted"].pop()
    outcome = verify_report(Report.model_validate(without), reader)
    assert f"refuted[{len(without['refuted'])}]" in [d.path for d in outcome.differences]
    moved = case.report
    moved["refuted"].pop()
    moved["findings"].append(removed)
    assert not verify_report(Report.model_validate(moved), reader).ok
    bare = case.report
    bare["seals"] = {}
    assert {"run", "findings[0]"} <= {d.path for d in verify_report(Report.model_validate(bare), reader).differences}
    reader.close()


# -- the data ---------------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_data_that_changed_since_is_named(server: RunningServer, tmp_path: Path) -> None:
    case = made(server, "changing", tmp_path)
    late = TraceRow(id="late", timestamp=END - timedelta(hours=1), name="support", project_id=PROJECT)
    client = open_writer(case.url)
    with Writer(client, "v4", "changing") as writer:
        writer.write(Rows(traces=[late]))
    client.close()
    done = verify(case.file, case.url, "--json")
    assert done.returncode == 1
    named = {item["path"]: item for item in json.loads(done.stdout)["differences"]}
    traces = named["coverage.traces.window"]
    assert traces["recomputed"] == traces["written"] + 1
    assert any(path.startswith("coverage.evidence[0].rows") for path in named)


def test_a_query_that_can_no_longer_be_asked_is_named(server: RunningServer, case: Case) -> None:
    report = Report.model_validate(case.report)
    reader = open_reader(case.url)
    server.misbehave("denied", 1, "quantilesExact(")
    outcome = verify_report(report, reader)
    reader.close()
    (path,) = [d.path for d in outcome.differences]
    assert path.endswith(".sql")
    assert "lacks the privilege" in str(outcome.differences[0].recomputed)


def test_another_database_or_project_is_one_line(server: RunningServer, case: Case) -> None:
    empty, other, twin = server.url(database="empty"), server.url(database="other"), stored(server, "twin")
    open_writer(empty).close()
    client = open_writer(other)
    create_tables(client, "v4", "other")
    with Writer(client, "v4", "other") as writer:
        writer.write(Rows(traces=[TraceRow(id="1", timestamp=END, name="x", project_id="umbrella")]))
    client.close()
    for url, line in (
        (empty, "hansei: The database “empty” has no Langfuse tables that this user may read."),
        (other, "hansei: The project “acme” has no traces here. Projects with data: umbrella."),
        (twin, "hansei: The report was not made from the database “twin”. Name the report's own database in the URL."),
    ):
        done = verify(case.file, url)
        assert (done.returncode, done.stdout) == (2, "")
        started, last = done.stderr.splitlines()
        assert started.startswith("verify: ")
        assert last.startswith(line)
