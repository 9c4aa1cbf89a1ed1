"""A run's session: its project's rows and nothing else, whatever is asked of it, on each engine."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.integration.conftest import REAL_SERVER
from tests.support.clickhouse_http import User, start_server

from hansei.demo import create_tables
from hansei.errors import HanseiError, QueryFailed
from hansei.tools.clickhouse import Reader, open_reader, open_writer, parse_url
from hansei.tools.clickhouse.check import check_connection
from hansei.tools.clickhouse.provision import PASSWORD, Setup

MINE, THEIRS = "it's mine", "project-of-c4n4ry"
CANARY = "c4n4ry"
"""In all texts of the other project's rows, and in no other."""
TABLES = ("traces", "observations", "scores")
ROWS = 20_000
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Shared:
    """A database with two projects. `url` is what a run connects with, `admin_url` may do everything."""

    engine: str
    url: str
    admin_url: str
    database: str


def _fill(admin_url: str) -> None:
    client = open_writer(admin_url)
    create_tables(client, "v3", parse_url(admin_url).database)
    for table in TABLES:
        columns = dict(
            client.query(
                "SELECT name, type FROM system.columns WHERE table = {table:String} AND database = currentDatabase()"
                " AND default_kind = ''",
                parameters={"table": table},
            ).result_rows
        )
        texts = [name for name, type_ in columns.items() if type_ in ("String", "Nullable(String)")]
        for project, word in ((MINE, "ours"), (THEIRS, CANARY)):
            values = [f"'{word} ' || toString(number)" for _ in texts]
            values[texts.index("project_id")] = "'" + project.replace("'", "\\'") + "'"
            client.command(f"INSERT INTO {table} ({', '.join(texts)}) SELECT {', '.join(values)} FROM numbers({ROWS})")
    client.close()


@contextmanager
def _embedded(folder: Path) -> Iterator[Shared]:
    url = f"chdb://{folder}?database=langfuse"
    _fill(url)
    yield Shared("embedded", url, url, "langfuse")


def _setup(database: str) -> Setup:
    return Setup(database, TABLES, MINE)


@contextmanager
def _http() -> Iterator[Shared]:
    """The user that `hansei doctor --sql` prints, by the same grants, settings and row policy."""
    setup = _setup("langfuse")
    init = [f"SET {name} = '{value}'" for name, value in setup.settings.items() if not name.startswith("cancel_")]
    rows = {f"langfuse.{table}": setup.rows for table in TABLES}
    users = {"default": User(), setup.user: User("s3cret", init=init, grants=setup.grants, rows=rows)}
    with start_server(users=users) as server:
        admin = server.url(database="langfuse")
        _fill(admin)
        yield Shared("http", server.url(setup.user, "s3cret", "langfuse"), admin, "langfuse")


@contextmanager
def _server() -> Iterator[Shared]:
    """The same user on a real server, made by the printed statements."""
    database = f"hansei_test_{uuid.uuid4().hex[:12]}"
    admin = "/".join([*REAL_SERVER.split("/")[:3], database])
    _fill(admin)
    setup, password = _setup(database), f"Aa1!{uuid.uuid4()}"
    client = open_writer(admin)
    try:
        for statement in setup.statements():
            client.command(statement.replace(PASSWORD, password))
        target = parse_url(admin)
        scheme = "clickhouses" if target.secure else "clickhouse"
        yield Shared(
            "server", f"{scheme}://{setup.user}:{password}@{target.host}:{target.port}/{database}", admin, database
        )
    finally:
        client.command(f"DROP DATABASE {database}")
        client.command(f"DROP USER {setup.user}")
        client.close()


@pytest.fixture(scope="module", params=["embedded", "http", *(["server"] if REAL_SERVER else [])])
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    match request.param:
        case "embedded":
            place = _embedded(tmp_path_factory.mktemp("tenancy"))
        case "http":
            place = _http()
        case _:
            place = _server()
    with place as found:
        yield found


