"""SQL that has been bound already: are the definitions in it those that Hansei writes?"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from hansei.tools.clickhouse.guard.refusal import refuse
from hansei.tools.clickhouse.guard.trees import Node, nodes, same

HOLE = "hansei_condition"
"""Stands in a trusted definition where a statement may have a condition of its own."""


@dataclass(frozen=True)
class Found:
    """A relation's definition in a statement, which is one of the trusted ones but for its conditions.

    `text` is the trusted one; `conditions` are what the statement has in the place of its `HOLE`.
    """

    name: str
    tree: Node
    text: str
    conditions: tuple[Node, ...]


class Trusted:
    """The definitions that may stand in a statement."""

    def __init__(
        self, names: Iterable[str], definitions: Iterable[tuple[str, str]], parse: Callable[[str], Node]
    ) -> None:
        """Reads no more of the definitions than it has to.

        Args:
            names: of the relations.
            definitions: name and text.
            parse: the engine's parser.
        """
        self._names = frozenset(names)
        self._waiting = iter(definitions)
        self._parse = parse
        self._known: dict[tuple[str, str], Node] = {}

    def elements(self, tree: Node) -> Iterator[Node]:
        """The parts of a statement that define a relation, wherever they stand; not those inside of a definition."""
        for node in nodes(tree):
            if node.get("type") == "WithElement" and node.get("name") in self._names:
                yield node

    def find(self, element: Node) -> Found:
        """The trusted definition that an element holds.

        Raises:
            QueryRefused: it is none.
        """
        name = str(element["name"])
        queries = (element.get("subquery") or {}).get("children") or [{}]
        if element.keys() == {"type", "name", "subquery"} and same(element["subquery"], _subquery(queries[0])):
            for text, definition in self._of(name):
                conditions = _conditions(definition, queries[0])
                if conditions is not None:
                    return Found(name, queries[0], text, tuple(conditions))
        refuse("table", f"The definition of {name} is not one that Hansei writes.", "Leave it as it was written.")

    def _of(self, name: str) -> Iterator[tuple[str, Node]]:
        """The definitions of a relation: those that were needed before, then the others."""
        yield from [(text, tree) for (known, text), tree in self._known.items() if known == name]
        for other, text in self._waiting:
            if (other, text) not in self._known:
                tree = self._known[other, text] = self._parse(text)
                if other == name:
                    yield text, tree


def _subquery(query: Node) -> Node:
    return {"type": "Subquery", "children": [query]}


def _conditions(definition: Any, tree: Any) -> list[Node] | None:
    """What stands in the tree where the definition has a hole; None: the tree is another one."""
    if isinstance(definition, dict) and definition.get("type") == "Identifier" and definition.get("name") == HOLE:
        return [tree] if isinstance(tree, dict) else None
    if isinstance(definition, dict) and isinstance(tree, dict):
        if definition.get("type") != tree.get("type"):
            return None
        keys = (definition.keys() | tree.keys()) - {"is_operator"}
        pairs = [(definition.get(key) or None, tree.get(key) or None) for key in sorted(keys)]
    elif isinstance(definition, list) and isinstance(tree, list) and len(definition) == len(tree):
        pairs = list(zip(definition, tree, strict=True))
    else:
        return [] if same(definition, tree) else None
    found: list[Node] = []
    for one, other in pairs:
        inner = _conditions(one, other)
        if inner is None:
            return None
        found += inner
    return found
