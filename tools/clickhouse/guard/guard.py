"""The guard's door: `Guard.admit`."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hansei.tools.clickhouse.guard.bound import Trusted
from hansei.tools.clickhouse.guard.checks import Checks
from hansei.tools.clickhouse.guard.functions import Functions, functions
from hansei.tools.clickhouse.guard.parameters import check_values
from hansei.tools.clickhouse.guard.parser import Parser
from hansei.tools.clickhouse.guard.refusal import refuse
from hansei.tools.clickhouse.guard.trees import (
    Node,
    as_query,
    as_subquery,
    name_of,
    nodes,
    same,
    select_all,
    select_text,
    tables_of,
)


@dataclass(frozen=True)
class Admitted:
    """SQL that may be executed.

    `sql` is what the engine's parser understood, written anew: one SELECT without comments, with the definitions of
    the relations that it names. `parameters` are the values of the placeholders of it all.
    """

    sql: str
    parameters: dict[str, Any]
    relations: frozenset[str]


@dataclass(frozen=True)
class Relation:
    """A logical relation's trusted definition: its columns, the names it reads, and its parameters with their types."""

    columns: frozenset[str]
    names: frozenset[str]
    parameters: dict[str, str]


class Guard:
    """Lets through what can only read the logical relations, and refuses everything else."""

    def __init__(self, parser: Parser, known: Functions | None = None) -> None:
        self._parser = parser
        self._functions = known or functions()
        self._relations: dict[str, Relation] = {}

    def admit(
        self,
        sql: str,
        relations: Mapping[str, str],
        parameters: Mapping[str, Any] | None = None,
        *,
        own: Mapping[str, Any] | None = None,
        reserved: frozenset[str] = frozenset(),
        at_most: int | None = None,
    ) -> Admitted:
        """Checks a statement that somebody wrote, and binds it to the relations.

        Args:
            sql: one SELECT that names the relations only.
            relations: name → its trusted definition, a SELECT, which is not checked.
            parameters: values for the statement's own placeholders.
            own: values for the placeholders of the definitions, which the statement may use as well.
            reserved: names of real tables, which a query of its own in WITH must not have.
            at_most: the statement gets a LIMIT of so many rows, and an order, so that it answers alike each time.

        Raises:
            QueryRefused: it is not known to be harmless; nothing was executed.
        """
        if taken := sorted(set(parameters or {}) & set(own or {})):
            refuse("parameter", f"The parameter {taken[0]} is not yours to set.", "Choose another name for it.")
        try:
            return self._admit(sql, relations, {**(own or {}), **(parameters or {})}, reserved, at_most)
        except RecursionError:
            refuse("size", "The statement nests too deeply.", "Ask in several smaller queries.")

    def _admit(
        self,
        sql: str,
        definitions: Mapping[str, str],
        values: Mapping[str, Any],
        reserved: frozenset[str],
        at_most: int | None,
    ) -> Admitted:
        tree = self._parser.parse(sql)
        relations = {name: self._relation(text) for name, text in definitions.items()}
        checks = self._checks(tree, relations, reserved)
        if at_most is not None:
            tree = settled(tree, at_most)
        marks = {name: secrets.token_hex(16) for name in checks.used}
        _bind(tree, marks)
        text = self._write(tree, {marks[name]: definitions[name] for name in checks.used})
        needed = dict(checks.parameters)
        for name in checks.used:
            needed.update(relations[name].parameters)
        return Admitted(text, check_values(needed, values), frozenset(checks.used))

    def admit_bound(self, sql: str, trusted: Trusted, parameters: Mapping[str, Any]) -> Admitted:
        """Checks a statement that says that it has been bound to the relations already.

        Args:
            sql: one SELECT, with definitions of relations in its WITH.
            trusted: the definitions that there may be.
            parameters: the values of all placeholders.

        Raises:
            QueryRefused: it is not known to be harmless; nothing was executed.
        """
        try:
            return self._admit_bound(sql, trusted, parameters)
        except RecursionError:
            refuse("size", "The statement nests too deeply.", "Ask in several smaller queries.")

    def _admit_bound(self, sql: str, trusted: Trusted, values: Mapping[str, Any]) -> Admitted:
        cut, marks = trusted.cut(sql)
        tree = self._parser.parse(cut)
        if not trusted.holds(tree, marks):
            tree, marks = self._parser.parse(sql), {}
        bound = {id(element): trusted.find(element, marks) for element in trusted.elements(tree)}
        needed: dict[str, str] = {}
        for found in bound.values():
            needed.update(parameters_of(found.tree))
        columns = {found.name: columns_of(found.tree) for found in bound.values()}
        checks = Checks(self._functions, columns, frozenset(), frozenset(), self._parser.parse, bound=bound)
        checks.statement(tree)
        texts = dict(marks)
        for element in list(trusted.elements(tree)):
            found = bound[id(element)]
            if not found.mark:
                mark = secrets.token_hex(16)
                texts[mark] = self._parser.write(found.tree) if found.conditions else found.text
                element["subquery"] = as_subquery(as_query(select_text(mark)))
        text = self._write(tree, texts)
        return Admitted(text, check_values(needed | checks.parameters, values), frozenset(checks.used))

    def _write(self, tree: Node, texts: Mapping[str, str]) -> str:
        """The text of a checked statement. A definition is long: it is put in at the end, in the place of its mark."""
        text = self._parser.write(tree)
        if not same(self._parser.parse(text), tree):
            # What is executed must be what was checked.
            refuse("unknown", "ClickHouse cannot write this statement back unchanged.", "Write it in a simpler way.")
        for mark, definition in texts.items():
            text = text.replace(f"SELECT '{mark}'", definition.strip())
        return text

    def _checks(self, tree: Node, relations: Mapping[str, Relation], reserved: frozenset[str]) -> Checks:
        columns = {name: relation.columns for name, relation in relations.items()}
        hidden = frozenset().union(*(relation.names for relation in relations.values()))
        checks = Checks(self._functions, columns, reserved, hidden, self._parser.parse)
        checks.statement(tree)
        return checks

    def _relation(self, definition: str) -> Relation:
        if definition not in self._relations:
            tree = self._parser.parse(definition)
            self._relations[definition] = Relation(columns_of(tree), names_of(tree), parameters_of(tree))
        return self._relations[definition]


