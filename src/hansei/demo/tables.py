"""Langfuse's own ClickHouse tables; what they are is told in `hansei.tools.langfuse.tables`."""

from hansei.tools.langfuse.tables import SCHEMAS, Schema, create_tables, quote

__all__ = ["SCHEMAS", "Schema", "create_tables", "quote"]