@pytest.fixture(scope="module")
def run(shared: Shared) -> Iterator[Reader]:
    """The session that a run asks its questions on."""
    session = open_reader(shared.url, project_id=MINE)
    yield session
    session.close()


@pytest.mark.parametrize("table", TABLES)
def test_a_run_sees_its_own_rows_only(shared: Shared, run: Reader, table: str) -> None:
    name = f"{shared.database}.{table}"
    everything = open_reader(shared.admin_url)
    assert everything.query(f"SELECT uniqExact(project_id) FROM {name}").rows == [[2]]
    everything.close()

    for final in ("", "FINAL"):
        assert run.query(f"SELECT DISTINCT project_id FROM {name} {final}").rows == [[MINE]]
        assert run.query(f"SELECT count() FROM {name} {final}").rows == [[ROWS]]
        assert run.query(f"SELECT count() FROM {name} {final} WHERE position(id, '{CANARY}') > 0").rows == [[0]]


def test_the_row_policy_reads_no_more_than_the_condition_on_the_project(shared: Shared, run: Reader) -> None:
    sql = (
        f"SELECT count(), uniqExact(id) FROM {shared.database}.observations FINAL WHERE project_id = {{project:String}}"
    )
    admin = open_reader(shared.admin_url)
    plain, held = (reader.query(sql, {"project": MINE}) for reader in (admin, run))
    admin.close()

    assert held.rows == plain.rows == [[ROWS, ROWS]]
    assert held.rows_read == plain.rows_read < 2 * ROWS
    assert run.estimate(sql, {"project": MINE}) < 2 * ROWS


ESCAPES = {
    "another role": "SET ROLE hansei_loading",
    "all roles": "SET ROLE ALL",
    "no mark": "SET log_comment = ''",
    "no mark for one query": "SELECT input FROM {db}.traces SETTINGS log_comment = ''",
    "additional filters": "SELECT input FROM {db}.traces SETTINGS additional_table_filters = {{}}",
    "the merge function": "SELECT input FROM merge('{db}', '.*')",
    "the index": "SELECT * FROM mergeTreeIndex('{db}', 'traces')",
    "the projections": "SELECT * FROM mergeTreeProjection('{db}', 'traces', 'p')",
    "a view": "SELECT * FROM view(SELECT input FROM {db}.traces)",
    "a sub-query": "SELECT input FROM (SELECT * FROM {db}.traces)",
    "IN": "SELECT project_id IN {db}.traces FROM {db}.scores",
    "a scalar": "SELECT (SELECT max(input) FROM {db}.traces)",
    "a union": "SELECT input FROM {db}.traces UNION ALL SELECT input FROM {db}.observations",
    "a join": "SELECT o.input FROM {db}.traces AS t FULL JOIN {db}.observations AS o USING project_id",
    "a predicate that fails": "SELECT throwIf(position(input, 'c4n' || '4ry') > 0) FROM {db}.traces",
    "a predicate that is pushed down": "SELECT 1 FROM {db}.traces WHERE input != '' AND toUInt8(input) = 1",
    "a distributed table": "SELECT input FROM remote('127.0.0.1', '{db}', 'traces')",
    "a cluster": "SELECT input FROM cluster('default', '{db}', 'traces')",
    "the query log": "SELECT query FROM system.query_log",
    "samples": "SELECT input FROM {db}.traces SAMPLE 1/2",
    "a dictionary": "SELECT * FROM dictionary('{db}.traces')",
    "parallel replicas": "SELECT input FROM {db}.traces SETTINGS enable_parallel_replicas = 1",
}


@pytest.mark.parametrize("way", ESCAPES)
def test_no_statement_leads_to_another_project(shared: Shared, way: str) -> None:
    session = open_reader(shared.url, project_id=MINE)
    try:
        found = str(session.query(ESCAPES[way].format(db=shared.database)))
    except HanseiError as error:
        found = repr(error) + str(vars(error))
    after = [session.query(f"SELECT DISTINCT project_id FROM {shared.database}.{table}").rows for table in TABLES]
    session.close()

    assert CANARY not in found
    assert after == [[[MINE]]] * len(TABLES)