def columns_of(tree: Node) -> frozenset[str]:
    """The columns of a trusted definition, with those that its asterisks stand for."""
    select = tree["list_of_selects"]["children"][0]
    names: set[str] = set()
    for item in select["select"]["children"]:
        if item["type"] in ("Asterisk", "QualifiedAsterisk"):
            wanted = (item.get("qualifier") or {}).get("name")
            for element in select["tables"]["children"]:
                source = (element.get("table_expression") or {}).get("subquery")
                if source and wanted in (None, source.get("alias")):
                    names |= columns_of(source["children"][0])
        elif name := item.get("alias") or name_of(item):
            names.add(str(name))
    return frozenset(names)


def parameters_of(tree: Node) -> dict[str, str]:
    """Name → type of the placeholders in a syntax tree."""
    return {node["name"]: node["param_type"] for node in nodes(tree) if node.get("type") == "QueryParameter"}


def names_of(tree: Node) -> frozenset[str]:
    """The columns and aliases that a definition reads by name."""
    return frozenset(name_of(node) for node in nodes(tree) if node.get("type") == "Identifier")


def settled(tree: Node, at_most: int) -> Node:
    """The statement with a LIMIT, and with an order where it has none: so it answers alike each time."""
    selects = tree["list_of_selects"]["children"]
    select = selects[0]
    is_ordered = len(selects) == 1 and "order_by" in select
    if len(selects) > 1 or select["type"] != "SelectQuery" or not _is_within(select, at_most):
        source = {"type": "TableExpression", "subquery": as_subquery(tree)}
        select = select_all(source)
        tree = as_query(select)
    select.setdefault("limit_length", {"type": "Literal", "value": {"field_type": "UInt64", "value": at_most}})
    if not is_ordered:
        every = {"type": "Identifier", "name": "all"}
        element = {"type": "OrderByElement", "direction": 1, "nulls_direction": 1, "expression": every}
        select["order_by"] = {"type": "ExpressionList", "children": [element]}
        select["order_by_all"] = True
    return tree


def _is_within(select: Node, at_most: int) -> bool:
    """Whether a SELECT has a limit that keeps it to so many rows, or none."""
    if select.get("limit_with_ties"):
        return False
    if "limit_length" not in select:
        return "limit_offset" not in select
    limit = (select["limit_length"].get("value") or {}).get("value")
    return isinstance(limit, int) and not isinstance(limit, bool) and 0 <= limit <= at_most


def _bind(tree: Node, marks: Mapping[str, str]) -> None:
    """Puts the relations into WITH of each SELECT that reads from them, each as a query for its mark.

    Not once at the head: whether a WITH serves the queries inside of it is up to a setting of the session.
    """
    for select in nodes(tree):
        if select.get("type") != "SelectQuery":
            continue
        if named := dict.fromkeys(name for name in tables_of(select) if name in marks):
            elements: list[Node] = [
                {"type": "WithElement", "name": name, "subquery": as_subquery(as_query(select_text(marks[name])))}
                for name in named
            ]
            elements += select.get("with", {}).get("children", [])
            select["with"] = {"type": "ExpressionList", "children": elements}
