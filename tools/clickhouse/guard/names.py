"""The names that a statement may use: columns of the logical relations, and what it defines itself."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from hansei.tools.clickhouse.guard.refusal import refuse, shown

_MADE = frozenset({"number", "generate_series", "all", "zero"})
"""Columns of the table functions that are allowed, and the word in ORDER BY ALL."""


def similar(name: str, names: Iterable[str]) -> str:
    """The name that was probably meant, or ''."""
    lowered = {other.lower(): other for other in names}
    near = difflib.get_close_matches(name.lower(), lowered, n=1, cutoff=0.7)
    return lowered[near[0]] if near else ""


class Names:
    """Names that are defined somewhere in a statement.

    Where each one may be used is left to ClickHouse, which refuses what it cannot resolve. But its words for that do
    not reach the one who wrote the SQL, so a name that nothing at all defines is refused here, with the one that was
    meant.
    """

    def __init__(self, tree: dict[str, Any], columns: Mapping[str, frozenset[str]], *, is_open: bool = False) -> None:
        """Collects the names.

        Args:
            tree: the statement.
            columns: logical relation → its columns.
            is_open: there are columns that are not known; then no name is refused.
        """
        self._columns = frozenset().union(*columns.values())
        self._defined = {*self._columns, *columns, *_MADE}
        self._is_open = is_open
        for node in _nodes(tree):
            self._define(node)

    def is_column(self, name: str) -> bool:
        """Whether a logical relation has this column."""
        return name in self._columns

    def is_defined(self, name: str) -> bool:
        """Whether the statement defines it somewhere, or a logical relation has this column."""
        return name in self._defined

    def check(self, parts: list[str]) -> None:
        """Refuses a name of which nothing defines the first part.

        Raises:
            QueryRefused: with the name that was probably meant.
        """
        name = parts[0]
        if name in self._defined or self._is_open or not re.fullmatch(r"\w+", name):
            return
        near = similar(name, self._defined)
        refuse(
            "column",
            f"There is no column {shown(name)}." + (f" Did you mean {near}?" if near else ""),
            "Use the columns of traces, observations and scores, and names that the query defines.",
        )

    def _define(self, node: dict[str, Any]) -> None:
        for key in ("alias", "column", "lambda_arg"):
            if isinstance(node.get(key), str):
                self._defined.add(node[key])
        match node.get("type"):
            case "WithElement" | "WindowListElement" | "ColumnsReplaceTransformerReplacement":
                self._defined.add(str(node.get("name")))
                self._list(node.get("aliases"))
            case "TableExpression":
                self._list(node.get("column_aliases"))
            case "Function" if node.get("is_lambda_function"):
                head = (node.get("arguments") or {}).get("children", [{}])[0]
                self._list(head.get("arguments"))
            case "Function" if str(node.get("name")).lower() in ("values", "sqlstandardvalues"):
                self._is_open = True  # its columns are named in a text, or not at all
            case _:
                pass

    def _list(self, names: Any) -> None:
        for node in (names or {}).get("children", []):
            if isinstance(node.get("name"), str):
                self._defined.add(node["name"])


def _nodes(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for item in value.values():
            yield from _nodes(item)
    elif isinstance(value, list):
        for item in value:
            yield from _nodes(item)
