"""Options that several commands have: where the data is, which span of it, the language, how much is printed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from hansei.errors import UsageError

Clickhouse = Annotated[
    str | None, typer.Option(metavar="URL", help="Where Langfuse's tables are. Default: HANSEI_CLICKHOUSE_URL.")
]
Project = Annotated[str | None, typer.Option(metavar="ID", help="Langfuse project. Default: HANSEI_PROJECT_ID.")]
Span = Annotated[str, typer.Option(metavar="SPAN", help="Length of the span to judge, such as 24h, 7d or 2w.")]
Baseline = Annotated[
    str | None,
    typer.Option(metavar="SPAN", help="Length of the span just before it to compare with. Default: as the window."),
]
Until = Annotated[
    str | None, typer.Option(metavar="ISO", help="End of the window, ISO 8601, UTC. Default: the newest trace.")
]
Environments = Annotated[
    list[str] | None, typer.Option(metavar="NAME", help="Only this environment; may be repeated. Default: all.")
]
Language = Annotated[Literal["en", "ja"], typer.Option(help="Language of the report.")]
NoModel = Annotated[bool, typer.Option("--no-llm", help="Rules and checks only, also where HANSEI_MODEL is set.")]
FailOn = Annotated[
    Literal["critical", "high", "medium", "low"] | None,
    typer.Option(help="Exit with 1 when there is a regression or hotspot of this severity or worse, not muted."),
]
Criteria = Annotated[
    Path | None, typer.Option(metavar="FILE", help="What to judge by, a YAML file. Default: the checks.")
]
Traces = Annotated[
    int | None,
    typer.Option(
        metavar="N", min=1, max=100_000, help="How many traces to judge. Default: 100 with a judge, else 2000."
    ),
]
Feedback = Annotated[
    str | None,
    typer.Option(
        metavar="RULE",
        help="Users' feedback that counts as people's label: NAME, NAME>=4, NAME=good,fine. Default: annotations.",
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing; write the files.")]


def named_project(project: str | None) -> str:
    """The project that the option names, or the environment.

    Raises:
        UsageError: neither does.
    """
    found = project or os.environ.get("HANSEI_PROJECT_ID")
    if not found:
        raise UsageError("No project is named.", "Give --project ID, or set HANSEI_PROJECT_ID.")
    return found


def named_queue(queue: str | None) -> str | None:
    """The annotation queue that the option names.

    Raises:
        UsageError: it is given without a name.
    """
    if queue is not None and not queue.strip():
        raise UsageError("--queue names no queue.", "Give the name of an annotation queue; a new one is made.")
    return queue
