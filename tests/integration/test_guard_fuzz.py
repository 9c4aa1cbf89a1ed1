"""Statements made by a grammar: what passes the guard stays what it is, and reads no table but the relations."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.job import writing

from hansei.errors import QueryRefused
from hansei.tools.clickhouse import open_reader
from hansei.tools.clickhouse.guard import Guard, Parser, parser_of
from hansei.tools.clickhouse.guard.functions import functions
from hansei.tools.clickhouse.guard.trees import nodes, same

pytestmark = pytest.mark.long

RELATIONS = {
    name: f"SELECT id, name, value, tags, meta, at FROM physical.{name} WHERE project_id = {{project_id:String}}"
    for name in ("traces", "observations", "scores")
}
PHYSICAL = {f"physical.{name}" for name in RELATIONS}
OWN = {"project_id": "acme"}
VALUES = {"p": "x", "q": 1, "r": ["x"]}


def _one_of(*values: str) -> st.SearchStrategy[str]:
    return st.sampled_from(values)


def _text(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


_LITERALS = st.one_of(
    st.integers(-5, 2**64 - 1).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.text(max_size=6).map(_text),
    _one_of("NULL", "true", "[1, 2]", "(1, 'a')", "[]", "map('a', 1)", "DATE '2026-11-01'", "INTERVAL 1 DAY"),
    _one_of("{p:String}", "{q:UInt8}", "{project_id:String}", "{r:Array(String)}"),
)
_OPERATORS = _one_of("+", "-", "*", "/", "%", "=", "!=", "<", ">=", "AND", "OR", "LIKE", "||", "IS NOT DISTINCT FROM")


@dataclass(frozen=True)
class Grammar:
    """What the leaves of statements are taken from."""

    names: st.SearchStrategy[str]
    aliases: st.SearchStrategy[str]
    functions: st.SearchStrategy[str]
    tables: st.SearchStrategy[str]
    ctes: st.SearchStrategy[str]
    ends: st.SearchStrategy[str]

    def expression(self, query: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        def wider(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
            several = st.lists(inner, min_size=1, max_size=2).map(", ".join)
            return st.one_of(
                st.builds("({} {} {})".format, inner, _OPERATORS, inner),
                st.builds("{}({})".format, self.functions, several),
                st.builds("{} IN ({})".format, inner, st.one_of(several, query)),
                st.builds("{} NOT IN (SELECT id FROM {})".format, inner, self.tables),
                st.builds("arrayMap(y -> {}, {})".format, inner, inner),
                st.builds("CASE WHEN {} THEN {} ELSE {} END".format, inner, inner, inner),
                st.builds("CAST({} AS String)".format, inner),
                st.builds("NOT {}".format, inner),
                st.builds("{}[{}]".format, self.names, inner),
                st.builds("sum({}) OVER (PARTITION BY {} ORDER BY {})".format, inner, inner, inner),
                st.builds("({})".format, query),
                st.builds("EXISTS ({})".format, query),
            )

        return st.recursive(st.one_of(self.names, _LITERALS), wider, max_leaves=3)

    @property
    def statements(self) -> st.SearchStrategy[str]:
        def wider(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
            one = _select(self, inner)
            return st.one_of(
                one, one, st.builds("{} UNION ALL {}".format, one, one), st.builds("({}) EXCEPT ({})".format, one, one)
            )

        leaf = st.builds("SELECT id FROM {}".format, self.tables)
        return wider(st.one_of(leaf, wider(leaf)))


@st.composite
def _select(draw: st.DrawFn, grammar: Grammar, query: st.SearchStrategy[str]) -> str:
    value = grammar.expression(query)
    parts: list[str] = []
    if draw(st.integers(0, 3)) == 0:
        parts.append(f"WITH {draw(grammar.ctes)} AS ({draw(query)})")
        if draw(st.booleans()):
            parts[-1] += f", {draw(value)} AS {draw(grammar.aliases)}"
    column = st.one_of(value, st.builds("{} AS {}".format, value, grammar.aliases), _one_of("*", "t.*", "COLUMNS('a')"))
    columns = ", ".join(draw(st.lists(column, min_size=1, max_size=2)))
    parts.append(f"SELECT {draw(_one_of('', 'DISTINCT '))}{columns}")
    source = st.one_of(grammar.tables, st.builds("({})".format, query))
    parts.append(f"FROM {draw(source)}{draw(_one_of(' AS t', ' t'))}")
    if draw(st.integers(0, 3)) == 0:
        join = draw(_one_of("JOIN", "LEFT JOIN", "ASOF JOIN", "CROSS JOIN", "SEMI LEFT JOIN"))
        parts.append(f"{join} {draw(source)} AS u" + ("" if "CROSS" in join else f" ON {draw(value)}"))
    if draw(st.integers(0, 4)) == 0:
        parts.append(f"ARRAY JOIN {draw(value)} AS e")
    parts += [
        f"{clause} {draw(value)}"
        for clause in ("WHERE", "GROUP BY", "HAVING", "QUALIFY", "ORDER BY")
        if draw(st.integers(0, 4)) == 0
    ]
    if draw(st.integers(0, 3)) == 0:
        parts.append("LIMIT " + draw(_one_of("3", "2 BY name", "1, 2", "2 OFFSET 1", "5 BY id LIMIT 7")))
    parts.append(draw(grammar.ends))
    return " ".join(parts)


def _words(text: str) -> st.SearchStrategy[str]:
    return st.sampled_from(text.split())


TAME = Grammar(
    names=_words("id name value tags meta at t.id t.name"),
    aliases=_words("a b total `a_b` `c.d` now"),
    functions=_words(
        "count sum uniqExact lower toDate length arrayJoin quantile(0.5) sumIf max COUNT groupArray(3) tuple if"
        " coalesce toString array"
    ),
    tables=_words("traces observations scores numbers(3)"),
    ctes=_words("q other"),
    ends=st.just(""),
)
WILD = Grammar(
    names=_words("id name value at tags id name value project_id _part user now t.project_id {p:Identifier}"),
    aliases=_words("a b c project_id traces at `physical.traces`"),
    functions=_words(
        "lower count sum max file dictGet now hostName getSetting sleep arrayReduce joinGet currentUser throwIf my_udf"
        " lowCardinalityKeys"
    ),
    tables=_words(
        "traces scores observations traces scores observations traces scores observations physical.traces system.tables"
        " q events_core merge('','.*') url('http://x/') `physical.traces` {p:Identifier} file('/etc/passwd') numbers()"
    ),
    ctes=_words("q other traces events_core `physical.traces`"),
    ends=_one_of("", "", "", "", "SETTINGS max_threads = 1", "FORMAT JSON", "INTO OUTFILE 'x'", "SAMPLE 0.1"),
)


@pytest.fixture(scope="module")
def parser() -> Iterator[Parser]:
    with writing("chdb://"):
        reader = open_reader("chdb://")
        yield parser_of(reader)
        reader.close()


def assert_reads_only_relations(tree: dict[str, Any]) -> None:
    """By other means than the guard's: every table and every function that is named anywhere."""
    own = {node["name"] for node in nodes(tree) if node.get("type") == "WithElement"}
    lambdas = {node.get("alias") for node in nodes(tree) if node.get("is_lambda_function")}
    definitions = [
        element["subquery"]["children"][0]
        for element in nodes(tree)
        if element.get("type") == "WithElement" and element["name"] in RELATIONS
    ]
    inside = {id(node) for definition in definitions for node in nodes(definition)}
    for node in nodes(tree):
        if node.get("type") == "TableIdentifier":
            assert node["name"] in (PHYSICAL if id(node) in inside else own)
            assert "children" not in node
        if node.get("type") == "TableExpression" and "table_function" in node:
            assert node["table_function"]["name"] == "numbers"
        elif node.get("type") == "Function" and node["name"] not in lambdas | {"numbers"}:
            found = functions().of(node["name"])
            assert found is not None
            assert found.allowed
        assert not {"settings", "format_ast", "out_file", "final", "sample_size"} & node.keys()


@pytest.mark.parametrize(("grammar", "least"), [(TAME, 25), (WILD, 0)], ids=["tame", "wild"])
def test_what_passes_is_stable_and_reads_only_the_relations(grammar: Grammar, least: int, parser: Parser) -> None:
    guard, passed, reasons = Guard(parser), set[str](), set[str]()

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), database=None, derandomize=True)
    @given(sql=grammar.statements)
    def check(sql: str) -> None:
        try:
            admitted = guard.admit(sql, RELATIONS, VALUES, own=OWN, reserved=frozenset({"events_core"}))
        except QueryRefused as refusal:
            reasons.add(refusal.reason)
            return
        passed.add(sql)
        tree = parser.parse(admitted.sql)
        assert same(parser.parse(parser.write(tree)), tree)
        assert_reads_only_relations(tree)

    check()
    assert len(passed) >= least
    assert "unknown" not in reasons
    assert grammar is TAME or len(reasons) >= 4
