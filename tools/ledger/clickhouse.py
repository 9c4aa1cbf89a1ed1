"""A ledger in a ClickHouse database of the user's own: never in the one that holds Langfuse's tables."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from hansei.errors import UsageError
from hansei.tools.clickhouse import open_writer, parse_url
from hansei.tools.clickhouse.access import LANGFUSE_TABLES
from hansei.tools.clickhouse.calls import call
from hansei.tools.ledger.entries import Entry

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

TABLE = "hansei_ledger"

# One row a key, the first that was written: later ones have a lower rank. The order of writing is `number`.
_CREATE = f"""CREATE TABLE IF NOT EXISTS {TABLE} (
  key String, scope String, kind LowCardinality(String), at DateTime64(6, 'UTC'), finding String, by String,
  body String, number UInt64
) ENGINE = ReplacingMergeTree ORDER BY key COMMENT 'hansei ledger, version 1'"""

_READ = f"""SELECT key, argMin(t.scope, t.number), argMin(t.kind, t.number), toString(argMin(t.at, t.number)),
  argMin(t.finding, t.number), argMin(t.by, t.number), argMin(t.body, t.number), min(t.number) AS first
FROM {TABLE} AS t WHERE {{every:UInt8}} OR t.scope = {{scope:String}} GROUP BY key ORDER BY first, key"""


class ClickHouseStore:
    """Entries in the table hansei_ledger of a database, which is made when it is missing.

    Rows are only ever added. ClickHouse has no unique keys: of two processes that write the same key at the same time
    both are told that they were first, and what is read is one entry all the same.

    Args:
        url: of the ledger's database.

    Raises:
        UsageError: it names the database `default`, or one that holds tables of Langfuse.
        ConnectionFailed, PermissionMissing, QueryFailed: it cannot be reached, or not be written.
    """

    def __init__(self, url: SecretStr) -> None:
        self._url, self._target = url, parse_url(url)
        if self._target.database in ("default", "system"):
            raise UsageError(
                f"The ledger's URL names the database “{self._target.database}”.",
                "Give the ledger a database of its own, such as clickhouse://user:password@host:8123/hansei.",
            )

    @property
    def name(self) -> str:
        return self._target.display

    def add(self, entry: Entry) -> bool:
        number = int(datetime.now(UTC).timestamp() * 1_000_000)
        if self._ask(f"SELECT count() FROM {TABLE} WHERE key = {{key:String}}", {"key": entry.key})[0][0]:
            return False
        row = [
            entry.key, entry.scope, entry.kind, entry.at, entry.finding or "", entry.by, json.dumps(entry.body), number,
        ]  # fmt: skip
        names = ["key", "scope", "kind", "at", "finding", "by", "body", "number"]
        call(lambda: self._client.insert(TABLE, [row], column_names=names), self._target)
        return True

    def entries(self, scope: str | None = None) -> list[Entry]:
        found = self._ask(_READ, {"every": int(scope is None), "scope": scope or ""})
        return [
            Entry.model_validate(
                {
                    "key": key, "scope": where, "kind": kind, "at": f"{at}Z".replace(" ", "T"),
                    "finding": finding or None, "by": by, "body": json.loads(body),
                }
            )
            for key, where, kind, at, finding, by, body, _ in found
        ]  # fmt: skip

    def close(self) -> None:
        if "_client" in self.__dict__:
            self._client.close()
            del self.__dict__["_client"]

    @cached_property
    def _client(self) -> Client:
        client = open_writer(self._url)
        names = "', '".join(LANGFUSE_TABLES)
        sql = f"SELECT count() FROM system.tables WHERE database = currentDatabase() AND name IN ('{names}')"
        try:
            if call(lambda: client.query(sql), self._target).result_rows[0][0]:
                raise UsageError(
                    "The ledger's database holds tables of Langfuse.", "Give the ledger a database of its own."
                )
            call(lambda: client.command(_CREATE), self._target)
        except BaseException:
            client.close()
            raise
        return client

    def _ask(self, sql: str, values: dict[str, Any]) -> Any:
        return call(lambda: self._client.query(sql, parameters=values), self._target).result_rows
