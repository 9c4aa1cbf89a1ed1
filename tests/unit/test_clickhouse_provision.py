"""The SQL that makes the right user of a server: the engine's own parser takes each statement as it is meant."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from hansei.tools.clickhouse import open_writer
from hansei.tools.clickhouse.provision import EVERYONE_ELSE, PASSWORD, ROLE, Setup

HOSTILE = "x' TO ALL; DROP TABLE t -- `\\ \n  日本"


@pytest.fixture(scope="module")
def engine() -> Iterator[Any]:
    client = open_writer("chdb://")
    yield client
    client.close()


def parsed(engine: Any, sql: str) -> str:
    """The statement as the parser understood it, in one line; it rejects several in one text."""
    return str(engine.query("SELECT formatQuerySingleLine({sql:String})", parameters={"sql": sql}).result_rows[0][0])


@pytest.mark.parametrize("cluster", ["", "default", "{cluster}"])
@pytest.mark.parametrize(
    ("database", "project"), [("default", "cmxyz123"), ("my-langfuse", "Our App"), ("a`b", HOSTILE)]
)
def test_every_statement_parses(engine: Any, database: str, project: str, cluster: str) -> None:
    setup = Setup(database, ("traces", "events_core"), project, cluster=cluster)
    statements = setup.statements()
    kinds = [" ".join(parsed(engine, statement).split()[:2]) for statement in statements]
    assert kinds[0] == "CREATE ROLE"
    assert kinds.count("CREATE ROW") == 2
    assert {"CREATE SETTINGS", "CREATE USER", "CREATE QUOTA"} <= set(kinds)
    assert all(("ON CLUSTER" in statement) == bool(cluster) for statement in statements)
    assert sum(PASSWORD in statement for statement in statements) == 1
    # One line each, whatever the project's name: they are printed to be copied.
    assert all(statement.isprintable() for statement in statements)


def test_the_row_policy_holds_the_projects_id_as_a_value(engine: Any) -> None:
    setup = Setup("default", ("traces",), HOSTILE)
    policies = [parsed(engine, sql) for sql in setup.statements() if sql.startswith("CREATE ROW POLICY")]
    assert policies[0].endswith(f"USING 1 TO ALL EXCEPT {ROLE}")
    assert policies[1].endswith(f" TO {setup.user}")
    literal = setup.rows.removeprefix("project_id = ")
    assert engine.query(f"SELECT {literal}").result_rows == [(HOSTILE,)]


def test_the_profile_locks_what_it_sets(engine: Any) -> None:
    setup = Setup("default", ("traces",), "shop")
    profile = next(parsed(engine, sql) for sql in setup.statements() if "SETTINGS PROFILE" in sql)
    assert profile.endswith("readonly = 1 CONST")
    for name in setup.settings:
        assert f" {name} = " in profile
        engine.query("SELECT 1", settings={name: setup.settings[name]})
    assert profile.count("CONST") == len(setup.settings)


def test_only_selects_are_granted_and_no_table_that_is_not_there() -> None:
    setup = Setup("default", ("events_core", "scores"), "shop")
    assert all(grant.startswith("SELECT ON ") for grant in setup.grants)
    tables = {grant.removeprefix("SELECT ON ") for grant in setup.grants}
    assert {table for table in tables if not table.startswith("system.")} == {"default.events_core", "default.scores"}


def test_no_two_projects_share_a_user_and_none_has_the_name_of_everyone_else() -> None:
    projects = [
        "shop",
        "Shop",
        "sh op",
        "sh_op",
        "sh-op",
        "_everyone_else",
        "everyone_else",
        "日本",
        "日木",
        "",
        "x" * 200,
    ]
    users = [Setup("default", ("traces",), project).user for project in projects]
    assert len(set(users)) == len(projects)
    assert EVERYONE_ELSE not in users
    assert ROLE not in users
