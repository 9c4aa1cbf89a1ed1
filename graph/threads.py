"""Threads: a conversation on a report that was written before, without the run that made it."""

from __future__ import annotations

from typing import Any

from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig

from hansei.context import Budget, Context
from hansei.contracts import Periods, Report
from hansei.graph.workflow import Graph
from hansei.nodes.scope import Scope
from hansei.tools.clickhouse import Meter, shared_reader
from hansei.tools.langfuse.schema import adapter_data, adapter_over, detect


def begin_thread(graph: Graph, config: RunnableConfig, report: Report, context: Context) -> None:
    """Makes a thread's state as it is after the run that wrote a report, so that questions about it can be asked.

    Args:
        graph: compiled with a checkpointer.
        config: names the thread.
        report: read from report.json.
        context: where the data is.

    Raises:
        HanseiError: ClickHouse cannot be reached, or no longer holds the project.
    """
    graph.update_state(config, thread_values(report, context), as_node="writer")


def thread_values(report: Report, context: Context) -> dict[str, Any]:
    """The values of a finished run's state that answers are made from."""
    looking = shared_reader(context).metered(Meter(Budget()))
    source = detect(looking, looking.target.database, report.project_id)
    periods = Periods(window=report.window, baseline=report.baseline)
    adapter = adapter_over(looking, source, report.project_id, periods)
    evidence = report.coverage.evidence
    environments = evidence[0].parameters.get("environments", []) if evidence else []
    scope: Scope = {
        "run_id": report.run.id,
        "project_id": report.project_id,
        "environments": list(environments),
        "question": report.question,
        "language": report.language,
        "periods": periods.model_dump(mode="json"),
        "adapter": adapter_data(adapter),
        "notes": report.coverage.notes,
        "coverage": [item.model_dump(mode="json") for item in evidence],
    }
    return {
        "scope": scope,
        "run": {"id": report.run.id, "started_at": report.run.started_at.isoformat()},
        "report": report.model_dump(mode="json"),
        "messages": [AIMessage(content=report.headline)],
        "named": {},
        "inquiry": {},
    }
