"""`hansei doctor`: is everything there that an analysis needs, and if not, what to do."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from hansei.cli.options import Clickhouse, Project
from hansei.errors import UsageError

if TYPE_CHECKING:
    from hansei.cli.console import Console
    from hansei.context import Context


def doctor(
    clickhouse: Clickhouse = None,
    project: Project = None,
    model: Annotated[
        str | None, typer.Option(metavar="NAME", help="Language model to ask. Default: HANSEI_MODEL.")
    ] = None,
    no_llm: Annotated[bool, typer.Option("--no-llm", help="Ask no model, also where HANSEI_MODEL is set.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")] = False,
    sql: Annotated[
        bool, typer.Option("--sql", help="Print the SQL that makes the right ClickHouse user for the project.")
    ] = False,
) -> int:
    """Check the connection, the session, the permissions, Langfuse's schema, the clocks, the keys and the model.

    A model is asked a few small questions: is it there, how does it give structured answers, does it call tools and
    stream, which parameters does it take, how much can it read. What is found out is kept for later runs.

    Every failure comes with its fix. Exits with 0 when all is fine, with 2 when something has to be done.

    With --sql nothing is checked: it prints what an administrator runs to make a user that reads one project and
    nothing else, within limits (role, profile, row policy, quota). It changes nothing itself.

    \b
    Examples:
      hansei doctor --clickhouse clickhouse://reader:secret@localhost:8123/default
      hansei doctor --project my-project --json
      hansei doctor --project my-project --sql
      hansei doctor --model gpt-5-mini
    """
    from hansei.cli.analysis import make_context
    from hansei.cli.console import open_console
    from hansei.tools.langfuse.health import examine
    from hansei.tools.language_model.examining import examine_model

    console = open_console(json_wanted=json)
    context = make_context(clickhouse, model=model, no_llm=no_llm)
    project = project or os.environ.get("HANSEI_PROJECT_ID") or None
    if sql:
        return _print_sql(console, context, project)
    findings = [*examine(context, project), *examine_model(context)]

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


def _print_sql(console: Console, context: Context, project: str | None) -> int:
    from hansei.tools.langfuse.health import user_setup

    if project is None:
        raise UsageError("No project is named.", "Give --project, or set HANSEI_PROJECT_ID.")
    setup = user_setup(context, project)
    statements = setup.statements()
    console.line("-- Run this as an administrator, with a password of your own. Running it again changes nothing.")
    if setup.cluster:
        console.line(
            f"-- “{setup.cluster}” is the cluster's name unless Langfuse's CLICKHOUSE_CLUSTER_NAME says another."
        )
    for statement in statements:
        console.line(f"{statement};")
    console.line(f"-- Then connect as {setup.user}.")
    console.data({"user": setup.user, "sql": statements})
    return 0
