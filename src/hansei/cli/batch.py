"""`hansei analyze --projects`: many projects, a folder each, and a page over all of them.

What is finished stays finished: beside a report stands which options it was made with, and a project whose report was
made with the same options is not analysed again. The page is written anew after each project, so that whatever ends
the run, what is there is told and linked.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
import traceback
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hansei.cli.console import one_line
from hansei.errors import HanseiError, UsageError

if TYPE_CHECKING:
    from hansei.cli.console import Console
    from hansei.context import Context
    from hansei.contracts import Report, Request, Severity
    from hansei.tools.report.index import Entry

ON_SERVER, EMBEDDED = 4, 1
"""Projects at a time: a server answers several; the embedded engine gives each query all cores."""

OPTIONS = "options.json"
"""Beside a report: what it was made with. Written last, taken away first."""


@dataclass
class _Done:
    """What became of one project in this run."""

    entry: Entry
    seconds: float = 0.0
    kept: bool = False
    note: str | None = None


def analyze_projects(
    requests: Sequence[Request],
    context: Context,
    console: Console,
    folder: Path,
    *,
    at_once: int | None = None,
    again: bool = False,
    fail_on: Severity | None = None,
) -> int:
    """Analyses the projects, a few at a time, and writes the page over them.

    Returns:
        0: all are done; 1: a report meets `fail_on`; 2: at least one could not be done, which counts more than 1.

    Raises:
        UsageError: `folder` cannot be written.
    """
    from hansei.tools.report.formats import format_value
    from hansei.tools.report.index import Entry, write_index

    places = {request.project_id: folder_name(request.project_id) for request in requests}
    language = requests[0].language
    entries = {project: Entry(project, place, "waiting") for project, place in places.items()}
    files = write_index(list(entries.values()), folder, language)
    done: dict[str, _Done] = {}
    started, worked = time.perf_counter(), 0
    with console:
        console.step("projects", "started", f"Analysing {len(requests):,} projects")
        pool = ThreadPoolExecutor(at_once or parallel(context), "hansei-project")
        try:
            running: dict[Future[_Done], str] = {
                pool.submit(_analyze, request, context, folder / places[request.project_id], again): request.project_id
                for request in requests
            }
            for future in as_completed(running):
                project = running[future]
                done[project] = one = future.result()
                entries[project] = one.entry
                write_index(list(entries.values()), folder, language)
                worked += not one.kept
                left = _time_left(time.perf_counter() - started, worked, len(requests) - len(done))
                console.note(f"{project}: {_outcome(one)} · {len(done):,} of {len(requests):,}{left}")
                console.step("projects", "running", f"{len(done):,} of {len(requests):,}{left}")
                if one.note:
                    console.note(one.note)
        finally:
            # Interrupted: what has not begun is left; what has begun is cancelled by the command line.
            pool.shutdown(wait=False, cancel_futures=True)
        took = format_value(time.perf_counter() - started, "s")
        console.step("projects", "finished", f"{len(done):,} of {len(requests):,} projects", f"({took})")
    outcomes = [done[request.project_id] for request in requests]
    code = _exit_code([one.entry for one in outcomes], fail_on)
    _tell(console, outcomes, files, code)
    return code


def parallel(context: Context) -> int:
    """How many projects are analysed at a time when nothing is said."""
    from hansei.tools.clickhouse import parse_url

    embedded = context.clickhouse_url is not None and parse_url(context.clickhouse_url).engine == "chdb"
    return EMBEDDED if embedded else ON_SERVER


def folder_name(project: str) -> str:
    """The name of a project's folder: its id where that is a plain name, else one like it that no other project has."""
    if re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,99}", project):
        return project
    like = re.sub(r"[^a-z0-9_-]+", "-", project.lower()).strip("-")[:60]
    return f"{like or 'project'}-{hashlib.sha256(project.encode('utf-8', 'backslashreplace')).hexdigest()[:10]}"


