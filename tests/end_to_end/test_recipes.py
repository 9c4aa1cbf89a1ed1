"""The recipes' commands run as they are written, and end with the exit codes that the page tells."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.cli import clean_environment
from tests.support.clickhouse_http import User, start_server
from tests.support.world import Visit, make_world

from hansei.demo import Writer, create_tables
from hansei.tools.clickhouse import open_writer

pytestmark = pytest.mark.long

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "recipes.md").read_text("utf-8")
PROJECTS = ("support-agent", "research-agent")


def blocks(heading: str, language: str) -> list[str]:
    """The blocks of a language below a heading."""
    part = re.split(rf"^## {heading}\n", PAGE, flags=re.MULTILINE)[1].split("\n## ")[0]
    return re.findall(rf"^```{language}\n(.*?)^```", part, re.MULTILINE | re.DOTALL)


def timeouts(visit: Visit) -> None:
    if visit.app == "support" and visit.day == 6 and visit.random.random() < 0.7:
        visit.steps[1].level, visit.steps[1].status, visit.steps[1].output = "ERROR", "timeout", ""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A server with the recipes' two projects; on the last day a tool of the first fails, the second is quiet."""
    with start_server(users={"default": User()}) as server:
        client = open_writer(server.url())
        create_tables(client, "v4")
        with Writer(client, "v4") as writer:
            for project, faults in zip(PROJECTS, ([timeouts], []), strict=True):
                rows = make_world(*faults)
                for row in (*rows.traces, *rows.observations, *rows.scores):
                    row.project_id = project
                writer.write(rows)
        client.close()
        yield server.url()


def run(script: str, folder: Path, url: str, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = clean_environment(
        HANSEI_CLICKHOUSE_URL=url, PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}", **settings
    )
    return subprocess.run(
        ["sh", "-c", script], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def only_day(folder: Path) -> Path:
    [day] = folder.iterdir()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", day.name)
    return day


@pytest.mark.long
def test_many_projects(url: str, tmp_path: Path) -> None:
    for script in blocks("Many projects", "sh"):
        done = run(f"set -e\n{script}", tmp_path, url)
        assert done.returncode == 0, done.stderr
    for folder in ("all", "own"):
        assert (tmp_path / "reports" / folder / "index.html").exists()
        assert all((tmp_path / "reports" / folder / project / "report.html").exists() for project in PROJECTS)
    outcome = json.loads((tmp_path / "outcome.json").read_text("utf-8"))
    assert [entry["state"] for entry in outcome["projects"]] == ["done", "done"]


@pytest.mark.parametrize(
    ("projects", "said"),
    [
        (PROJECTS[:1], "Hansei found something"),
        pytest.param(("nobody",), "exit code 2", marks=pytest.mark.long),
        pytest.param(PROJECTS[1:], "", marks=pytest.mark.long),
    ],
)
def test_cron(projects: tuple[str, ...], said: str, url: str, tmp_path: Path) -> None:
    (tmp_path / "projects.txt").write_text("\n".join(projects))
    [script] = blocks("Cron", "sh")
    done = run(script, tmp_path, url)
    assert done.returncode == 0
    assert said in done.stdout if said else done.stdout == ""
    assert (only_day(tmp_path / "reports") / "index.md").exists()


def test_github_actions(url: str, tmp_path: Path) -> None:
    workflow: dict[str, Any] = yaml.safe_load(blocks("GitHub Actions", "yaml")[0])
    job = workflow["jobs"]["analyze"]
    steps = [step["run"] for step in job["steps"] if "run" in step and not step["run"].startswith("pip ")]
    settings = {"HANSEI_PROJECT_ID": job["env"]["HANSEI_PROJECT_ID"], "GITHUB_STEP_SUMMARY": str(tmp_path / "summary")}
    assert settings["HANSEI_PROJECT_ID"] == PROJECTS[0]
    codes = [run(step, tmp_path, url, **settings).returncode for step in steps]
    assert codes == [0, 1, 0]
    assert "lookup_order" in (tmp_path / "summary").read_text("utf-8").replace("\\", "")


@pytest.mark.long
def test_kubernetes(url: str, tmp_path: Path) -> None:
    job: dict[str, Any] = yaml.safe_load(blocks("Kubernetes", "yaml")[0])["spec"]["jobTemplate"]["spec"]
    [container] = job["template"]["spec"]["containers"]
    assert container["command"] == ["sh", "-c"]
    assert job["podFailurePolicy"]["rules"][0]["onExitCodes"]["values"] == [1]
    assert job["podFailurePolicy"]["rules"][0]["onExitCodes"]["containerName"] == container["name"]
    [script] = container["args"]
    for mount in container["volumeMounts"]:
        (tmp_path / mount["name"]).mkdir()
        script = script.replace(mount["mountPath"], str(tmp_path / mount["name"]))
    names = tmp_path / "config" / "projects.txt"
    names.write_text(f"{PROJECTS[0]}\nnobody\n")
    assert run(script, tmp_path, url).returncode == 2
    # The second try does what is missing, and then tells of the finding.
    names.write_text(f"{PROJECTS[0]}\n{PROJECTS[1]}\n")
    second = run(script, tmp_path, url)
    assert "done before" in second.stderr
    day = only_day(tmp_path / "reports")
    report = json.loads((day / PROJECTS[0] / "report.json").read_text("utf-8"))
    critical = any(one["severity"] == "critical" for one in report["findings"])
    assert second.returncode == int(critical)


def test_the_server_behind_several_containers_is_valid_yaml() -> None:
    [text] = blocks("One machine, and more", "yaml")
    services = yaml.safe_load(text)["services"]
    assert {"DATABASE_URI", "REDIS_URI", "HANSEI_CLICKHOUSE_URL"} <= set(services["server"]["environment"])
    assert set(services["server"]["depends_on"]) <= set(services)
