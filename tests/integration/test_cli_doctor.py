"""`hansei doctor` against an embedded ClickHouse, and against a Langfuse that takes or refuses the keys."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.cli import Done, hansei, hansei_here
from tests.support.clickhouse_http import RunningServer, User, start_server
from tests.support.otlp_server import Mode, OtlpServer

from hansei.demo import create_tables
from hansei.tools.clickhouse import open_writer
from hansei.tools.clickhouse.provision import Setup

NOBODY = "clickhouse://me:s3cret@127.0.0.1:1/langfuse"
SECRET_KEY = "sk-lf-not-to-be-shown"

MAKE_DATA = """
import sys
from datetime import UTC, datetime, timedelta
from hansei.demo import Writer, create_tables
from hansei.demo.rows import Rows, TraceRow
from hansei.tools.clickhouse import open_writer
from hansei.tools.clickhouse.provision import Setup

now = datetime.now(UTC).replace(microsecond=0)
client = open_writer(sys.argv[1])
create_tables(client, "v3")
with Writer(client, "v3") as writer:
    for project, moment in (("shop", now - timedelta(hours=1)), ("ahead", now + timedelta(days=2))):
        writer.write(Rows(traces=[TraceRow(id=project, timestamp=moment, name="answer", project_id=project)]))
client.close()
"""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An embedded ClickHouse with two projects: one of now, one whose application's clock is ahead.

    It is made and read by other processes, since a process holds one embedded directory at a time.
    """
    made = f"chdb://{tmp_path_factory.mktemp('doctor') / 'clickhouse'}"
    subprocess.run([sys.executable, "-c", MAKE_DATA, made], check=True)
    return made


def doctor(folder: Path, *arguments: str, **settings: str) -> Done:
    return hansei_here(folder, "doctor", *arguments, **settings)


def checks(done: Done) -> dict[str, dict[str, Any]]:
    assert done.stderr == ""
    document = json.loads(done.stdout)
    assert document["ok"] == (done.returncode == 0)
    return {check["name"]: check for check in document["checks"]}


def test_all_is_fine(url: str, tmp_path: Path) -> None:
    done = hansei(tmp_path, "doctor", "--clickhouse", url, "--project", "shop")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("All is fine.\n")
    found = checks(doctor(tmp_path, "--json", HANSEI_CLICKHOUSE_URL=url, HANSEI_PROJECT_ID="shop"))
    assert {name: check["status"] for name, check in found.items()} == {
        "connection": "ok",
        "version": "ok",
        "read-only session": "ok",
        "limits": "ok",
        "clock": "ok",
        "time zone": "ok",
        "permissions": "ok",
        "tenancy": "ok",
        "schema": "ok",
        "tracing": "skipped",
        "model": "skipped",
    }
    assert "no inserts" in found["read-only session"]["detail"]
    assert found["permissions"]["detail"] == "may read traces, observations, scores"
    assert found["schema"]["detail"].startswith("v3, traces from ")


def test_the_time_zone_of_this_machine_does_not_matter(url: str, tmp_path: Path) -> None:
    done = doctor(tmp_path, "--clickhouse", url, "--project", "shop", "--json", TZ="Asia/Tokyo")
    assert checks(done)["time zone"]["detail"] == "UTC"


def test_what_a_server_leaves_open_is_noted_with_a_remedy(tmp_path: Path) -> None:
    users = {"default": User(), "loose": User("s3cret", init=["SET readonly = 2"])}
    with start_server(users=users) as server:
        client = open_writer(server.url())
        create_tables(client, "v3")
        client.close()
        done = doctor(tmp_path, "--clickhouse", server.url("loose", "s3cret"), no_proxy="*")
    assert done.returncode == 0
    assert re.search(r"^  note +read-only session +the engine refuses writes, but", done.stdout, re.MULTILINE)
    assert "read-only session: Have an administrator set readonly = 1" in done.stdout
    assert done.stdout.endswith("All is fine.\n")
    assert "s3cret" not in done.stdout


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    """A server with the rows of two projects. `bound` has the profile that is recommended, but sees both."""
    setup = Setup("default", ("traces", "observations", "scores"), "shop")
    profile = [f"SET {name} = '{value}'" for name, value in setup.settings.items() if not name.startswith("cancel_")]
    rows = {f"default.{table}": setup.rows for table in setup.tables}
    users = {
        "default": User(),
        "bound": User(init=profile, grants=setup.grants),
        setup.user: User(init=profile, grants=setup.grants, rows=rows),
    }
    with start_server(users=users) as running:
        client = open_writer(running.url())
        create_tables(client, "v3")
        for project in ("shop", "other"):
            client.command(f"INSERT INTO traces (id, timestamp, project_id) VALUES ('{project}', now(), '{project}')")
        yield running
        client.close()


