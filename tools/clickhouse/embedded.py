"""The embedded engine: ClickHouse (chDB) inside this process, on a directory or in memory.

Only `import_chdb` imports chdb, and only when a connection is opened.
"""

from __future__ import annotations

import fcntl
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from hansei.errors import ConnectionFailed, HanseiError
from hansei.tools.clickhouse.failures import explain
from hansei.tools.clickhouse.session import keep_driver_quiet
from hansei.tools.clickhouse.urls import Target

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

_CONFIG = Path(__file__).with_name("embedded.xml")
_import_lock = threading.Lock()


def open_embedded(target: Target, settings: Mapping[str, int | str]) -> Client:
    """A client of the embedded engine, with `settings` applied in their order.

    Raises:
        ConnectionFailed: the directory is in use, or is not one the engine can open; or this process has another open.
    """
    failure: HanseiError
    if target.path is not None:
        _refuse_if_locked(target, Path(target.path))
    import_chdb()
    import clickhouse_connect
    from clickhouse_connect.driver.exceptions import ClickHouseError

    keep_driver_quiet()
    try:
        client = clickhouse_connect.get_client(
            interface="chdb",
            path=target.path,
            database=target.database,
            settings=dict(settings),
            chdb_options={"config-file": str(_CONFIG)},
            tz_mode="aware",
        )
    except (ClickHouseError, RuntimeError, ValueError, OSError) as error:
        failure = _not_opened(error, target)
    else:
        # The driver takes the number of result rows for the number of rows read.
        cast(Any, client)._backend._summary = _summary
        return client
    raise failure


def import_chdb() -> None:
    """Imports chDB in UTC, and away from the working directory.

    On import chDB takes the process's time zone for good, and starts an engine with the ``config.xml`` of the working
    directory, if there is one. Langfuse's tables are sorted by ``toDate(timestamp)`` in the server's time zone, so of data
    that was written under one zone and is read under another, the index silently skips rows.
    """
    with _import_lock:
        if "chdb" in sys.modules:
            return
        with _environment_of_import():
            import chdb  # noqa: F401


@contextmanager
def _environment_of_import() -> Iterator[None]:
    zone, directory = os.environ.get("TZ"), os.getcwd()
    os.environ["TZ"] = "UTC"
    os.chdir(_CONFIG.parent)
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


def _refuse_if_locked(target: Target, path: Path) -> None:
    # The engine would say so on stderr only, and then fail without a reason.
    try:
        with (path / "status").open("r+b") as status:
            owner = status.read(200).partition(b"\n")[0].removeprefix(b"PID: ").strip()
            if owner == str(os.getpid()).encode():
                return
            fcntl.flock(status, fcntl.LOCK_EX | fcntl.LOCK_NB)
            fcntl.flock(status, fcntl.LOCK_UN)
            return
    except BlockingIOError:
        process = f"process {owner.decode()}" if owner.isdigit() else "another process"
    except OSError:
        return
    raise ConnectionFailed(
        f"The directory of {target.display} is in use by {process}.",
        "An embedded ClickHouse serves one process at a time: end the other one, or work on a copy of the directory.",
    )


def _not_opened(error: BaseException, target: Target) -> HanseiError:
    if "already initialized" in str(error) or "different path" in str(error):
        return ConnectionFailed(
            f"{target.display} cannot be opened: this process already has another embedded ClickHouse open.",
            "Close that one first (close_readers()), or use a second process.",
        )
    if "EmbeddedServer" in str(error) or "Failed to create connection" in str(error):
        return ConnectionFailed(
            f"The embedded ClickHouse at {target.display} cannot be opened.",
            "Check that no other process uses the directory, that it is intact, and that the disk is not full.",
        )
    return explain(error, target)


def check_directory(target: Target) -> None:
    """Refuses a directory from which an embedded engine could not read.

    Raises:
        ConnectionFailed: it is missing, not a directory, not a ClickHouse directory, or not writable (the engine locks
            it, and keeps temporary files in it).
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
            f"The directory of {target.display} cannot be written by this user.",
            "Give this user read and write access to it, or work on a copy.",
        )
    if not (path / "metadata").is_dir():
        raise ConnectionFailed(
            f"The directory of {target.display} holds no ClickHouse data.",
            "Name the directory that hansei demo or another embedded ClickHouse has written.",
        )


def make_directory(target: Target) -> None:
    """Makes the directory of an embedded engine, with its parents.

    Raises:
        ConnectionFailed: it cannot be made or written.
    """
    if target.path is None:
        return
    path = Path(target.path)
    failed = False
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError:
        failed = True
    if failed:
        raise ConnectionFailed(
            f"The directory of {target.display} cannot be made or written.",
            "Choose a directory this user may write to.",
        )