def _analyze(request: Request, context: Context, folder: Path, again: bool) -> _Done:
    """One project: its report from before, or a new one. Whatever goes wrong is told in its line."""
    from hansei.cli.analysis import run_graph
    from hansei.tools.report.files import write_report, write_texts
    from hansei.tools.report.index import Entry

    started, options = time.perf_counter(), _options(request, context)
    try:
        before = None if again else _finished(folder, options)
        if before is not None:
            return _Done(Entry.of(before, folder.name), kept=True)
        (folder / OPTIONS).unlink(missing_ok=True)
        report, lost = run_graph(request, context, lambda event: None)
        write_report(report, folder)
        write_texts({OPTIONS: json.dumps(options, indent=1, ensure_ascii=False) + "\n"}, folder)
        note = f"{request.project_id}: {lost}" if lost else None
        return _Done(Entry.of(report, folder.name), time.perf_counter() - started, note=note)
    except HanseiError as error:
        reason, note = f"{error.message} {error.remedy}".strip(), None
    except Exception as error:  # noqa: BLE001 - a bug in one project must not cost the others their reports
        at = traceback.extract_tb(error.__traceback__)[-1]
        reason = f"a bug in Hansei: {type(error).__name__} in {Path(at.filename).name}, line {at.lineno}."
        note = None
    entry = Entry(request.project_id, folder.name, "failed", reason=one_line(reason))
    return _Done(entry, time.perf_counter() - started, note=note)


def _options(request: Request, context: Context) -> dict[str, Any]:
    """What a report is made with, as plain JSON, without user and password."""
    from hansei import __version__
    from hansei.tools.clickhouse import parse_url

    target = parse_url(context.clickhouse_url) if context.clickhouse_url is not None else None
    place = [target.engine, target.host, target.port, target.path, target.database] if target else []
    return {
        "hansei": __version__,
        "clickhouse": place,
        "request": request.model_dump(mode="json"),
        "settings": context.model_dump(mode="json", exclude={"clickhouse_url", "ledger"}),
    }


def _finished(folder: Path, options: dict[str, Any]) -> Report | None:
    """The folder's report if it was made with these options and can be read."""
    from hansei.tools.report.files import read_report

    try:
        found = json.loads((folder / OPTIONS).read_text("utf-8"))
        return read_report(folder) if found == options and (folder / "report.html").exists() else None
    except (OSError, ValueError, UsageError):
        return None


def _outcome(done: _Done) -> str:
    from hansei.tools.report.formats import format_value

    if done.entry.state == "failed":
        return f"could not be done: {done.entry.reason}"
    counts = ", ".join(f"{count} {severity}" for severity, count in done.entry.counts.items()) or "no problem"
    return f"{counts} ({'done before' if done.kept else format_value(done.seconds, 's')})"


def _time_left(elapsed: float, worked: int, remaining: int) -> str:
    """From how long this run's projects took so far, those side by side counted once; '' while nothing is known."""
    from hansei.tools.report.formats import format_value

    if not worked or not remaining:
        return ""
    return f", about {format_value(elapsed / worked * remaining, 's')} left"


def _exit_code(entries: Sequence[Entry], fail_on: Severity | None) -> int:
    from hansei.contracts import SEVERITIES

    if any(entry.state == "failed" for entry in entries):
        return 2
    bad_enough = SEVERITIES[: SEVERITIES.index(fail_on) + 1] if fail_on else ()
    return int(any(entry.counts.get(severity) for entry in entries for severity in bad_enough))


def _tell(console: Console, outcomes: Sequence[_Done], files: Sequence[Path], code: int) -> None:
    """The result: a line per project for people, one document for machines."""
    rows = []
    for one in outcomes:
        worst = next(iter(one.entry.counts), "failed" if one.entry.state == "failed" else "ok")
        rows.append([worst, one.entry.project, one.entry.headline or one.entry.reason])
    console.table(["worst", "project", "verdict"], rows)
    for file in files:
        console.line(f"Wrote {file}")
    console.data(
        {
            "exit_code": code,
            "index": str(files[0]),
            "projects": [
                {**asdict(one.entry), "done_before": one.kept, "seconds": round(one.seconds, 2)} for one in outcomes
            ],
        }
    )
