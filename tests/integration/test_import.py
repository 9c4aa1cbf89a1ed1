"""Importing a project: over an API on a real socket and from files of every form; each row is compared."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.cli import clean_environment, hansei_here
from tests.support.exports import (
    api_observations,
    api_scores,
    demo_rows,
    expected,
    export_rows,
    legacy_rows,
    write_export,
)
from tests.support.langfuse_api import PROJECT_ID, Fault, LangfuseServer, observation
from tests.support.s3_server import BUCKET, S3Server

from hansei.demo.rows import Rows
from hansei.tools.clickhouse import open_writer

SINCE = ["--since", "2025-01-01"]


@pytest.fixture(scope="module")
def rows() -> Rows:
    return demo_rows()


@pytest.fixture
def server(rows: Rows) -> Iterator[LangfuseServer]:
    with LangfuseServer() as running:
        running.state.observations = [{**row, "projectId": PROJECT_ID} for row in api_observations(rows)]
        running.state.scores = api_scores(rows)
        yield running


def ask(folder: Path, sql: str) -> list[tuple[Any, ...]]:
    client = open_writer(f"chdb://{folder}/clickhouse")
    try:
        return [tuple(row) for row in client.query(sql).result_rows]
    finally:
        client.close()


OBSERVATIONS = """SELECT id, trace_id, type, name, ifNull(parent_observation_id, ''), toString(start_time),
  ifNull(toString(end_time), ''), level, ifNull(status_message, ''), ifNull(version, ''), environment,
  ifNull(input, ''), ifNull(output, ''), ifNull(provided_model_name, ''), ifNull(model_parameters, ''), usage_details,
  mapApply((k, v) -> (k, toFloat64(v)), cost_details), toFloat64(ifNull(total_cost, 0)),
  ifNull(toString(completion_start_time), ''), ifNull(prompt_name, ''), ifNull(prompt_version, 0)
FROM observations FINAL ORDER BY id"""

TRACES = """SELECT id, name, toString(timestamp), ifNull(user_id, ''), ifNull(session_id, ''), ifNull(release, ''),
  ifNull(version, ''), environment, arraySort(tags), ifNull(input, ''), ifNull(output, ''), metadata
FROM traces FINAL ORDER BY id"""

SCORES = """SELECT id, name, toString(timestamp), data_type, value, ifNull(string_value, ''), source,
  ifNull(comment, ''), ifNull(trace_id, ''), ifNull(observation_id, ''), ifNull(session_id, ''), environment
FROM scores FINAL ORDER BY id"""


def compare(folder: Path, rows: Rows) -> None:
    """Every row in the tables is the source's, and none is missing."""
    stamp = "%Y-%m-%d %H:%M:%S.%f"
    assert ask(folder, OBSERVATIONS) == sorted(expected(row) for row in rows.observations)
    found = {row[0]: row for row in ask(folder, TRACES)}
    steps: dict[str, list[Any]] = {}
    for row in rows.observations:
        steps.setdefault(row.trace_id, []).append(row)
    traces = {row.id: row for row in rows.traces}
    assert found.keys() >= traces.keys()
    for trace in rows.traces:
        root = next((one for one in steps.get(trace.id, []) if one.parent_observation_id is None), None)
        io = root if trace.opentelemetry and root else trace
        version = root.version if trace.opentelemetry and root else trace.version
        metadata = {**trace.metadata, **(root.metadata if trace.opentelemetry and root else {})}
        assert found[trace.id] == (
            trace.id, trace.name, trace.timestamp.strftime(stamp)[:23], trace.user_id or "", trace.session_id or "",
            trace.release or "", version or "", trace.environment, sorted(trace.tags), io.input or "", io.output or "",
            metadata,
        )  # fmt: skip
    wanted = [
        (
            row.id, row.name, row.timestamp.strftime(stamp)[:23], row.data_type,
            0.0 if row.data_type in ("CATEGORICAL", "TEXT") else row.value,
            (("True" if row.value else "False") if row.data_type == "BOOLEAN" else row.string_value or ""),
            row.source, row.comment or "", row.trace_id or "", row.observation_id or "",
            row.session_id or "", row.environment,
        )
        for row in rows.scores
    ]  # fmt: skip
    assert ask(folder, SCORES) == sorted(wanted)


