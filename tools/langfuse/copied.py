"""Copies of the three relations over a run's whole range, for small data in an embedded engine.

They hold the widest form of each relation, with a day of slack, so that every form of a definition is a part of them.
A question that was written for the definitions gives the same answer over them; the evidence keeps the definitions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hansei.tools.clickhouse.copies import Copies, Shortcut
from hansei.tools.langfuse.narrowing import bound
from hansei.tools.langfuse.relations import COLUMNS, NEARBY, Adapter, Needs, in_range

AT_MOST = 300_000
"""Observations in both periods up to which a run copies them."""

RANGE = ("project_id", "range_start", "range_end", "environments")
"""The parameters that copies are made for."""

_TIME = {"traces": "timestamp", "observations": "start_time", "scores": "timestamp"}


@dataclass(frozen=True)
class Copied:
    """A run's copies of the relations, which its session may hold.

    Args:
        name: of the run.
        adapter: writes the relations.
        parameters: values of those in `RANGE`.
    """

    name: str
    adapter: Adapter
    parameters: Mapping[str, Any]

    @property
    def copies(self) -> Copies:
        """What the session is to copy."""
        widest = self.adapter.widest()
        return Copies(self.name, {_table(name): select for name, select in widest.items()}, self.parameters)

    def shortcut(self, sql: str, relations: frozenset[str], needs: Needs) -> Shortcut | None:
        """`sql` over the copies instead of the definitions that it needs; None: they do not hold what it needs."""
        if needs.tools:
            return None
        return Shortcut(self.name, bound({name: _definition(name) for name in sorted(relations)}, sql))

    def are_for(self, parameters: Mapping[str, Any]) -> bool:
        """Whether a question with these parameters is about all that was copied."""
        return all(parameters.get(name) == self.parameters[name] for name in RANGE)


def _table(relation: str) -> str:
    return f"hansei_{relation}"


def _definition(relation: str) -> str:
    """A relation as a part of its copy."""
    of = relation.removeprefix("nearby_")
    when = "" if relation in NEARBY else f"\n    WHERE {in_range(_TIME[of])}"
    return f"SELECT {', '.join(COLUMNS[of])}\n    FROM {_table(of)}{when}"
