"""Many projects: a folder each, a page over all, failures that hurt nobody else, and going on where it stopped."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from pydantic import SecretStr
from tests.support.cli import clean_environment, hansei_here
from tests.support.clickhouse_http import RunningServer, User, start_server
from tests.support.world import END, Visit, make_world

from hansei import Context, UsageError, build_graph
from hansei.cli.batch import folder_name
from hansei.cli.projects import read_projects
from hansei.demo import Writer, create_tables
from hansei.tools.clickhouse import close_readers, open_writer
from hansei.tools.report.index import Entry, render_index_html, render_index_markdown

pytestmark = pytest.mark.long

HOSTILE = "<script>alert(1)</script>|x"
"""A project id as nobody sane would choose it."""


def timeouts(visit: Visit) -> None:
    if visit.app == "support" and visit.day >= 2 and visit.random.random() < 0.4:
        visit.steps[1].level, visit.steps[1].status, visit.steps[1].output = "ERROR", "timeout", ""


def fill(url: str) -> None:
    """Three projects: one with a fault, a quiet one, and one with a hostile name."""
    client = open_writer(url)
    create_tables(client, "v4")
    with Writer(client, "v4") as writer:
        for project, faults, seed in (("broken", [timeouts], 1), ("quiet", [], 2), (HOSTILE, [timeouts], 3)):
            rows = make_world(*faults, seed=seed, per_day=30)
            for row in (*rows.traces, *rows.observations, *rows.scores):
                row.project_id = project
            writer.write(rows)
    client.close()


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    url = f"chdb://{tmp_path_factory.mktemp('many')}"
    fill(url)
    yield url
    close_readers(url)


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with start_server(users={"default": User()}) as server:
        fill(server.url())
        yield server
        close_readers(server.url())


def test_each_gets_a_folder_and_the_page_tells_all(embedded: str, tmp_path: Path) -> None:
    (tmp_path / "projects.txt").write_text(f"# ours\nbroken\n\nquiet  # calm\nnobody\n{HOSTILE}\n", "utf-8")
    arguments = ("analyze", "--projects", "projects.txt", "--clickhouse", embedded, "--until", END.isoformat())
    first = hansei_here(tmp_path, *arguments, "--json", "--fail-on", "high")
    assert first.returncode == 2, first.stderr
    told = json.loads(first.stdout)
    states = {entry["project"]: entry["state"] for entry in told["projects"]}
    assert states == {"broken": "done", "quiet": "done", "nobody": "failed", HOSTILE: "done"}
    assert told["exit_code"] == 2
    assert "nobody" in told["projects"][2]["reason"]
    assert "4 of 4" in first.stderr
    assert "left" in first.stderr

    out = tmp_path / "hansei-reports"
    for entry in told["projects"]:
        assert (out / entry["folder"] / "report.html").exists() == (entry["state"] == "done")
    assert {path.name for path in out.iterdir()} >= {"index.html", "index.md", "broken", "quiet"}
    page = (out / "index.html").read_text("utf-8")
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert 'href="broken/report.html"' in page
    assert f'href="{folder_name(HOSTILE)}/report.html"' in page
    assert 'href="nobody' not in page
    assert "3 of 4 projects analysed · 1 could not be done" in page

    # Again: what is finished is kept, byte for byte; what failed is tried again.
    before = (out / "broken" / "report.json").read_bytes()
    second = json.loads(hansei_here(tmp_path, *arguments, "--json").stdout)
    assert {entry["project"]: entry["done_before"] for entry in second["projects"]} == {
        "broken": True, "quiet": True, "nobody": False, HOSTILE: True,
    }  # fmt: skip
    assert (out / "broken" / "report.json").read_bytes() == before
    assert [entry["counts"] for entry in second["projects"]] == [entry["counts"] for entry in told["projects"]]

    # With other options, or when told to, it is done anew.
    (tmp_path / "one.txt").write_text("broken\n")
    one = ("analyze", "--projects", "one.txt", "--clickhouse", embedded, "--until", END.isoformat(), "--json")
    for more in (("--window", "6d"), ("--window", "6d", "--again")):
        assert not json.loads(hansei_here(tmp_path, *one, *more).stdout)["projects"][0]["done_before"]
    assert json.loads((out / "broken" / "report.json").read_bytes())["window"] != json.loads(before)["window"]


def test_a_server_is_asked_for_several_and_one_bad_run_hurts_nobody(server: RunningServer, tmp_path: Path) -> None:
    (tmp_path / "projects.csv").write_text("project,window,environment\nbroken,5d,production\nquiet,,\n", "utf-8")
    done = hansei_here(
        tmp_path, "analyze", "--projects", "projects.csv", "--clickhouse", server.url(), "--until", END.isoformat(),
        "--fail-on", "low", "--out", "out", "--parallel", "2",
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "broken" in done.stdout
    assert "Wrote out/index.html" in done.stdout
    report = json.loads((tmp_path / "out/broken/report.json").read_text("utf-8"))
    assert report["window"]["start"].startswith("2026-11-11")


@pytest.mark.long
def test_a_run_that_was_cut_off_goes_on(embedded: str, tmp_path: Path) -> None:
    (tmp_path / "projects.json").write_text('["quiet", {"project": "broken", "window": "6d"}]')
    arguments = (
        "analyze",
        "--projects",
        "projects.json",
        "--clickhouse",
        embedded,
        "--until",
        END.isoformat(),
        "--json",
    )
    assert hansei_here(tmp_path, *arguments).returncode == 0
    # As a kill leaves it between the report and the note that it is finished.
    (tmp_path / "hansei-reports/broken/options.json").unlink()
    again = json.loads(hansei_here(tmp_path, *arguments).stdout)["projects"]
    assert [entry["done_before"] for entry in again] == [True, False]


def test_a_killed_run_is_taken_up_by_another(server: RunningServer, tmp_path: Path) -> None:
    (tmp_path / "projects.txt").write_text("broken\nquiet\n")
    arguments = ("analyze", "--projects", "projects.txt", "--clickhouse", server.url(), "--until", END.isoformat())
    command = [sys.executable, "-m", "hansei", *arguments, "--parallel", "1", "--quiet"]
    finished = tmp_path / "hansei-reports" / "broken" / "options.json"
    with subprocess.Popen(command, cwd=tmp_path, env=clean_environment()) as process:
        deadline = time.monotonic() + 60
        while not finished.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    page = (tmp_path / "hansei-reports" / "index.html").read_text("utf-8")
    assert page.rstrip().endswith("</html>")
    before = finished.with_name("report.json").read_bytes()

    done = json.loads(hansei_here(tmp_path, *arguments, "--json").stdout)["projects"]
    assert [entry["state"] for entry in done] == ["done", "done"]
    assert done[0]["done_before"]
    assert finished.with_name("report.json").read_bytes() == before


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.txt", "# nothing\n", "names no project"),
        ("a.txt", "one\none\n", "line 2: the project one is named twice"),
        ("a.csv", "project,colour\none,red\n", "line 2: there is no option “colour”"),
        ("a.csv", "window\n7d\n", "line 2: no project is named"),
        ("a.csv", "project,window\none,7d,8d\n", "line 2: there are more values"),
        ("a.csv", "project,window\none,soon\n", "line 2"),
        ("a.json", "{", "is not JSON"),
        ("a.json", '{"a": 1}', "is not a list"),
        ("a.json", "[1]", "entry 1: it is neither"),
        ("a.json", '[{"project": 5}]', "entry 1"),
    ],
)
def test_a_file_that_cannot_be_understood_is_named_with_its_line(
    name: str, text: str, said: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(text, "utf-8")
    with pytest.raises(UsageError) as caught:
        read_projects(tmp_path / name)
    assert said in caught.value.message
    assert caught.value.remedy


def test_what_a_row_leaves_open_is_as_on_the_command_line(tmp_path: Path) -> None:
    file = tmp_path / "p.csv"
    file.write_text("project,window,environment,language\none,3d,prod;staging,ja\ntwo,,,\n", "utf-8-sig")
    one, two = read_projects(file, window="2d", environments=["dev"], language="en")
    assert (one.window, one.environments, one.language) == ("3d", ["prod", "staging"], "ja")
    assert (two.window, two.environments, two.language) == ("2d", ["dev"], "en")
    with pytest.raises(UsageError, match="cannot be read"):
        read_projects(tmp_path / "missing.txt")


def test_folders_stay_inside_and_apart() -> None:
    names = ["acme", "Acme", "ACME", "../../etc", "a/b", "a b", "", ".", "index.html", "日本", "x" * 200, "con\n"]
    folders = [folder_name(name) for name in names]
    assert folders[0] == "acme"
    assert len({folder.lower() for folder in folders}) == len(names)
    for folder in folders:
        assert Path(folder).name == folder
        assert len(folder) <= 100
        assert folder.replace("-", "").replace("_", "").isalnum()


@pytest.mark.parametrize("language", ["en", "ja"])
def test_the_page_escapes_whatever_it_is_told(language: str) -> None:
    entries = [
        Entry("a<b>|[x](y)\n", "a", "done", "</td><img src=x onerror=alert(1)>\u202e", {"high": 2}),
        Entry("b", "b", "failed", reason="<b>gone</b>"),
        Entry("c", "c", "waiting"),
    ]
    page, text = render_index_html(entries, language), render_index_markdown(entries, language)
    assert page == render_index_html(entries, language)
    for part in ("<img", "<b>", "\u202e"):
        assert part not in page + text
    assert 'href="a/report.html"' in page
    assert "(a/report.md)" in text
    assert len(text.strip().splitlines()) == len(["title", "", "summary", "", "head", "rule", *entries])
    assert f'lang="{language}"' in page


@pytest.mark.parametrize("engine", ["server", "embedded"])
def test_abatch_keeps_to_its_bound_and_to_each_outcome(engine: str, request: pytest.FixtureRequest) -> None:
    place = request.getfixturevalue(engine)
    context = Context(clickhouse_url=SecretStr(place if engine == "embedded" else place.url()))
    projects = ["broken", "nobody", "quiet"]
    requests = [{"project_id": project, "until": END.isoformat()} for project in projects]
    under_way: list[int] = []
    running: set[str] = set()
    graph = build_graph()

    class Watch(BaseCallbackHandler):
        def on_chain_start(self, serialized: object, inputs: object, **options: object) -> None:
            if options.get("parent_run_id") is None:
                running.add(str(options["run_id"]))
                under_way.append(len(running))

        def on_chain_end(self, outputs: object, **options: object) -> None:
            running.discard(str(options["run_id"]))

        def on_chain_error(self, error: BaseException, **options: object) -> None:
            running.discard(str(options["run_id"]))

    config = {"max_concurrency": 2, "callbacks": [Watch()]}
    done = asyncio.run(graph.abatch(requests, config, context=context, return_exceptions=True))
    assert [isinstance(outcome, LookupError) for outcome in done] == [False, True, False]
    assert done[0]["report"]["project_id"] == "broken"
    assert done[2]["report"]["project_id"] == "quiet"
    assert len(under_way) == 3
    assert max(under_way) == 2
    close_readers()  # the directory is for the other tests' processes again