def test_a_project_comes_over_the_api_whole(rows: Rows, server: LangfuseServer, tmp_path: Path) -> None:
    server.fault("list_observations", Fault(status=429, headers={"Retry-After": "0"}), after=2, times=2)
    server.fault("list_scores", Fault(cut="after"), after=1, times=1)
    done = hansei_here(tmp_path, "import", *SINCE, "--out", "here", "--json", **server.settings)
    assert done.returncode == 0, done.stderr
    counts = {one["relation"]: (one["received"], one["read_back"]) for one in json.loads(done.stdout)["counts"]}
    assert counts["observations"] == (len(rows.observations),) * 2
    assert counts["scores"] == (len(rows.scores),) * 2
    assert counts["traces"] == (len({*(t.id for t in rows.traces), *(o.trace_id for o in rows.observations)}),) * 2
    compare(tmp_path / "here", rows)


@pytest.mark.long
def test_an_import_can_be_analysed(server: LangfuseServer, tmp_path: Path) -> None:
    assert hansei_here(tmp_path, "import", *SINCE, "--out", "here", **server.settings).returncode == 0
    url = f"chdb://{tmp_path}/here/clickhouse"
    done = hansei_here(tmp_path, "analyze", "--clickhouse", url, "--project", PROJECT_ID, "--out", "report")
    assert done.returncode == 0, done.stderr
    coverage = json.loads((tmp_path / "report/report.json").read_text())["coverage"]
    assert coverage["schema"] == "v3"
    assert coverage["observations"]["window"] > 100
    verified = hansei_here(tmp_path, "verify", "report/report.json", "--clickhouse", url)
    assert verified.returncode == 0, verified.stdout


def test_the_next_import_brings_what_is_new_and_what_changed(server: LangfuseServer, tmp_path: Path) -> None:
    newest = max((row for row in server.state.observations if row["id"][:2] != "t-"), key=lambda row: row["startTime"])
    late = newest | {"id": "late", "isRootObservation": False, "parentObservationId": newest["id"], "name": "late"}
    ended = newest | {"name": "renamed", "updatedAt": "2099-01-01T00:00:00.000Z"}
    until = newest["startTime"].replace("Z", "+00:00")
    first = hansei_here(tmp_path, "import", *SINCE, "--out", "here", "--until", until, "--json", **server.settings)
    assert first.returncode == 0, first.stderr
    server.state.observations = [row for row in server.state.observations if row["id"] != newest["id"]] + [late, ended]
    asked = len(server.named("list_observations"))
    second = hansei_here(tmp_path, "import", *SINCE, "--out", "here", "--json", **server.settings)
    counts = {one["relation"]: one["received"] for one in json.loads(second.stdout)["counts"]}
    assert second.returncode == 0
    assert 2 <= counts["observations"] < len(server.state.observations) / 2
    assert len(server.named("list_observations")) - asked < asked
    sql = f"SELECT name FROM observations FINAL WHERE id IN ('late', '{newest['id']}') ORDER BY name"
    assert ask(tmp_path / "here", sql) == [("late",), ("renamed",)]
    assert ask(tmp_path / "here", "SELECT count() - uniqExact(id) FROM observations FINAL") == [(0,)]


def test_a_first_step_that_comes_late_moves_its_trace_to_its_day(tmp_path: Path) -> None:
    common = {"trace_id": "t1", "trace_name": "answer", "project_id": PROJECT_ID}
    after = observation(id="b", start_time="2026-10-02T00:00:10.000Z", parent_observation_id="a", **common)
    before = observation(id="a", start_time="2026-10-01T23:59:50.000Z", input="hello", **common)
    with LangfuseServer() as server:
        server.state.observations = [after]
        assert hansei_here(tmp_path, "import", *SINCE, **server.settings).returncode == 0
        server.state.observations = [after, before]
        assert hansei_here(tmp_path, "import", *SINCE, "--again", **server.settings).returncode == 0
    found = ask(tmp_path / "hansei-import", "SELECT id, toString(toDate(timestamp)), input, name FROM traces FINAL")
    assert found == [("t1", "2026-10-01", "hello", "answer")]


