"""SQL that has been bound already: are the definitions in it those that Hansei writes?"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hansei.tools.clickhouse.guard.refusal import refuse
from hansei.tools.clickhouse.guard.trees import Node, as_query, as_subquery, nodes, same, select_text, text_of

HOLE = "hansei_condition"
"""Stands in a trusted definition where a statement may have a condition of its own."""


@dataclass(frozen=True)
class Found:
    """A relation's definition in a statement, which is one of the trusted ones but for its conditions.

    `text` is the trusted one; `conditions` are what the statement has in the place of its `HOLE`; `mark` is what stands
    for it in the statement, if it has been cut out.
    """

    name: str
    tree: Node
    text: str
    conditions: tuple[Node, ...]
    mark: str = ""


class Trusted:
    """The definitions that may stand in a statement."""

    def __init__(
        self, names: Iterable[str], definitions: Iterable[tuple[str, str]], parse: Callable[[str], Node]
    ) -> None:
        """Parses no more of the definitions than it has to.

        Args:
            names: of the relations.
            definitions: name and text.
            parse: the engine's parser.
        """
        self._names = frozenset(names)
        self._definitions = list(dict.fromkeys(definitions))
        self._by_length = sorted({text.strip() for _, text in self._definitions}, key=len, reverse=True)
        self._parse = parse
        self._trees: dict[str, Node] = {}

    def cut(self, sql: str) -> tuple[str, dict[str, str]]:
        """The SQL with a mark in the place of each trusted definition, which saves parsing it, and mark → definition.

        What a mark stands for is known only after `holds`: the text of a definition may be a part of something else.
        """
        marks: dict[str, str] = {}
        for text in self._by_length:
            while text in sql:
                mark = secrets.token_hex(16)
                sql = sql.replace(text, f"SELECT '{mark}'", 1)
                marks[mark] = text
        return sql, marks

    def holds(self, tree: Node, marks: Mapping[str, str]) -> bool:
        """Whether each mark is the whole definition of a relation, and stands nowhere else."""
        if not marks:
            return True
        whole = [_mark_of(element) for element in self.elements(tree)]
        text = json.dumps(tree)
        return all(whole.count(mark) == text.count(mark) == 1 for mark in marks)

    def elements(self, tree: Node) -> Iterator[Node]:
        """The parts of a statement that define a relation, wherever they stand; not those inside of a definition."""
        for node in nodes(tree):
            if node.get("type") == "WithElement" and node.get("name") in self._names:
                yield node

    def find(self, element: Node, marks: Mapping[str, str]) -> Found:
        """The trusted definition that an element holds, or the mark of one.

        Raises:
            QueryRefused: it is none.
        """
        name = str(element["name"])
        query = ((element.get("subquery") or {}).get("children") or [{}])[0]
        if element.keys() == {"type", "name", "subquery"} and same(element["subquery"], as_subquery(query)):
            mark = _mark_of(element)
            if (cut := marks.get(mark)) and any((name, cut) == (n, t.strip()) for n, t in self._definitions):
                return Found(name, self._tree(cut), cut, (), mark)
            for at, (other, text) in enumerate(self._definitions):
                conditions = _conditions(self._tree(text), query) if other == name else None
                if conditions is not None:
                    # A report's queries hold few forms: what was found is looked at first the next time.
                    self._definitions.insert(0, self._definitions.pop(at))
                    return Found(name, query if conditions else self._tree(text), text, tuple(conditions))
        refuse("table", f"The definition of {name} is not one that Hansei writes.", "Leave it as it was written.")

    def _tree(self, text: str) -> Node:
        if text not in self._trees:
            self._trees[text] = self._parse(text)
        return self._trees[text]


def _mark_of(element: Node) -> str:
    """The text of a definition that is nothing but ``SELECT 'text'``."""
    query = ((element.get("subquery") or {}).get("children") or [{}])[0]
    for node in nodes(query):
        if (text := text_of(node)) and same(query, as_query(select_text(text))):
            return text
    return ""


def _conditions(definition: Any, tree: Any) -> list[Node] | None:
    """What stands in the tree where the definition has a hole; None: the tree is another one.

    A SELECT of the tree may lack columns that the definition's has: the rows are the same.
    """
    if isinstance(definition, dict) and definition.get("type") == "Identifier" and definition.get("name") == HOLE:
        return [tree] if isinstance(tree, dict) else None
    if isinstance(definition, dict) and isinstance(tree, dict):
        if definition.get("type") != tree.get("type"):
            return None
        keys = (definition.keys() | tree.keys()) - {"is_operator"}
        pairs = [(definition.get(key) or None, tree.get(key) or None) for key in sorted(keys)]
        if definition.get("type") == "SelectQuery":
            whole, part = ((one.get("select") or {}).get("children") or [] for one in (definition, tree))
            if len(part) < len(whole):
                left = iter(whole)
                if not part or not all(any(same(column, one) for one in left) for column in part):
                    return None
                pairs = [(one, other) for key, (one, other) in zip(sorted(keys), pairs, strict=True) if key != "select"]
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
