"""The checks on a statement's syntax tree: what is not known to be harmless is refused."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from hansei.tools.clickhouse.guard.bound import Found
from hansei.tools.clickhouse.guard.functions import Class, Functions
from hansei.tools.clickhouse.guard.grammar import REFUSED, SHAPES
from hansei.tools.clickhouse.guard.made_tables import check_table_function
from hansei.tools.clickhouse.guard.names import Names, similar
from hansei.tools.clickhouse.guard.parameters import check_type
from hansei.tools.clickhouse.guard.refusal import refuse, shown
from hansei.tools.clickhouse.guard.trees import Node, as_query, as_subquery, select_all, text_of

MOST_NODES = 20_000
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_IN = re.compile(r"(global)?(not)?(null)?in(ignoreset)?")
_NAMED_AGGREGATE = frozenset({"arrayreduce", "arrayreduceinranges", "initializeaggregation"})
_TYPED = re.compile(
    r"cast|accuratecast.*|reinterpret|jsonextract(keysandvalues)?(caseinsensitive)?|defaultvalueoftypename|(dynamic|variant)element"
)
_STATE = "aggregatefunction"


@dataclass(frozen=True)
class Scope:
    """Which names a query may read from at one place of the statement."""

    relations: frozenset[str]
    """Logical relations that are bound here."""
    ctes: frozenset[str] = frozenset()
    lambdas: frozenset[str] = frozenset()

    def with_cte(self, name: str) -> Scope:
        return Scope(self.relations, self.ctes | {name}, self.lambdas)

    def with_relation(self, name: str) -> Scope:
        return Scope(self.relations | {name}, self.ctes, self.lambdas)

    def with_lambda(self, name: str) -> Scope:
        return Scope(self.relations, self.ctes, self.lambdas | {name})


@dataclass
class Checks:
    """Walks through one statement.

    Args:
        functions: the classification.
        columns: logical relation → its columns.
        reserved: names that a CTE must not have: the real tables.
        hidden: names that a value's alias must not have: what the relations' definitions read.
        parse: the engine's parser.
        bound: of a statement that has been bound already, the elements of WITH that define a relation, by their id().
            Only where these are visible may the relations be read from.
    """

    functions: Functions
    columns: Mapping[str, frozenset[str]]
    reserved: frozenset[str]
    hidden: frozenset[str]
    parse: Callable[[str], Node]
    bound: Mapping[int, Found] | None = None
    used: set[str] = field(default_factory=set)
    """The logical relations that were named."""
    parameters: dict[str, str] = field(default_factory=dict)
    """Name → type of the parameters that were named."""
    _nodes: int = 0

    def statement(self, tree: Node) -> None:
        """Checks a whole statement.

        Raises:
            QueryRefused: it is not known to be harmless.
        """
        if tree.get("type") != "SelectWithUnionQuery":
            refuse("statement", "Only SELECT is allowed.", "Write one SELECT over traces, observations and scores.")
        self._names = Names(tree, self.columns, is_open=self.bound is not None)
        self._query(tree, Scope(frozenset() if self.bound is not None else frozenset(self.columns)))

    # -- queries ------------------------------------------------------------------------------------------------------

    def _query(self, node: Node, scope: Scope) -> None:
        self._shape(node)
        arms = node["list_of_selects"]["children"]
        for arm in arms:
            if arm.get("type") == "SelectWithUnionQuery":
                self._query(arm, scope)
            elif arm.get("type") == "SelectQuery":
                inner = self._select(arm, scope)
                if arm is arms[0]:
                    scope = inner  # a WITH before a union serves all of its parts
            else:
                self._unknown(arm)

    def _select(self, node: Node, scope: Scope) -> Scope:
        self._shape(node)
        elements = node.get("with", {}).get("children", [])
        if node.get("recursive_with"):
            for element in elements:
                if element.get("type") == "WithElement" and id(element) not in (self.bound or {}):
                    scope = scope.with_cte(self._cte(element))
        for element in elements:
            if found := (self.bound or {}).get(id(element)):
                for condition in found.conditions:
                    self._visit(condition, Scope(frozenset()))
                scope = scope.with_relation(found.name)
            elif element.get("type") == "WithElement":
                name = self._cte(element)
                self._shape(element)
                self._visit(element["subquery"], scope)
                self._children(element, scope, skip=("subquery",))
                scope = scope.with_cte(name)
            else:
                self._value_alias(element)
                if element.get("is_lambda_function") and element.get("alias"):
                    scope = scope.with_lambda(str(element["alias"]))
                self._visit(element, scope)
        self._children(node, scope, skip=("with",))
        return scope

    def _cte(self, element: Node) -> str:
        name = str(element.get("name", ""))
        if not _WORD.fullmatch(name):
            refuse("name", f"“{shown(name)}” cannot be a query's name.", "Use letters, digits and _ only.")
        if name in self.columns or name.lower() in self.reserved:
            refuse("name", f"A query must not be named {name}: that hides a table.", "Choose another name after WITH.")
        return name

    def _value_alias(self, element: Node) -> None:
        alias = element.get("alias")
        if alias in self.hidden:
            refuse(
                "name",
                f"A value in WITH must not be named {shown(alias)}: that hides a column.",
                f"Choose another name, such as my_{shown(alias)}.",
            )

    # -- nodes --------------------------------------------------------------------------------------------------------

    def _visit(self, node: Any, scope: Scope) -> None:
        if isinstance(node, list):
            for item in node:
                self._visit(item, scope)
            return
        kind = node.get("type") if isinstance(node, dict) else None
        match kind:
            case "Subquery":
                self._subquery(node, scope)
            case "TableExpression":
                self._table_expression(node, scope)
            case "Function":
                self._function(node, scope)
            case "Identifier":
                self._identifier(node)
            case "Literal":
                self._literal(node)
            case "QueryParameter":
                self._parameter(node)
            case "ColumnsApplyTransformer":
                self._apply(node, scope)
            case "SelectQuery" | "SelectWithUnionQuery" | "TableIdentifier" | "WithElement":
                refuse(
                    "unknown", "A query or table stands where a value is expected.", "Put sub-queries in parentheses."
                )
            case _:
                self._shape(node)
                self._children(node, scope)

    def _children(self, node: Node, scope: Scope, skip: Iterable[str] = ()) -> None:
        shape = SHAPES[node["type"]]
        for key in shape.children:
            if key in node and key not in skip:
                self._visit(node[key], scope)

    def _shape(self, node: Any) -> None:
        """Refuses a node of an unknown type, or with unknown parts."""
        self._nodes += 1
        if self._nodes > MOST_NODES:
            refuse("size", "The statement is too large.", "Ask in several smaller queries.")
        shape = SHAPES.get(node.get("type", "")) if isinstance(node, dict) else None
        if shape is None:
            self._unknown(node)
        if "children" in node and node["type"] in ("Identifier", "TableIdentifier"):
            refuse("parameter", "A parameter stands for a name.", "Write names themselves; bind values only.")
        for key, value in node.items():
            if key == "type" or key in shape.children:
                continue
            if key in shape.values:
                _plain(value, node)
            elif key in REFUSED:
                refuse(*REFUSED[key])
            elif key == "name_parts" and node["type"] == "TableIdentifier":
                self._no_table(".".join(map(str, value)))
            elif value not in (False, None):
                refuse(
                    "unknown",
                    f"The guard does not know “{shown(key)}” in {shown(node['type'])}.",
                    "Write it in another way, with plain SELECT, FROM, WHERE, GROUP BY and ORDER BY.",
                )
        alias = node.get("alias")
        if alias == "project_id":
            refuse("name", "Nothing may be named project_id.", "Choose another name; all rows are of one project.")
        if alias is not None and node["type"] in ("TableIdentifier", "Subquery") and "." in alias:
            refuse("name", f"“{shown(alias)}” cannot be a table's name.", "Use letters, digits and _ only.")

    def _unknown(self, node: Any) -> NoReturn:
        kind = node.get("type", "") if isinstance(node, dict) else ""
        refuse(
            "unknown",
            f"The guard does not know the construct “{shown(kind)}”.",
            "Write it in another way, with plain SELECT, FROM, WHERE, GROUP BY and ORDER BY.",
        )

    # -- tables -------------------------------------------------------------------------------------------------------

    def _subquery(self, node: Node, scope: Scope) -> None:
        self._shape(node)
        for child in node["children"]:
            if child.get("type") != "SelectWithUnionQuery":
                self._unknown(child)
            self._query(child, scope)

    def _table_expression(self, node: Node, scope: Scope) -> None:
        self._shape(node)
        if table := node.get("database_and_table_name"):
            if table.get("type") != "TableIdentifier":
                self._unknown(table)
            self._shape(table)
            self._table(str(table["name"]), scope)
        if function := node.get("table_function"):
            self._table_function(function, scope)
        self._children(node, scope, skip=("database_and_table_name", "table_function"))

    def _table(self, name: str, scope: Scope) -> None:
        if name in scope.ctes:
            return
        if name not in scope.relations:
            self._no_table(name, scope)
        self.used.add(name)

    def _no_table(self, name: str, scope: Scope | None = None) -> NoReturn:
        known = [*self.columns, *(scope.ctes if scope else ())]
        near = similar(name.rpartition(".")[2], known)
        refuse(
            "table",
            f"There is no table {shown(name)}." + (f" Did you mean {near}?" if near else ""),
            "Read from traces, observations, scores, and from queries that stand before in WITH; no database's name.",
        )

    def _table_function(self, node: Node, scope: Scope) -> None:
        check_table_function(node, self.functions, self.parse)
        self._shape(node)
        self._children(node, scope)

    # -- values -------------------------------------------------------------------------------------------------------

    def _function(self, node: Node, scope: Scope) -> None:
        self._shape(node)
        name = str(node["name"])
        if name not in scope.lambdas:
            self._callable(name, self.functions.of(name))
        lowered = name.lower()
        arguments = node.get("arguments", {}).get("children", [])
        if _IN.fullmatch(lowered) and len(arguments) > 1:
            self._in(arguments, scope)
        if lowered == "exists" and any(argument.get("type") != "Subquery" for argument in arguments):
            refuse("table", "EXISTS needs a sub-query.", "Write EXISTS (SELECT …).")
        if lowered in _NAMED_AGGREGATE:
            self._named_aggregate(name, arguments)
        if _TYPED.fullmatch(lowered) and len(arguments) > 1 and text_of(arguments[-1]) is None:
            refuse("function", f"{name} needs its type as a plain text.", "Write the type itself, such as 'UInt64'.")
        self._children(node, scope)

    def _callable(self, name: str, found: Class | None) -> None:
        if found is None:
            near = self.functions.similar(name)
            refuse(
                "function",
                f"There is no function {shown(name)}, or it is not known to be harmless."
                + (f" Did you mean {near}?" if near else ""),
                "Use another function of ClickHouse.",
            )
        if not found.allowed:
            refuse("function", f"The function {shown(name)} {found.why}.", found.instead)

    def _in(self, arguments: list[Node], scope: Scope) -> None:
        right = arguments[1]
        if right.get("type") != "Identifier":
            return
        self._shape(right)
        name = str(right["name"])
        if "name_parts" not in right and name in scope.ctes and "alias" not in right:
            table = {"type": "TableIdentifier", "name": name}
            source = {"type": "TableExpression", "database_and_table_name": table}
            arguments[1] = as_subquery(as_query(select_all(source)))
            return
        refuse(
            "table",
            f"IN {shown(name)} could name a table.",
            "Write IN (SELECT … FROM …), IN (value, value), or has(array, value).",
        )

    def _named_aggregate(self, name: str, arguments: list[Node]) -> None:
        text = text_of(arguments[0]) if arguments else None
        if text is None:
            refuse("function", f"{name} needs the name of its function as a plain text.", "Write it as 'sum'.")
        aggregate = text.partition("(")[0].strip()
        if not re.fullmatch(r"\w+\s*(\([\d\s.,]*\))?", text):
            refuse(
                "function", f"{name} cannot use “{shown(text)}”.", "Write a name and numbers, as in 'quantile(0.5)'."
            )
        self._callable(aggregate, self.functions.of_aggregate(aggregate))

    def _apply(self, node: Node, scope: Scope) -> None:
        self._shape(node)
        if name := node.get("func_name"):
            self._callable(str(name), self.functions.of(str(name)))
        self._children(node, scope)

    def _identifier(self, node: Node) -> None:
        self._shape(node)
        parts = [str(part) for part in node.get("name_parts") or [node["name"]]]
        if len(parts) == 1:
            found = self.functions.named_like(parts[0])
            is_own = self._names.is_column(parts[0]) or (
                found is not None and found.harmless and self._names.is_defined(parts[0])
            )
            if found is not None and not found.allowed and not is_own:
                refuse(
                    "function",
                    f"{shown(parts[0])} could stand for a function that {found.why}.",
                    f"If it is a name of yours, choose another one. {found.instead}",
                )
            if found is not None:
                return
        if "project_id" in parts:
            refuse("column", "There is no column project_id.", "Leave it out: all rows are of one project.")
        self._names.check(parts)

    def _literal(self, node: Node) -> None:
        self._shape(node)
        text = text_of(node)
        if text is not None and _STATE in text.lower():
            refuse("function", "States of aggregate functions cannot be made from text.", "Aggregate the rows.")

    def _parameter(self, node: Node) -> None:
        self._shape(node)
        name, kind = str(node["name"]), str(node["param_type"])
        check_type(name, kind)
        if self.parameters.setdefault(name, kind) != kind:
            refuse("parameter", f"The parameter {shown(name)} has two types.", "Give it one type throughout.")


def _plain(value: Any, node: Node) -> None:
    """Refuses nodes where plain values are expected."""
    for item in _flat(value):
        if isinstance(item, dict) and not item.keys() <= {"field_type", "value"}:
            refuse(
                "unknown",
                f"The guard does not know a part of {shown(node['type'])}.",
                "Write it in another way, with plain SELECT, FROM, WHERE, GROUP BY and ORDER BY.",
            )


def _flat(value: Any) -> Iterator[Any]:
    yield value
    if isinstance(value, dict):
        yield from _flat(value.get("value"))
    elif isinstance(value, list):
        for item in value:
            yield from _flat(item)
