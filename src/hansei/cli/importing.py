"""`hansei import`: a project in an embedded ClickHouse, for those without access to Langfuse's own."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hansei.errors import UsageError

if TYPE_CHECKING:
    from hansei.cli.console import Console
    from hansei.tools.importing import Store


def import_project(
    source: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="PLACE",
            help="An export by Langfuse's blob-storage integration: a folder, s3://bucket/prefix or "
            "https://endpoint/bucket/prefix. Default: Langfuse's API.",
        ),
    ] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the embedded ClickHouse.")] = Path(
        "hansei-import"
    ),
    since: Annotated[
        str, typer.Option(metavar="SPAN|ISO", help="API: from when on, such as 28d, 12h or 2026-10-01.")
    ] = "28d",
    until: Annotated[str | None, typer.Option(metavar="ISO", help="API: up to when. Default: now.")] = None,
    metadata: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY", help="API: a key of metadata whose values are wanted whole, not cut to 200 letters."
        ),
    ] = None,
    per_minute: Annotated[
        float | None, typer.Option(metavar="N", min=0.1, help="API: most requests per minute. Default: no bound.")
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Import anew what was imported before.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")] = False,
) -> int:
    """Bring a project into an embedded ClickHouse: from Langfuse's API, or from an export to blob storage.

    From the API: observations and scores of the project that LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY belong to,
    page by page. A killed import goes on where it was; the next one reads what is new and the last day once more.
    From an export: all files that are new or have changed; JSON, JSONL, CSV and Parquet, plain or gzipped.

    At the end every row is read back and counted. Exits with 1 when a count differs, with 2 when it could not be done.

    \b
    Examples:
      hansei import --since 28d --out my-project
      hansei import --from exports/langfuse --out my-project
      hansei analyze --clickhouse chdb://$PWD/my-project/clickhouse --project ID
    """
    from hansei.cli.console import open_console
    from hansei.tools.importing import open_store

    console = open_console(json_wanted=json)
    if source is not None:
        with console, open_store(out) as store:
            return _from_files(console, store, source, again=again)
    from hansei.tools.importing import Span
    from hansei.tools.langfuse.api import open_api

    now = datetime.now(UTC)
    span = Span(_moment(since, now), None if until is None else _moment(until, now))
    with console, open_api(per_minute=per_minute) as api:
        api.project_id()  # wrong keys are told before anything is made
        with open_store(out) as store:
            from hansei.tools.importing import import_from_api

            reached = import_from_api(
                api,
                store,
                span,
                again=again,
                metadata_keys=metadata or (),
                progress=lambda what, count: console.step("import", "running", f"{count:,} {what}"),
            )
            told = f"from {reached.since:%Y-%m-%d %H:%M} to {reached.until:%Y-%m-%d %H:%M} UTC"
            return _counts(console, store, f"Langfuse's API, {told}", {"since": reached.since.isoformat()})


def _from_files(console: Console, store: Store, source: str, *, again: bool) -> int:
    from hansei.tools.importing import import_from_files

    read = import_from_files(
        store,
        source,
        again=again,
        progress=lambda done, of: console.step("import", "running", f"{done:,} of {of:,} files"),
    )
    for remark in read.remarks:
        console.note(remark)
    known = f", {read.known:,} were known" if read.known else ""
    told = f"{source}, {read.read:,} files{known}"
    code = _counts(console, store, told, {"files": read.read, "known": read.known, "remarks": list(read.remarks)})
    return 1 if read.remarks else code


def _counts(console: Console, store: Store, told: str, more: dict[str, object]) -> int:
    counted = store.counted()
    console.line(f"Imported from {told}:", style="title")
    console.table(
        ["project", "rows", "arrived", "read back"],
        [[one.project_id, one.relation, f"{one.received:,}", f"{one.read_back:,}"] for one in counted],
    )
    ok = all(one.received == one.read_back for one in counted)
    if not counted:
        console.line("Nothing is new.")
    console.line(
        "Every row is there." if ok else "Rows are missing: run it with --again.", style="ok" if ok else "failed"
    )
    for project in dict.fromkeys(one.project_id for one in counted):
        console.line(f"Now: hansei analyze --clickhouse {store.url} --project {project}")
    console.data(
        {
            "ok": ok,
            "clickhouse": store.url,
            **more,
            "counts": [
                {
                    "project_id": one.project_id,
                    "relation": one.relation,
                    "received": one.received,
                    "read_back": one.read_back,
                }
                for one in counted
            ],
        }
    )
    return 0 if ok else 1


def _moment(text: str, now: datetime) -> datetime:
    span = re.fullmatch(r"(\d{1,5})([dh])", text.strip())
    if span:
        return now - timedelta(**{"days" if span[2] == "d" else "hours": int(span[1])})
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise UsageError(f"“{text[:40]}” is no time.", "Write 28d, 12h or 2026-10-01T12:00.") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
