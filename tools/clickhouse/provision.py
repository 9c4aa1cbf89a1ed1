"""The user that Hansei should be given on a ClickHouse server, as SQL for an administrator.

A role of all such users reads Langfuse's tables and what tells their shape, a profile holds the limits and locks them,
a quota bounds an hour. Each project has a user of its own, whom a row policy shows that project's rows alone.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from hansei.context import Budget, Limits
from hansei.tools.clickhouse.settings import session_settings

ROLE = "hansei"
EVERYONE_ELSE = f"{ROLE}__everyone_else"
"""A policy for all other users; two underscores, so that no project's user has this name."""
PASSWORD = "<password>"
"""What the administrator replaces."""

_SYSTEM_TABLES = ("tables", "columns", "settings", "processes")
"""What connecting and `hansei doctor` read; each shows a user its own only. By `processes` a query is cancelled."""


@dataclass(frozen=True)
class Setup:
    """A user for one project.

    Args:
        database: Langfuse's.
        tables: those of its tables that are there.
        project_id: the project.
        limits: for each query.
        budget: for an hour.
        cluster: the cluster on whose servers all of it is to be made; empty: a single server, or ClickHouse Cloud.
    """

    database: str
    tables: Sequence[str]
    project_id: str
    limits: Limits = field(default_factory=Limits)
    budget: Budget = field(default_factory=Budget)
    cluster: str = ""

    @property
    def user(self) -> str:
        """The user's name, made of the project's; two projects never share one."""
        word = re.sub(r"[^a-z0-9]+", "_", self.project_id.lower()).strip("_")[:40]
        if word == self.project_id:
            return f"{ROLE}_{word}"
        return f"{ROLE}_{word}_{hashlib.sha256(self.project_id.encode()).hexdigest()[:8]}"

    @property
    def grants(self) -> list[str]:
        """What the role may do."""
        tables = [f"{quoted(self.database)}.{quoted(name)}" for name in self.tables]
        return [f"SELECT ON {table}" for table in (*tables, *(f"system.{name}" for name in _SYSTEM_TABLES))]

    @property
    def settings(self) -> dict[str, int | str]:
        """The profile, in an order in which it can be set."""
        return {"cancel_http_readonly_queries_on_client_close": 1, **session_settings(self.limits)}

    @property
    def rows(self) -> str:
        """The condition on the rows that the user sees."""
        return f"project_id = {_text(self.project_id)}"

    def statements(self) -> list[str]:
        """What an administrator has to run, in this order; running it again changes nothing."""
        where = f" ON CLUSTER {_text(self.cluster)}" if self.cluster else ""
        user = quoted(self.user)
        tables = ", ".join(f"{quoted(self.database)}.{quoted(name)}" for name in self.tables)
        profile = ", ".join(
            f"{name} = {value if isinstance(value, int) else _text(value)} CONST"
            for name, value in self.settings.items()
        )
        return [
            f"CREATE ROLE IF NOT EXISTS {ROLE}{where}",
            *(f"GRANT{where} {grant} TO {ROLE}" for grant in self.grants),
            f"CREATE SETTINGS PROFILE IF NOT EXISTS {ROLE}{where} SETTINGS {profile}",
            f"CREATE USER IF NOT EXISTS {user}{where} IDENTIFIED WITH sha256_password BY {_text(PASSWORD)}"
            f" SETTINGS PROFILE {_text(ROLE)}",
            f"GRANT{where} {ROLE} TO {user}",
            # Before there is any policy for Hansei: servers may be set up to show a table with policies to no one else.
            f"CREATE ROW POLICY IF NOT EXISTS {EVERYONE_ELSE}{where} ON {tables} USING 1 TO ALL EXCEPT {ROLE}",
            f"CREATE ROW POLICY IF NOT EXISTS {user}{where} ON {tables} USING {self.rows} TO {user}",
            f"CREATE QUOTA IF NOT EXISTS {ROLE}{where} KEYED BY user_name FOR INTERVAL 1 hour"
            f" MAX read_rows = {self.budget.rows}, read_bytes = {self.budget.bytes},"
            f" execution_time = {self.budget.seconds:.0f} TO {ROLE}",
        ]


def quoted(name: str) -> str:
    """An identifier as it stands in SQL."""
    if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        return name
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def _text(value: str) -> str:
    """A text as it stands in SQL. What a terminal would swallow is written by its number."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return "'" + re.sub(r"[\x00-\x1f\x7f]|(?<= ) ", lambda match: f"\\x{ord(match[0]):02x}", escaped) + "'"
