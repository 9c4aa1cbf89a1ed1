"""A ClickHouse server for tests, in a process of its own (one process holds one embedded engine).

with start_server(directory, users={"reader": User("secret", init=["SET readonly = 1"])}) as server:
    open_reader(server.url("reader", "secret"))
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Literal, Self
from urllib.parse import quote
from xml.sax.saxutils import escape

Fault = Literal["hang", "endless", "drop", "cut", "busy", "denied", "502", "503"]
"""hang: takes the query and stays silent; endless: works on another one for minutes; drop: closes the connection;
cut: closes it in the middle of the answer; busy: too many simultaneous queries; denied: a grant is missing; 502, 503:
what a proxy says."""

EMULATOR = Path(__file__).with_name("clickhouse_emulator.py")


@dataclass(frozen=True)
class User:
    """A user of the server.

    `grants` are what it may do, such as ``SELECT ON langfuse.traces`` (None: everything); `init` is run on each of its
    connections, such as ``SET readonly = 1``; `rows` are its row policies, such as ``langfuse.traces`` →
    ``project_id = 'mine'``.
    """

    password: str = ""
    init: Sequence[str] = field(default_factory=list)
    grants: Sequence[str] | None = None
    rows: Mapping[str, str] = field(default_factory=dict)


class RunningServer:
    """A server that answers on 127.0.0.1 until `stop`."""

    def __init__(
        self, process: subprocess.Popen[str], port: int, scratch: tempfile.TemporaryDirectory[str], scheme: str
    ) -> None:
        self._process = process
        self._scratch = scratch
        self._scheme = scheme
        self.port = port

    def url(self, user: str = "default", password: str = "", database: str = "default") -> str:
        """The connection URL for Hansei."""
        user, password, database = (quote(text, safe="") for text in (user, password, database))
        return f"{self._scheme}://{user}:{password}@127.0.0.1:{self.port}/{database}"

    def misbehave(self, fault: Fault, times: int = 1, matching: str = "") -> None:
        """Answers the next `times` queries that hold the text `matching` with a fault (0: behaves again)."""
        self._control(f"fault?kind={fault}&times={times}&matching={quote(matching, safe='')}")

    @property
    def queries(self) -> int:
        """How many queries have come so far, those answered with a fault included."""
        return len(self.asked)

    @property
    def asked(self) -> list[str]:
        """The queries that have come so far, each as a hash of its text and the values bound to it."""
        found: list[str] = json.loads(self._control("queries"))["asked"]
        return found

    @property
    def faults(self) -> int:
        """How many queries have been answered with a fault so far."""
        return int(json.loads(self._control("queries"))["faults"])

    def stop(self) -> None:
        """Ends the server's process."""
        self._process.communicate(timeout=30)  # closes its stdin, which it takes as the end
        self._scratch.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()

    def _control(self, command: str) -> str:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://127.0.0.1:{self.port}/-/{command}", timeout=10) as answer:
            return str(answer.read().decode())


def _access(users: Mapping[str, User]) -> str:
    """Roles for the engine's one real user: each of our users is that user in a role of its own name."""
    roles = ""
    for name, user in users.items():
        grants = ["ALL ON *.*"] if user.grants is None else user.grants
        roles += f"<{name}><grants>{''.join(f'<query>GRANT {grant}</query>' for grant in grants)}</grants></{name}>"
    return (
        f"<clickhouse><profiles><default/></profiles><quotas><default/></quotas><roles>{roles}</roles><users><default>"
        "<password></password><networks><ip>::/0</ip></networks><profile>default</profile><quota>default</quota>"
        f"<grants><query>GRANT {', '.join(users)}</query></grants><databases>{_policies(users)}</databases></default>"
        "</users></clickhouse>"
    )


def _policies(users: Mapping[str, User]) -> str:
    """A table's policy shows each user its own rows, and all rows to those who have none."""
    filters: dict[str, dict[str, list[str]]] = {}
    for name, user in users.items():
        for table, rows in user.rows.items():
            database, _, table = table.partition(".")
            mine = f"(NOT has(currentRoles(), '{name}') OR ({rows}))"
            filters.setdefault(database, {}).setdefault(table, []).append(mine)
    return "".join(
        f"<{database}>"
        + "".join(f"<{table}><filter>{escape(' AND '.join(rows))}</filter></{table}>" for table, rows in tables.items())
        + f"</{database}>"
        for database, tables in filters.items()
    )


def start_server(
    path: Path | None = None,
    users: Mapping[str, User] | None = None,
    *,
    timezone: str = "UTC",
    certificate: Path | None = None,
) -> RunningServer:
    """Starts a server.

    Args:
        path: directory of its data. Default: in memory.
        users: name → user. Default: ``default`` without a password, who may do everything.
        timezone: the server's time zone.
        certificate: a PEM file with certificate and key, to speak TLS.
    """
    scratch = tempfile.TemporaryDirectory(prefix="clickhouse-")
    users = users or {"default": User()}
    users_file, config_file = Path(scratch.name, "users.json"), Path(scratch.name, "engine.xml")
    users_file.write_text(json.dumps({name: asdict(user) for name, user in users.items()}))
    access_file = Path(scratch.name, "access.xml")
    access_file.write_text(_access(users))
    config_file.write_text(f"<clickhouse><users_config>{access_file}</users_config></clickhouse>")
    process = subprocess.Popen(
        [
            *(sys.executable, str(EMULATOR), "--path", str(path or ":memory:")),
            *("--config", str(config_file), "--users", str(users_file)),
            *(("--certificate", str(certificate)) if certificate else ()),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=scratch.name,
        env={**os.environ, "TZ": timezone},
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line.strip().isdigit():
        _, errors = process.communicate(timeout=30)
        scratch.cleanup()
        raise RuntimeError(f"the server did not start: {errors[-2000:]}")
    return RunningServer(process, int(line), scratch, "clickhouses" if certificate else "clickhouse")