def test_kill_9_in_the_middle_goes_on_where_it_was(rows: Rows, server: LangfuseServer, tmp_path: Path) -> None:
    server.fault("list_observations", Fault(stall=True), after=2, times=1)
    command = [sys.executable, "-m", "hansei", "import", *SINCE, "--out", str(tmp_path / "here")]
    process = subprocess.Popen(
        command, env=clean_environment(**server.settings), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 120
    while len(server.named("list_observations")) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    done = hansei_here(tmp_path, "import", *SINCE, "--out", "here", "--json", **server.settings)
    assert done.returncode == 0, done.stderr
    pages = [request.query.get("cursor", [""])[0] for request in server.named("list_observations")]
    assert pages.count("") == 1
    assert len(pages) == len(set(pages)) + 1  # the page that was never answered
    counts = {one["relation"]: one["received"] for one in json.loads(done.stdout)["counts"]}
    assert counts["observations"] == len(rows.observations)
    compare(tmp_path / "here", rows)


def test_metadata_that_is_wanted_whole(tmp_path: Path) -> None:
    long = {"note": "x" * 900, "other": "y" * 900}
    with LangfuseServer() as server:
        server.state.observations = [
            observation(id="a", trace_id="t", start_time="2026-10-01T00:00:00.000Z", metadata=long)
        ]
        done = hansei_here(tmp_path, "import", *SINCE, "--metadata", "note", **server.settings)
    assert done.returncode == 0, done.stderr
    found = ask(tmp_path / "hansei-import", "SELECT metadata FROM observations FINAL")
    assert found == [({"note": "x" * 900, "other": "y" * 200},)]


@pytest.mark.parametrize("form", ["jsonl", "csv.gz", "json"])
def test_an_export_comes_whole_in_every_form(rows: Rows, tmp_path: Path, form: str) -> None:
    write_export(tmp_path / "export", export_rows(rows), form)
    done = hansei_here(tmp_path, "import", "--from", "export", "--out", "here", "--json")
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout)
    assert (outcome["files"], outcome["remarks"]) == (6, [])
    assert all(one["received"] == one["read_back"] for one in outcome["counts"])
    compare(tmp_path / "here", rows)
    again = hansei_here(tmp_path, "import", "--from", "export", "--out", "here", "--json")
    assert (again.returncode, json.loads(again.stdout)["files"], json.loads(again.stdout)["known"]) == (0, 0, 6)


def test_parquet_with_types_of_its_own(rows: Rows, tmp_path: Path) -> None:
    write_export(tmp_path / "lines", export_rows(rows), "jsonl", parts=1)
    types = {
        "metadata": "Map(String, String)", "usage_details": "Map(String, UInt64)", "tags": "Array(String)",
        "cost_details": "Map(String, Decimal(18, 12))", "start_time": "DateTime64(6, 'UTC')", "value": "Float64",
        "end_time": "Nullable(DateTime64(6, 'UTC'))", "timestamp": "DateTime64(6, 'UTC')", "public": "Bool",
        "total_cost": "Decimal(18, 12)", "prompt_version": "Nullable(UInt16)", "bookmarked": "Bool",
    }  # fmt: skip
    for table, some in export_rows(rows).items():
        structure = ", ".join(f"{name} {types.get(name, 'Nullable(String)')}" for name in some[0])
        (tmp_path / "export" / table).mkdir(parents=True)
        source = next((tmp_path / "lines" / PROJECT_ID / table).iterdir())
        ask(
            tmp_path / "other",
            f"INSERT INTO FUNCTION file('{tmp_path}/export/{table}/one.parquet', 'Parquet') SELECT * FROM "
            f"file('{source}', 'JSONEachRow', $${structure}$$)",
        )
    done = hansei_here(tmp_path, "import", "--from", "export", "--out", "here", "--json")
    assert done.returncode == 0, done.stderr
    compare(tmp_path / "here", rows)