@pytest.mark.parametrize(
    ("user", "status", "words"),
    [
        ("default", "note", "can read other projects' rows in traces;"),
        ("bound", "note", "can read other projects' rows in traces;"),
        ("hansei_shop", "ok", "no rows of other projects can be read"),
    ],
)
def test_who_can_read_other_projects_is_told(
    server: RunningServer, tmp_path: Path, user: str, status: str, words: str
) -> None:
    arguments = ("--clickhouse", server.url(user), "--project", "shop", "--json")
    found = checks(doctor(tmp_path, *arguments, no_proxy="*"))
    assert found["tenancy"]["status"] == status
    assert words in found["tenancy"]["detail"]
    assert ("hansei doctor --sql" in found["tenancy"]["remedy"]) == (status == "note")
    assert found["read-only session"]["status"] == ("note" if user == "default" else "ok")
    assert "other" not in found["schema"]["detail"]


def test_the_sql_for_the_right_user_is_printed(server: RunningServer, tmp_path: Path) -> None:
    arguments = ("--clickhouse", server.url(), "--project", "shop", "--sql")
    told = doctor(tmp_path, *arguments, no_proxy="*")
    assert told.returncode == 0, told.stderr
    statements = [line.removesuffix(";") for line in told.stdout.splitlines() if not line.startswith("--")]
    assert statements == json.loads(doctor(tmp_path, *arguments, "--json", no_proxy="*").stdout)["sql"]
    assert statements == Setup("default", ("traces", "observations", "scores"), "shop").statements()
    assert told.stdout.splitlines()[-1] == "-- Then connect as hansei_shop."


def test_the_sql_needs_a_server_and_a_project(server: RunningServer, url: str, tmp_path: Path) -> None:
    done = doctor(tmp_path, "--clickhouse", server.url(), "--sql", no_proxy="*")
    assert (done.returncode, done.stderr) == (
        2,
        "hansei: No project is named. Give --project, or set HANSEI_PROJECT_ID.\n",
    )
    done = doctor(tmp_path, "--clickhouse", url, "--sql", "--project", "shop")
    assert done.returncode == 2
    assert "An embedded ClickHouse has no users" in done.stderr


def test_without_a_project_the_schema_is_not_looked_at(url: str, tmp_path: Path) -> None:
    done = doctor(tmp_path, "--clickhouse", url, "--json")
    assert done.returncode == 0
    assert checks(done)["schema"]["status"] == "skipped"


def test_an_unknown_project_is_told_which_ones_exist(url: str, tmp_path: Path) -> None:
    done = doctor(tmp_path, "--clickhouse", url, "--project", "shpo")
    assert done.returncode == 2
    assert "schema: Projects with data: ahead, shop." in done.stdout


def test_traces_of_the_future_are_a_clock_that_is_ahead(url: str, tmp_path: Path) -> None:
    found = checks(doctor(tmp_path, "--clickhouse", url, "--project", "ahead", "--json"))
    assert found["schema"]["status"] == "failed"
    assert "in the future" in found["schema"]["detail"]
    assert "--until" in found["schema"]["remedy"]


def test_without_a_connection_the_rest_is_skipped(tmp_path: Path) -> None:
    done = doctor(tmp_path, "--clickhouse", NOBODY, "--json")
    found = checks(done)
    assert list(found) == ["connection", "permissions", "tenancy", "schema", "tracing", "model"]
    assert [check["status"] for check in found.values()] == ["failed", *["skipped"] * 5]
    assert found["connection"]["remedy"]
    assert "s3cret" not in done.stdout


@pytest.mark.parametrize(
    ("mode", "status", "detail"),
    [
        ("ok", "ok", "Langfuse takes the keys"),
        ("unauthorized", "failed", "Langfuse refuses the keys."),
        ("broken", "failed", "Langfuse answers 500."),
    ],
)
def test_the_tracing_keys_are_tried(tmp_path: Path, mode: Mode, status: str, detail: str) -> None:
    with OtlpServer(mode=mode) as server:
        done = doctor(
            tmp_path,
            "--json",
            "--clickhouse",
            NOBODY,
            LANGFUSE_BASE_URL=server.url,
            LANGFUSE_PUBLIC_KEY="pk-lf-1",
            LANGFUSE_SECRET_KEY=SECRET_KEY,
        )
    assert SECRET_KEY not in done.stdout + done.stderr
    assert (checks(done)["tracing"]["status"], checks(done)["tracing"]["detail"]) == (status, detail)


def test_half_a_pair_of_keys_is_a_failure(tmp_path: Path) -> None:
    found = checks(doctor(tmp_path, "--json", "--clickhouse", NOBODY, LANGFUSE_SECRET_KEY=SECRET_KEY))
    assert found["tracing"]["detail"] == "LANGFUSE_PUBLIC_KEY is not set, its partner is."
