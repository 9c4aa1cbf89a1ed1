"""Hansei: an evaluation agent for LLM applications over Langfuse's traces in ClickHouse.

    from hansei import Context, build_graph

    graph = build_graph()
    result = graph.invoke({"project_id": "my-project"}, context=Context(clickhouse_url="chdb:///data/langfuse"))
    result["report"]["findings"]

Names are loaded when they are first used: importing `hansei` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hansei.agent_tool import as_tool
    from hansei.context import Context, Limits
    from hansei.contracts import Finding, Report, Request
    from hansei.errors import (
        ConnectionFailed,
        HanseiError,
        NoData,
        PermissionMissing,
        QueryFailed,
        SchemaNotSupported,
        UsageError,
    )
    from hansei.graph.workflow import build_graph

__version__ = "0.1.0"

_HOME = {
    "as_tool": "hansei.agent_tool",
    "build_graph": "hansei.graph.workflow",
    "Context": "hansei.context",
    "Limits": "hansei.context",
    "Finding": "hansei.contracts",
    "Report": "hansei.contracts",
    "Request": "hansei.contracts",
    "ConnectionFailed": "hansei.errors",
    "HanseiError": "hansei.errors",
    "NoData": "hansei.errors",
    "PermissionMissing": "hansei.errors",
    "QueryFailed": "hansei.errors",
    "SchemaNotSupported": "hansei.errors",
    "UsageError": "hansei.errors",
}

__all__ = [
    "ConnectionFailed", "Context", "Finding", "HanseiError", "Limits", "NoData", "PermissionMissing", "QueryFailed",
    "Report", "Request", "SchemaNotSupported", "UsageError", "__version__", "as_tool",
    "build_graph",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'hansei' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
