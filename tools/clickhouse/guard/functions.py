"""What ClickHouse's functions can reach: `functions.toml`, and the aggregate functions that combinators make of it."""

from __future__ import annotations

import difflib
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

Kind = Literal["functions", "aggregates", "table_functions"]

_FILE = Path(__file__).with_name("functions.toml")


@dataclass(frozen=True)
class Class:
    """One section of the file. `why` and `instead` complete a refusal's two lines.

    `harmless` ones reach nothing, but are refused since their values differ from run to run.
    """

    kind: Kind
    name: str
    allowed: bool
    why: str
    instead: str
    harmless: bool


class Functions:
    """The classification of every function, aggregate function and table function of the engine."""

    def __init__(self, text: str) -> None:
        """Reads the file.

        Raises:
            ValueError: a name stands in two sections.
        """
        data = tomllib.loads(text)
        combinators = data.pop("combinators")
        self._combinators = tuple(str(combinators["allowed"]).split())
        self.combinators = frozenset(self._combinators) | frozenset(str(combinators["refused"]).split())
        self._exact: dict[Kind, dict[str, Class]] = {"functions": {}, "aggregates": {}, "table_functions": {}}
        self._any_case: dict[Kind, dict[str, Class]] = {"functions": {}, "aggregates": {}, "table_functions": {}}
        for kind in self._exact:
            for name, section in data[kind].items():
                allowed = section["allowed"]
                harmless = allowed or section.get("harmless", False)
                found = Class(kind, name, allowed, section["why"], section.get("instead", ""), harmless)
                self._add(self._exact[kind], section.get("exact", ""), found)
                self._add(self._any_case[kind], section.get("any_case", ""), found, lower=True)
        self._lowered = {
            name.lower(): found
            for kind in ("functions", "aggregates")
            for name, found in (*self._any_case[kind].items(), *self._exact[kind].items())
        }

    @staticmethod
    def _add(names: dict[str, Class], listed: str, found: Class, *, lower: bool = False) -> None:
        for name in listed.split():
            key = name.lower() if lower else name
            if names.get(key, found) != found:
                raise ValueError(f"The function {name} is classified twice.")
            names[key] = found

    def of(self, name: str) -> Class | None:
        """The class of a function or aggregate function; None: it is not known, so it must not be called."""
        return self._find("functions", name) or self.of_aggregate(name)

    def of_aggregate(self, name: str) -> Class | None:
        """The class of an aggregate function, also with combinators: sumIf, quantilesTDigestArrayIf."""
        if found := self._find("aggregates", name):
            return found
        for suffix in self._combinators:
            if name.endswith(suffix) and (found := self.of_aggregate(name.removesuffix(suffix))):
                return found
        return None

    def of_table_function(self, name: str) -> Class | None:
        """The class of a table function; None: it is not known."""
        return self._exact["table_functions"].get(name)

    def named_like(self, identifier: str) -> Class | None:
        """The class of the function that an identifier may stand for, whatever its case.

        ClickHouse calls some functions without parentheses (``current_user``), and higher-order functions take names of
        functions (``arrayMap(toString, xs)``).
        """
        return self._lowered.get(identifier.lower())

    def similar(self, name: str) -> str:
        """The allowed function that was probably meant, or ''."""
        kinds: tuple[Kind, ...] = ("functions", "aggregates")
        names = {
            key.lower(): key
            for table in (self._any_case, self._exact)
            for kind in kinds
            for key, found in table[kind].items()
            if found.allowed
        }
        near = difflib.get_close_matches(name.lower(), names, n=1, cutoff=0.75)
        return names[near[0]] if near else ""

    def unclassified(self, functions: dict[str, bool], aggregates: dict[str, bool], tables: set[str]) -> list[str]:
        """What an engine has and the file has not, or has with another sensitivity to case.

        Args:
            functions, aggregates: name → whether its case does not matter.
            tables: names of table functions.
        """
        lacking = [name for name in tables if name not in self._exact["table_functions"]]
        listed: tuple[tuple[Kind, dict[str, bool]], ...] = (("functions", functions), ("aggregates", aggregates))
        for kind, names in listed:
            for name, any_case in names.items():
                table, key = (self._any_case, name.lower()) if any_case else (self._exact, name)
                if key not in table[kind]:
                    lacking.append(name)
        return sorted(lacking)

    def _find(self, kind: Kind, name: str) -> Class | None:
        return self._exact[kind].get(name) or self._any_case[kind].get(name.lower())


@cache
def functions() -> Functions:
    """The classification that ships with Hansei."""
    return Functions(_FILE.read_text(encoding="utf-8"))
