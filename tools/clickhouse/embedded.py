"""The embedded engine: ClickHouse (chDB) inside this process, on a directory or in memory."""

from __future__ import annotations

import atexit
import os
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from hansei.errors import ConnectionFailed, HanseiError
from hansei.tools.clickhouse.access import (
    EMPTY_DATABASE,
    connecting_role,
    databases_in,
    engine_config,
    project_mark,
    run_role,
)
from hansei.tools.clickhouse.calls import call
from hansei.tools.clickhouse.settings import keep_driver_quiet
from hansei.tools.clickhouse.urls import Target

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

_import_lock = threading.Lock()
_opening = threading.Lock()
_clients: weakref.WeakSet[Client] = weakref.WeakSet()
_give_way: list[Callable[[], None]] = []


def open_clients() -> list[Client]:
    """The clients of this process that may still be open."""
    return list(_clients)


def before_opening(action: Callable[[], None]) -> None:
    """Has `action` called before each opening: it closes what is only open while nothing else needs the engine."""
    _give_way.append(action)


@atexit.register
def _close_clients() -> None:
    """An engine that is still open when the interpreter ends can keep the process from ending."""
    for client in list(_clients):
        client.close()


def open_embedded(target: Target, database: str) -> Client:
    """A client of the embedded engine that may do everything.

    The first one of a process starts the engine, and fixes who may read what until the last one is closed.

    Args:
        target: the directory, or memory.
        database: the current database; `target.database` may be one that is still to be made.

    Raises:
        ConnectionFailed: the directory is in use or cannot be opened, the database is unknown, or this process has
            another directory open.
    """
    for give_way in _give_way:
        give_way()
    _refuse_if_locked(target)
    import_chdb()
    import clickhouse_connect

    keep_driver_quiet()
    databases = {target.database, database, *databases_in(target.path)} - {EMPTY_DATABASE}
    with _opening, engine_config(databases) as config:
        client = call(
            lambda: clickhouse_connect.get_client(
                interface="chdb",
                path=target.path,
                database=database,
                chdb_options={"config-file": str(config)},
                tz_mode="aware",
            ),
            target,
        )
    _clients.add(client)
    # The driver takes the number of result rows for the number of rows read.
    cast(Any, client)._backend._summary = _summary
    if str(client.server_tz) != "UTC":
        client.close()
        raise ConnectionFailed(
            f"The embedded ClickHouse of this process runs in the time zone {client.server_tz}, not in UTC.",
            "Set TZ=UTC before the process starts, or open Hansei's first connection before chdb is imported.",
        )
    return client


def open_session(
    target: Target,
    settings: Mapping[str, int | str],
    project_id: str | None,
    prepare: Callable[[Client], None] | None = None,
) -> tuple[Client, bool]:
    """A client that may only read, for good.

    Args:
        target: the directory, or memory.
        settings: in the order in which they are set, the one that locks the others last.
        project_id: the session is held to this project; None: it reads all of the database.
        prepare: what the client does before it may only read; it sees the project's rows, and is bound by the settings.

    Returns:
        The client, and whether the engine itself holds it to its tables and its project. It cannot where another
        part of this process has started the engine, or where the database's name cannot stand in its configuration.

    Raises:
        ConnectionFailed: as `open_embedded`.
    """
    # The database of the URL is looked for in either case, so that a wrong one is told at once.
    client = open_embedded(target, target.database)
    try:
        return client, call(lambda: _restrict(client, target, settings, project_id, prepare), target)
    except HanseiError:
        client.close()
        raise


def _restrict(
    client: Client,
    target: Target,
    settings: Mapping[str, int | str],
    project_id: str | None,
    prepare: Callable[[Client], None] | None,
) -> bool:
    role = connecting_role(target.database) if project_id is None else run_role(target.database)
    if project_id is not None:
        client.database = EMPTY_DATABASE
        client.set_client_setting("log_comment", project_mark(project_id))
    *bounds, lock = settings.items()
    for name, value in bounds:
        client.set_client_setting(name, value)
    if prepare is not None:
        prepare(client)
    is_known = bool(client.query("SELECT has(enabledRoles(), {role:String})", {"role": role}).result_rows[0][0])
    if is_known:
        client.command(f"SET ROLE {role}")
    client.set_client_setting(*lock)
    return is_known


def import_chdb() -> None:
    """Imports chDB in UTC, and away from the working directory.

    On import chDB takes the process's time zone for good, and starts an engine with the ``config.xml`` of the working
    directory if there is one. Langfuse's tables are sorted and partitioned by dates in the engine's time zone: of rows
    that were written in one zone, an engine in another zone silently skips some.
    """
    with _import_lock:
        if "chdb" not in sys.modules:
            with _neutral_surroundings():
                import chdb  # noqa: F401


@contextmanager
def _neutral_surroundings() -> Iterator[None]:
    zone, directory = os.environ.get("TZ"), os.getcwd()
    os.environ["TZ"] = "UTC"
    os.chdir(Path(__file__).parent)
    try:
        yield
    finally:
        os.chdir(directory)
        if zone is None:
            del os.environ["TZ"]
        else:
            os.environ["TZ"] = zone
        time.tzset()


def _summary(result: Any) -> dict[str, str]:
    return {
        "read_rows": str(result.storage_rows_read()),
        "read_bytes": str(result.storage_bytes_read()),
        "elapsed_ns": str(int(result.elapsed() * 1e9)),
    }


def _refuse_if_locked(target: Target) -> None:
    """Looks whether another process holds the engine's lock. The engine itself would only tell stderr."""
    import fcntl

    status = Path(target.path or "", "status")
    if target.path is None or not status.is_file() or not os.access(status, os.R_OK | os.W_OK):
        return
    with status.open("r+b") as file:
        owner = file.read(200).partition(b"\n")[0].removeprefix(b"PID: ").strip()
        if owner == str(os.getpid()).encode():
            return
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            process = f"process {owner.decode()}" if owner.isdigit() else "another process"
        else:
            return
    raise ConnectionFailed(
        f"The directory of {target.display} is in use by {process}.",
        "An embedded ClickHouse serves one process at a time: end the other one, or work on a copy of the directory.",
    )


def check_directory(target: Target) -> None:
    """Refuses a directory that an embedded engine could not read.

    Raises:
        ConnectionFailed: it is missing, no directory, not writable (the engine locks it, and keeps temporary files in
            it), or holds no ClickHouse data.
    """
    if target.path is None:
        return
    path = Path(target.path)
    if not path.exists():
        raise ConnectionFailed(
            f"The directory of {target.display} does not exist.",
            "Check the path; hansei demo makes a directory with sample data.",
        )
    if not path.is_dir():
        raise ConnectionFailed(f"{target.display} is not a directory.", "Name the directory of an embedded ClickHouse.")
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        raise ConnectionFailed(
            f"The directory of {target.display} may not be read and written by this user.",
            "Give this user read and write access to it, or work on a copy.",
        )
    if not (path / "metadata").is_dir():
        raise ConnectionFailed(
            f"The directory of {target.display} holds no ClickHouse data.",
            "Name a directory that hansei demo or another embedded ClickHouse has written.",
        )


def make_directory(target: Target) -> None:
    """Makes the directory of an embedded engine, with its parents.

    Raises:
        ConnectionFailed: it cannot be made or written.
    """
    if target.path is not None and not _is_writable(Path(target.path)):
        raise ConnectionFailed(
            f"The directory of {target.display} cannot be made or written.",
            "Choose a directory that this user may write to.",
        )


def _is_writable(path: Path) -> bool:
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            return True
    except OSError:
        return False
