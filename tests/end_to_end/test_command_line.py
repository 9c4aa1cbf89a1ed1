"""The whole job from the command line: sample data, report, verification, README."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.support.cli import hansei, hansei_here
from tests.support.clickhouse_http import start_server
from tests.support.world import PROJECT, make_world

from hansei import Report
from hansei.cli import demo as demo_command
from hansei.demo import SEED, TRACES, Writer, create_tables
from hansei.tools.clickhouse import open_writer

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROJECT_VENV = ROOT / ".venv"

SIZE = "1600"  # enough for findings of a high severity

AS_JSON = "hansei analyze --json"
AS_GATE = "hansei analyze --fail-on high --quiet"

RUN_ELSEWHERE = {
    "make test": "CI: make check ends with it",
    "make check": "CI",
    "make test-long": "CI",
    "pip install .": "tests/end_to_end/test_package.py installs the wheel",
    AS_JSON: "below, in a process of its own",
    AS_GATE: "below, in a process of its own",
}


@dataclass(frozen=True)
class Desk:
    """A working directory in which `hansei demo` was run."""

    folder: Path
    told: str
    progress: str

    @property
    def url(self) -> str:
        return f"chdb://{self.folder / 'hansei-demo' / 'clickhouse'}"

    @property
    def report(self) -> Path:
        return self.folder / "hansei-demo" / "report" / "report.json"

    @property
    def project(self) -> str:
        return str(json.loads(self.report.read_text(encoding="utf-8"))["project_id"])


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    folder = tmp_path_factory.mktemp("desk")
    done = hansei(folder, "demo", "--traces", SIZE)
    assert done.returncode == 0, done.stdout + done.stderr
    return Desk(folder, done.stdout, done.stderr)


@pytest.mark.long
def test_the_demo_ends_by_naming_the_files_and_what_to_do_next(desk: Desk) -> None:
    for form in ("json", "md", "html"):
        file = Path("hansei-demo") / "report" / f"report.{form}"
        assert f"Wrote {file}" in desk.told
        assert (desk.folder / file).stat().st_size > 1000
    assert desk.told.splitlines()[-3].strip() == f"hansei verify hansei-demo/report/report.json --clickhouse {desk.url}"
    report = Report.model_validate_json(desk.report.read_text(encoding="utf-8"))
    assert report.findings
    for finding in report.findings:
        assert finding.title.split()[0] in desk.told
    assert re.search(r"^connect: ", desk.progress, re.MULTILINE)
    assert "\x1b" not in desk.told + desk.progress


@pytest.mark.long
def test_the_demo_takes_its_own_data_again_and_makes_other_data_anew(tmp_path: Path) -> None:
    command = ["demo", "--traces", "500", "--out", "it's mine"]
    small = hansei_here(tmp_path, *command)
    assert small.returncode == 0, small.stderr
    again = hansei_here(tmp_path, *command)
    assert again.returncode == 0, again.stderr
    assert "Using the sample data in it's mine, made earlier with the same settings." in again.stderr
    other = hansei_here(tmp_path, *command, "--schema", "v3")
    assert other.returncode == 0, other.stderr
    assert "Using the sample data" not in other.stderr
    assert "in Langfuse's v3 tables" in other.stderr
    # The command that the demo names works as it stands, whatever the directory is called.
    named = next(line for line in other.stdout.splitlines() if line.strip().startswith("hansei verify"))
    assert hansei_here(tmp_path, *shlex.split(named)[1:]).returncode == 0


def test_the_commands_defaults_are_the_demos() -> None:
    assert (demo_command.TRACES, demo_command.SEED) == (TRACES, SEED)


def test_an_untouched_report_verifies(desk: Desk) -> None:
    done = hansei(desk.folder, "verify", str(desk.report), "--clickhouse", desk.url)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Everything is as it was written." in done.stdout


def test_analyze_prints_the_report_for_machines_and_writes_nothing(desk: Desk, tmp_path: Path) -> None:
    done = hansei(tmp_path, *AS_JSON.split()[1:], HANSEI_CLICKHOUSE_URL=desk.url, HANSEI_PROJECT_ID=desk.project)
    assert (done.returncode, done.stderr) == (0, "")
    report = Report.model_validate_json(done.stdout)
    assert report.project_id == desk.project
    assert list(tmp_path.iterdir()) == []


@pytest.mark.long
def test_fail_on_is_an_exit_code_and_quiet_is_silent(desk: Desk, tmp_path: Path) -> None:
    severities = {finding.severity for finding in Report.model_validate_json(desk.report.read_text("utf-8")).findings}
    assert "high" in severities or "critical" in severities
    settings = {"HANSEI_CLICKHOUSE_URL": desk.url, "HANSEI_PROJECT_ID": desk.project}
    met = hansei(tmp_path, *AS_GATE.split()[1:], **settings)
    assert (met.returncode, met.stdout, met.stderr) == (1, "", "")
    assert (tmp_path / "hansei-report" / "report.html").is_file()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--project", "shpo"], "The project “shpo” has no traces here."),
        (["--out", "/dev/null/report", "--window", "1h"], "The report cannot be written to /dev/null/report"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_two(desk: Desk, tmp_path: Path, arguments: list[str], line: str) -> None:
    settings = {"HANSEI_CLICKHOUSE_URL": desk.url, "HANSEI_PROJECT_ID": desk.project}
    done = hansei_here(tmp_path, "analyze", *arguments, **settings)
    assert done.returncode == 2
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"hansei: {line}")
    assert "Traceback" not in done.stderr


def test_an_interrupted_analysis_says_so_in_one_line_at_once(tmp_path: Path) -> None:
    with start_server() as server:
        client = open_writer(server.url())
        create_tables(client, "v3")
        with Writer(client, "v3") as writer:
            writer.write(make_world(per_day=20))
        client.close()
        server.misbehave("hang", 1000, "call.1 AS prompt_name")
        command = [sys.executable, "-m", "hansei", "analyze", "--clickhouse", server.url(), "--project", PROJECT]
        environment = os.environ | {"no_proxy": "*"}
        with subprocess.Popen(
            command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stderr is not None
            for line in process.stderr:
                if line.startswith("analyst quality"):
                    break
            process.send_signal(signal.SIGINT)
            # ClickHouse keeps silent for longer than this, so waiting for its answers would be noticed.
            out, err = process.communicate(timeout=25)
    assert (process.returncode, out) == (130, "")
    assert err.splitlines()[-1] == "hansei: interrupted."
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def readme_commands() -> list[str]:
    """Every command line in the README's shell blocks, without its comment."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    lines = [shlex.join(shlex.split(line, comments=True)) for block in blocks for line in block.splitlines()]
    return [line for line in lines if line]


