"""Who may read what in an embedded engine: its configuration, rendered anew for each start.

The engine has a single user, whose handles are told apart by what they have switched to:

=============  =========================================  ==============================================
handle         role                                       rows
=============  =========================================  ==============================================
loading        all roles (everything)                     all
connecting     SELECT on the database, and on system.*    all: it looks for the project, and lists others
a run's        SELECT on Langfuse's tables, nothing else  its project's only
=============  =========================================  ==============================================

A role can be left again on its handle, even when it is read-only; a setting cannot. So the row policy goes by a setting
(`log_comment`), and a run's handle is held to its project whatever is asked of it.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from string import Template
from urllib.parse import unquote
from xml.sax.saxutils import escape

LANGFUSE_TABLES = ("traces", "observations", "scores", "dataset_run_items_rmt", "events_core", "events_full")
"""All that a run reads: v3's tables, v4's, and what belongs to both."""

EMPTY_DATABASE = "_temporary_and_external_tables"
"""A database that every engine has and in which nothing is found by name: the current one of a run's session."""

LOADING = "hansei_loading"

_TEMPLATE = Path(__file__).with_name("embedded.xml")
_PROJECT = "project:"
_ELEMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*", re.ASCII)
_ROWS = (
    f"NOT startsWith(getSetting('log_comment'), '{_PROJECT}')"
    f" OR project_id = substring(getSetting('log_comment'), {len(_PROJECT) + 1})"
)


def project_mark(project_id: str) -> str:
    """The value of `log_comment` that holds a session to a project."""
    return _PROJECT + project_id


def connecting_role(database: str) -> str:
    """The role that reads a whole database."""
    return f"hansei_connecting_{_digest(database)}"


def run_role(database: str) -> str:
    """The role that reads Langfuse's tables of a database."""
    return f"hansei_run_{_digest(database)}"


def _digest(database: str) -> str:
    return hashlib.sha256(database.encode()).hexdigest()[:16]


def databases_in(path: str | None) -> set[str]:
    """The databases in the directory of an embedded engine."""
    folder = Path(path or "", "metadata")
    if path is None or not folder.is_dir():
        return set()
    return {unquote(entry.stem if entry.suffix == ".sql" else entry.name) for entry in folder.iterdir()}


@contextmanager
def engine_config(databases: Iterable[str]) -> Iterator[Path]:
    """A configuration file for an engine that is about to start; it reads it once, so the file is gone afterwards.

    Args:
        databases: what the roles and the row policy are for. One whose name cannot stand in the file is left out: its
            sessions find no role (`hansei doctor` says so).
    """
    with tempfile.TemporaryDirectory(prefix="hansei-") as folder:
        users, config = Path(folder, "users.xml"), Path(folder, "config.xml")
        named = sorted(name for name in databases if _ELEMENT.fullmatch(name) and name != "system")
        users.write_text(_users(named), encoding="utf-8")
        config.write_text(
            f"<clickhouse><users_config>{escape(str(users))}</users_config></clickhouse>", encoding="utf-8"
        )
        yield config


def _users(databases: list[str]) -> str:
    roles = {LOADING: ["ALL ON *.*"]}
    policies = ""
    for name in databases:
        roles[connecting_role(name)] = [f"SELECT ON `{name}`.*", "SELECT ON system.*"]
        roles[run_role(name)] = [f"SELECT ON `{name}`.{table}" for table in LANGFUSE_TABLES]
        tables = "".join(f"<{table}><filter>{escape(_ROWS)}</filter></{table}>" for table in LANGFUSE_TABLES)
        policies += f"<{name}>{tables}</{name}>"
    granted = "".join(
        f"<{role}><grants>{''.join(f'<query>GRANT {grant}</query>' for grant in grants)}</grants></{role}>"
        for role, grants in roles.items()
    )
    template = Template(_TEMPLATE.read_text(encoding="utf-8"))
    return template.substitute(roles=granted, role_names=", ".join(roles), policies=policies)