def test_the_older_export_with_traces_of_its_own(rows: Rows, tmp_path: Path) -> None:
    write_export(tmp_path / "export", legacy_rows(rows), "jsonl.gz")
    done = hansei_here(tmp_path, "import", "--from", "export", "--out", "here", "--json")
    assert done.returncode == 0, done.stderr
    counts = {one["relation"]: one["received"] for one in json.loads(done.stdout)["counts"]}
    assert counts["traces"] == len(rows.traces)
    stamp = "%Y-%m-%d %H:%M:%S.%f"
    assert [row[:3] for row in ask(tmp_path / "here", TRACES)] == sorted(
        (trace.id, trace.name, trace.timestamp.strftime(stamp)[:23]) for trace in rows.traces
    )
    assert ask(tmp_path / "here", OBSERVATIONS) == sorted(expected(row) for row in rows.observations)


def test_what_does_not_fit_is_told(rows: Rows, tmp_path: Path) -> None:
    assert "no folder" in hansei_here(tmp_path, "import", "--from", "nowhere").stderr
    (tmp_path / "empty").mkdir()
    assert "no files of an export" in hansei_here(tmp_path, "import", "--from", "empty").stderr
    write_export(tmp_path / "export", export_rows(rows), "jsonl")
    (tmp_path / "export" / PROJECT_ID / "scores" / "2026-10-02T00-00-00.jsonl").unlink()
    one = tmp_path / "export" / PROJECT_ID / "scores" / "2026-10-01T00-00-00.jsonl"
    one.write_text("".join(line + "\n" for line in one.read_text("utf-8").splitlines()[:-2]), "utf-8")
    done = hansei_here(tmp_path, "import", "--from", "export", "--json")
    assert done.returncode == 1
    assert [remark.split("/")[-1] for remark in json.loads(done.stdout)["remarks"]] == [
        f"2026-10-01T00-00-00.jsonl has {len(one.read_text('utf-8').splitlines()):,} rows, its manifest says "
        f"{len(one.read_text('utf-8').splitlines()) + 2:,}.",
        "2026-10-02T00-00-00.jsonl is missing, though its manifest names it.",
    ]
    one.write_text('{"id": "x"', "utf-8")
    broken = hansei_here(tmp_path, "import", "--from", "export")
    assert (broken.returncode, broken.stderr.count("\n")) == (2, 1)
    assert "scores/2026-10-01T00-00-00.jsonl cannot be read" in broken.stderr
    one.write_text('{"name": "no id"}\n', "utf-8")
    assert "no id" in hansei_here(tmp_path, "import", "--from", "export").stderr


def test_wrong_keys_make_no_folder(server: LangfuseServer, tmp_path: Path) -> None:
    settings = {**server.settings, "LANGFUSE_SECRET_KEY": "sk-wrong"}
    done = hansei_here(tmp_path, "import", "--out", "here", **settings)
    assert (done.returncode, "answered 401" in done.stderr) == (2, True)
    assert not (tmp_path / "here").exists()


def test_a_bucket_is_read_by_the_engine_itself(rows: Rows, tmp_path: Path) -> None:
    write_export(tmp_path / "lines", export_rows(rows), "jsonl.gz", parts=2)
    files = {
        f"backup/{path.relative_to(tmp_path / 'lines')}": path.read_bytes()
        for path in (tmp_path / "lines").rglob("*")
        if path.is_file()
    }
    keys = {"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": "a-secret-key"}
    with S3Server(files) as bucket:
        settings = {**keys, "AWS_ENDPOINT_URL": bucket.url}
        done = hansei_here(tmp_path, "import", "--from", f"s3://{BUCKET}/backup", "--out", "here", "--json", **settings)
        assert done.returncode == 0, done.stderr
        assert (json.loads(done.stdout)["files"], json.loads(done.stdout)["remarks"]) == (4, [])
        again = hansei_here(
            tmp_path, "import", "--from", f"s3://{BUCKET}/backup", "--out", "here", "--json", **settings
        )
        assert (json.loads(again.stdout)["files"], json.loads(again.stdout)["known"]) == (0, 4)
        assert all("AKIAEXAMPLE" in one for one in bucket.authorizations)
        wrong = hansei_here(tmp_path, "import", "--from", "s3://nowhere/backup", "--out", "here", **settings)
        assert wrong.returncode == 2
        assert "a-secret-key" not in done.stdout + done.stderr + wrong.stdout + wrong.stderr
    compare(tmp_path / "here", rows)
