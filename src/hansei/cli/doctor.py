"""`hansei doctor`: is everything there that an analysis needs, and if not, what to do."""

from __future__ import annotations

import os
from typing import Annotated

import typer


def doctor(
    clickhouse: Annotated[
        str | None, typer.Option(metavar="URL", help="Where Langfuse's tables are. Default: HANSEI_CLICKHOUSE_URL.")
    ] = None,
    project: Annotated[
        str | None, typer.Option(metavar="ID", help="Langfuse project. Default: HANSEI_PROJECT_ID.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")] = False,
) -> int:
    """Check the connection, the read-only session, the permissions, Langfuse's schema, the clocks and the tracing keys.

    Every failure comes with its fix. Exits with 0 when all is fine, with 2 when something has to be done.

    \b
    Examples:
      hansei doctor --clickhouse clickhouse://reader:secret@localhost:8123/default
      hansei doctor --project my-project --json
    """
    from hansei.cli.analysis import make_context
    from hansei.cli.console import open_console
    from hansei.tools.langfuse.health import examine

    console = open_console(json_wanted=json)
    findings = list(examine(make_context(clickhouse), project or os.environ.get("HANSEI_PROJECT_ID") or None))

    console.table(["status", "check", "result"], [[item.status, item.name, item.detail] for item in findings])
    failed = [item for item in findings if item.status == "failed"]
    for item in findings:
        if item.remedy:
            console.line(f"{item.name}: {item.remedy}", style=item.status)
    if not failed:
        console.line("All is fine.", style="ok")
    console.data(
        {
            "ok": not failed,
            "checks": [
                {"name": item.name, "status": item.status, "detail": item.detail, "remedy": item.remedy}
                for item in findings
            ],
        }
    )
    return 2 if failed else 0
