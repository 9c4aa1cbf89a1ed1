"""The one way to ClickHouse: connection URLs, engines (embedded or server) and the read-only session."""

from hansei.tools.clickhouse.budget import Meter, meter_of
from hansei.tools.clickhouse.reader import Reader, Result, close_readers, open_reader, shared_reader
from hansei.tools.clickhouse.running import cancel_queries
from hansei.tools.clickhouse.urls import Target, parse_url
from hansei.tools.clickhouse.writer import open_writer

__all__ = [
    "Meter", "Reader", "Result", "Target", "cancel_queries", "close_readers", "meter_of", "open_reader", "open_writer",
    "parse_url", "shared_reader",
]  # fmt: skip
