"""The writing client, for sample data and tests only: the analysis never writes to ClickHouse."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pydantic import SecretStr

from hansei.errors import HanseiError
from hansei.tools.clickhouse import embedded, server
from hansei.tools.clickhouse.calls import call
from hansei.tools.clickhouse.urls import parse_url

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client


def open_writer(url: SecretStr | str) -> Client:
    """Opens a client that may write, and makes the directory (embedded) and the database when they are missing.

    Close it before another process, or another directory in this process, is to be opened.

    Raises:
        UsageError: no URL.
        ConnectionFailed: it cannot be opened.
        PermissionMissing, QueryFailed: the database cannot be made.
    """
    from clickhouse_connect.driver.binding import quote_identifier

    target = parse_url(url)
    start = replace(target, database="default")
    if target.engine == "chdb":
        embedded.make_directory(target)
        client = embedded.open_embedded(target, "default")
    else:
        client = server.open_server(start, read_seconds=300)
    if target.database != "default":
        try:
            call(lambda: client.command(f"CREATE DATABASE IF NOT EXISTS {quote_identifier(target.database)}"), target)
        except HanseiError:
            client.close()
            raise
        client.database = target.database
    return client