def on_the_sample_data(text: str, desk: Desk) -> str:
    """A text of the README with its example connection and project replaced by the sample data's."""
    url = re.escape("clickhouse://hansei:password@localhost:8123/default")
    return re.sub("my-project", desk.project, re.sub(url, desk.url, text))


def test_every_command_of_the_readme_is_known() -> None:
    commands = readme_commands()
    assert commands[:2] == ["make demo", "make test"]
    assert RUN_ELSEWHERE.keys() <= set(commands)
    strange = [line for line in commands if not line.startswith("hansei ") and line not in RUN_ELSEWHERE]
    assert strange == ["make demo", "make help"], "these two are run below"


@pytest.mark.long
def test_every_hansei_command_of_the_readme_runs(desk: Desk, tmp_path: Path) -> None:
    settings = {"HANSEI_CLICKHOUSE_URL": desk.url, "HANSEI_PROJECT_ID": desk.project}
    (tmp_path / "projects.txt").write_text(f"{desk.project}\n", encoding="utf-8")
    for line in readme_commands():
        if line.startswith("hansei ") and line not in RUN_ELSEWHERE:
            done = hansei_here(tmp_path, *shlex.split(on_the_sample_data(line, desk))[1:], **settings)
            assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"


@pytest.mark.long
def test_the_python_of_the_readme_runs(desk: Desk, tmp_path: Path) -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    command = [sys.executable, "-c", on_the_sample_data(code, desk)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0].split()[0] in ("critical", "high", "medium", "low")


def test_make_help_names_every_target() -> None:
    done = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    shown = set(re.findall(r"make ([a-z-]+)", done.stdout))
    assert shown >= {"demo", "test", "test-long", "check", "clean", "help"}
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert shown == set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))


@pytest.mark.long
@pytest.mark.skipif(Path(sys.prefix) != PROJECT_VENV, reason="make demo would set up .venv; these tests run elsewhere")
def test_make_demo_runs(tmp_path: Path) -> None:
    command = ["make", "demo", f"DEMO=--traces 500 --out {tmp_path / 'demo'}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "demo" / "report" / "report.html").is_file()