WRITES = (
    "INSERT INTO {db}.traces (id) VALUES ('x')",
    "CREATE TABLE {db}.mine (x UInt8) ENGINE = Memory",
    "CREATE TEMPORARY TABLE mine (x UInt8)",
    "CREATE DATABASE mine",
    "DROP TABLE {db}.traces",
    "ALTER TABLE {db}.traces DELETE WHERE 1",
    "ALTER TABLE {db}.traces UPDATE name = 'x' WHERE 1",
    "TRUNCATE TABLE {db}.traces",
    "OPTIMIZE TABLE {db}.traces FINAL",
    "RENAME TABLE {db}.traces TO {db}.other",
    "SET readonly = 0",
    "SET max_execution_time = 0",
    "SET max_result_rows = 0",
    "SELECT 1 SETTINGS readonly = 0",
    "SELECT 1 SETTINGS max_rows_to_read = 0",
    "GRANT ALL ON *.* TO default",
    "CREATE USER intruder",
)


@pytest.mark.parametrize("sql", WRITES)
def test_a_run_can_write_nothing_and_lift_no_limit(shared: Shared, run: Reader, sql: str) -> None:
    with pytest.raises(HanseiError):
        run.query(sql.format(db=shared.database))
    assert run.query("SELECT getSetting('readonly'), getSetting('max_result_rows')").rows == [[1, 200_000]]
    assert run.query(f"SELECT count() FROM {shared.database}.traces").rows == [[ROWS]]


def test_a_run_reads_no_other_table(shared: Shared, run: Reader) -> None:
    client = open_writer(shared.admin_url)
    client.command(
        f"CREATE TABLE {shared.database}.api_keys (project_id String, key String) ENGINE = MergeTree ORDER BY ()"
    )
    client.close()
    with pytest.raises(HanseiError) as caught:
        run.query(f"SELECT key FROM {shared.database}.api_keys")
    assert type(caught.value).__name__ == "PermissionMissing"
    assert run.query("SELECT name FROM system.tables WHERE name = 'api_keys'").rows == []


def test_names_without_a_database_mean_nothing_to_an_embedded_run(shared: Shared, run: Reader) -> None:
    if shared.engine == "embedded":
        with pytest.raises(QueryFailed, match="table does not exist"):
            run.query("SELECT * FROM traces")


def test_the_printed_user_passes_every_check(shared: Shared) -> None:
    results = {result.name: result for result in check_connection(shared.url)}
    assert {name: result.ok for name, result in results.items()} == dict.fromkeys(results, True)
    if shared.engine != "embedded":
        assert "readonly = 1 in the user's profile" in results["read-only session"].detail


HOST_FIRST = """
import sys
import chdb
from hansei.tools.clickhouse import open_reader
from hansei.tools.clickhouse.check import check_connection
host = chdb.connect(sys.argv[1])
reader = open_reader(f"chdb://{sys.argv[1]}?database=langfuse", project_id="mine")
print(reader.session.roles, reader.query("SELECT getSetting('readonly'), currentDatabase()").rows)
print(next(result.detail for result in check_connection(reader) if result.name == "read-only session"))
"""


def test_an_engine_that_someone_else_has_started_is_read_only_and_says_what_it_lacks(tmp_path: Path) -> None:
    open_writer(f"chdb://{tmp_path}/clickhouse?database=langfuse").close()
    done = subprocess.run(
        [sys.executable, "-c", HOST_FIRST, f"{tmp_path}/clickhouse"],
        env=os.environ | {"TZ": "UTC"}, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    first, second = done.stdout.splitlines()
    assert first == "False [[1, '_temporary_and_external_tables']]"
    assert "kept apart by the SQL guard alone" in second
