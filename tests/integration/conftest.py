"""ClickHouse on every engine: embedded, over HTTP, and a real server when HANSEI_TEST_CLICKHOUSE_URL names one."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from tests.support.clickhouse_http import RunningServer, User, start_server
from tests.support.in_memory import Analyse, in_memory

from hansei.tools.clickhouse import close_readers, open_writer

REAL_SERVER = os.environ.get("HANSEI_TEST_CLICKHOUSE_URL", "")
"""URL of a server on which a user may make and drop databases."""

PASSWORD = "p@ss/w#rd?&é hunter2"
"""With everything that must be percent-encoded."""


@dataclass(frozen=True)
class Place:
    """A database of its own on one engine. `url` may write; readers restrict themselves."""

    engine: str
    url: str
    database: str


@pytest.fixture(scope="session", autouse=True)
def no_proxy() -> Iterator[None]:
    """The tests' servers are on this machine, whatever proxy the environment names."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("no_proxy", "*")
        yield


@pytest.fixture(scope="session")
def clickhouse_server() -> Iterator[RunningServer]:
    """A server in memory.

    `default` may do everything, `analyst` is read-only by profile, `careful` has stricter limits and may set others,
    `clerk` may read one table and a column of another.
    """
    users = {
        "default": User(),
        "analyst": User(PASSWORD, init=["SET readonly = 1"]),
        "careful": User(
            PASSWORD, init=["SET max_execution_time = 7", "SET max_result_rows = 5000", "SET readonly = 2"]
        ),
        "clerk": User(PASSWORD, grants=["SELECT ON office.open_files", "SELECT(id) ON office.half_open"]),
    }
    with start_server(users=users) as server:
        yield server


@pytest.fixture(scope="module")
def engine() -> Iterator[Analyse]:
    """Analyses rows in memory, each time in a database of its own."""
    with in_memory() as analyse_rows:
        yield analyse_rows


@pytest.fixture(scope="module", params=["embedded", "http", *(["server"] if REAL_SERVER else [])])
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """An empty database. Use it with `open_reader(place.url)` and `open_writer(place.url)`, and close both."""
    database = f"hansei_test_{uuid.uuid4().hex[:12]}"
    match request.param:
        case "embedded":
            url = f"chdb://{tmp_path_factory.mktemp('embedded')}?database={database}"
        case "http":
            url = request.getfixturevalue("clickhouse_server").url(database=database)
        case _:
            url = "/".join([*REAL_SERVER.split("/")[:3], database])
    open_writer(url).close()
    yield Place(request.param, url, database)
    close_readers()
    writer = open_writer(url)
    writer.command(f"DROP DATABASE {database}")
    writer.close()
