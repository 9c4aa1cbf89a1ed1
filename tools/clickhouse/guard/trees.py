"""Pieces of syntax trees, as the engine's parser gives them and takes them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Node = dict[str, Any]


def nodes(value: Any) -> Iterator[Node]:
    """All nodes of a syntax tree."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            yield item
            waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)


def text_of(node: Node) -> str | None:
    """The text of a text's literal; None for anything else."""
    value = node.get("value") if node.get("type") == "Literal" else None
    is_text = isinstance(value, dict) and value.get("field_type") == "String"
    return str(value["value"]) if is_text and value is not None else None


def name_of(identifier: Node) -> str:
    """The last part of an identifier: ``id`` of ``t.id``."""
    return str((identifier.get("name_parts") or [identifier.get("name")])[-1])


def tables_of(select: Node) -> list[str]:
    """The tables that a SELECT names in its FROM, without those of its sub-queries."""
    elements = (select.get("tables") or {}).get("children", [])
    sources = [(element.get("table_expression") or {}).get("database_and_table_name") or {} for element in elements]
    return [str(source["name"]) for source in sources if "name" in source]


def select_all(source: Node) -> Node:
    """``SELECT * FROM source``"""
    element = {"type": "TablesInSelectQueryElement", "table_expression": source}
    return {
        "type": "SelectQuery",
        "select": {"type": "ExpressionList", "children": [{"type": "Asterisk"}]},
        "tables": {"type": "TablesInSelectQuery", "children": [element]},
    }


def select_text(text: str) -> Node:
    """``SELECT 'text'``"""
    literal = {"type": "Literal", "value": {"field_type": "String", "value": text}}
    return {"type": "SelectQuery", "select": {"type": "ExpressionList", "children": [literal]}}


def as_query(select: Node) -> Node:
    """A SELECT as a whole statement."""
    return {
        "type": "SelectWithUnionQuery",
        "union_mode": "UNION_DEFAULT",
        "list_of_selects": {"type": "ExpressionList", "children": [select]},
    }


def as_subquery(query: Node) -> Node:
    """A query in parentheses."""
    return {"type": "Subquery", "children": [query]}


def same(one: Any, other: Any) -> bool:
    """Whether two syntax trees are equal. What is not set may be left out, and operators may be calls: ``a || b``."""
    if isinstance(one, dict) and isinstance(other, dict):
        keys = (one.keys() | other.keys()) - {"is_operator"}
        return all(same(one.get(key) or None, other.get(key) or None) for key in keys)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return one is other or (type(one) is type(other) and bool(one == other))
