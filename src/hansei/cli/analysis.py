"""Running the graph for a command: the request, the progress, the tracing, the files. Used by `analyze` and `demo`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from hansei.errors import UsageError

if TYPE_CHECKING:
    from hansei.cli.console import Console
    from hansei.context import Context, ModelBudget
    from hansei.contracts import Progress, Report, Request


def make_context(
    clickhouse_url: str | None,
    *,
    model: str | None = None,
    no_llm: bool = False,
    no_cache: bool = False,
    bounds: ModelBudget | None = None,
    ledger: str | None = None,
) -> Context:
    """The settings of a run: what the options name, else what the environment says. Only `ledger` names a ledger.

    Raises:
        UsageError: no ClickHouse is named at all, or its URL cannot be understood.
    """
    from pydantic import SecretStr

    from hansei.context import Context
    from hansei.tools.clickhouse import parse_url

    settings: dict[str, Any] = {} if clickhouse_url is None else {"clickhouse_url": SecretStr(clickhouse_url)}
    if model or no_llm:
        settings["model"] = None if no_llm else model
    if no_cache:
        settings["model_cache"] = False
    if bounds is not None:
        settings["model_budget"] = bounds
    settings["ledger"] = None if ledger is None else SecretStr(ledger)
    context = Context(**settings)
    if context.clickhouse_url is None:
        raise UsageError(
            "No ClickHouse is named.",
            "Give --clickhouse clickhouse://user:password@host:8123/database, or set HANSEI_CLICKHOUSE_URL.",
        )
    parse_url(context.clickhouse_url)
    return context


def make_request(**fields: Any) -> Request:
    """The request of the graph.

    Raises:
        UsageError: a value cannot be understood; the first problem is named.
    """
    from pydantic import ValidationError

    from hansei.contracts import Request

    try:
        return Request(**fields)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        cause = first.get("ctx", {}).get("error")
        if isinstance(cause, UsageError):
            raise cause from None
        option = ".".join(str(part) for part in first["loc"]).replace("_id", "").replace("_", "-")
        raise UsageError(f"--{option}: {first['msg']}.", "See hansei analyze --help.") from None


def run_analysis(
    request: Request, context: Context, console: Console, begun: Callable[[str], None] = lambda run_id: None
) -> Report:
    """Runs the graph to its end, with its progress on the console and, when its keys are set, a trace in Langfuse."""
    with console:
        report, lost = run_graph(request, context, console.progress, begun)
    if lost:
        console.note(lost)
    return report


def run_graph(
    request: Request,
    context: Context,
    listen: Callable[[Progress], None],
    begun: Callable[[str], None] = lambda run_id: None,
) -> tuple[Report, str | None]:
    """Runs the graph to its end, traced in Langfuse when its keys are set.

    Args:
        request: what is asked for.
        context: the settings.
        listen: is told the progress.
        begun: is told the run's id before the model is asked anything.

    Returns:
        The report, and one line when tracing was lost.
    """
    from uuid import uuid4

    from hansei import __version__
    from hansei.contracts import Progress, Report
    from hansei.graph.workflow import build_graph
    from hansei.tools.langfuse.tracing import start_trace

    graph = build_graph()
    run_id = str(uuid4())
    url = context.clickhouse_url.get_secret_value() if context.clickhouse_url else None
    trace = start_trace(run_id, session_id=run_id, tags=["cli"], version=__version__, clickhouse_url=url)
    state: dict[str, Any] = {}
    try:
        for part in graph.stream(
            request.model_dump(),
            context=context,
            config=trace.config({"configurable": {"thread_id": run_id}}),
            stream_mode=["custom", "values"],
            version="v2",
        ):
            if part["type"] == "custom":
                listen(Progress.model_validate(part["data"]))
            elif part["type"] == "values":
                if "scope" in part["data"] and "scope" not in state:
                    begun(part["data"]["scope"]["run_id"])
                state = part["data"]
    finally:
        lost = trace.close()
    return Report.model_validate(state["report"]), lost
