"""Copies of the three relations over a run's whole range, for small data in an embedded engine.

They hold the widest form of each relation, with a day of slack, so that every form of a definition is a part of them.
A question that was written for the definitions gives the same answer over them; the evidence keeps the definitions.
What the critic asks has copies of its own, made without FINAL as its definitions are, without texts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hansei.tools.clickhouse.copies import Copies, Shortcut
from hansei.tools.langfuse.narrowing import bound, narrowed
from hansei.tools.langfuse.relations import COLUMNS, NEARBY, SLACK_DAYS, Adapter, Needs, in_range, in_spans

AT_MOST = 300_000
"""Observations in both periods up to which a run copies them."""

RANGE = ("project_id", "range_start", "range_end", "environments")
"""The parameters that copies are made for."""

_ENDS = ("range_start", "range_end")
_NOT_RAW = frozenset({"input", "output", "metadata", "model_parameters"})
"""Columns that the copies without FINAL lack: they are large, and few of the critic's questions need them."""
_NOT_OF_SCORES = frozenset({"input", "metadata"})
"""Columns that the copy of scores lacks: a trace's, which would be there once for each of its scores."""
_WORD = re.compile(r"\w+")
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
        tables = {}
        for relation, select in self.adapter.widest(_table("traces")).items():
            tables[_table(relation)] = _narrow(select, _columns(relation))
        for relation in COLUMNS:
            tables[_table(f"raw_{relation}")] = _narrow(self.adapter.raw(relation), self._raw_columns(relation))
        start, end = (self.parameters[name] for name in _ENDS)
        spans = {"first_start": start, "first_end": end, "second_start": start, "second_end": end}
        return Copies(self.name, tables, {**self.parameters, **spans, "sample": 1, "slack_days": SLACK_DAYS})

    def shortcut(self, sql: str, relations: frozenset[str], needs: Needs) -> Shortcut | None:
        """`sql` over the copies instead of the definitions that it needs; None: they do not hold what it needs."""
        if needs.tools or ("scores" in relations and not _NOT_OF_SCORES.isdisjoint(_WORD.findall(sql))):
            return None
        return Shortcut(self.name, bound({name: _definition(name) for name in sorted(relations)}, sql))

    def are_for(self, parameters: Mapping[str, Any], relations: frozenset[str], needs: Needs) -> bool:
        """Whether a question with these parameters has the same answer over the copies.

        It is about all that was copied; or about a part of its time, and of observations alone: what is looked up for
        them, or added up, would be looked for a day around that part only.
        """
        if not self._are_of(parameters):
            return False
        asked, copied = ([values[name] for name in _ENDS] for values in (parameters, self.parameters))
        alone = relations == {"observations"} and not needs.trace
        return asked == copied or (alone and copied[0] <= asked[0] and asked[1] <= copied[1])

    def raw_shortcut(self, sql: str, relations: frozenset[str]) -> Shortcut | None:
        """`sql` over the copies that were made without FINAL; None: they do not hold what it needs."""
        if not _NOT_RAW.isdisjoint(_WORD.findall(sql)):
            return None
        definitions = {f"raw_{name}": self._raw_definition(name) for name in sorted(relations)}
        return Shortcut(self.name, bound(definitions, sql))

    def are_raw_for(self, parameters: Mapping[str, Any], relations: frozenset[str]) -> bool:
        """Whether a question that is asked without FINAL has the same answer over the copies: about all of it."""
        spans = [[parameters.get(f"{which}_{end}") for end in ("start", "end")] for which in ("first", "second")]
        copied = [self.parameters[name] for name in _ENDS]
        # Without slack a version of a row may lie outside, where the key does not hold the whole time.
        alone = self.adapter.version == "v4" and relations == {"observations"}
        sees_all = parameters.get("slack_days") == SLACK_DAYS or alone
        return self._are_of(parameters) and spans == [copied, copied] and parameters.get("sample") == 1 and sees_all

    def _are_of(self, parameters: Mapping[str, Any]) -> bool:
        return all(parameters.get(name) == self.parameters[name] for name in RANGE if name not in _ENDS)

    def _raw_columns(self, relation: str) -> list[str]:
        return [name for name in self.adapter.raw_columns(relation) if name not in _NOT_RAW]

    def _raw_definition(self, relation: str) -> str:
        """A relation without FINAL as a part of its copy. Observations alone may be asked for without slack."""
        when = f"\n    WHERE {in_spans('start_time', slack=True)}" if relation == "observations" else ""
        return f"SELECT {', '.join(self._raw_columns(relation))}\n    FROM {_table(f'raw_{relation}')}{when}"


def _columns(relation: str) -> list[str]:
    return [name for name in COLUMNS[relation] if relation != "scores" or name not in _NOT_OF_SCORES]


def _narrow(select: str, columns: list[str]) -> str:
    named = ", ".join(columns)
    return f"SELECT {named} FROM (\n{narrowed(select, named)}\n)"


def _table(relation: str) -> str:
    return f"hansei_{relation}"


def _definition(relation: str) -> str:
    """A relation as a part of its copy."""
    of = relation.removeprefix("nearby_")
    when = "" if relation in NEARBY else f"\n    WHERE {in_range(_TIME[of])}"
    return f"SELECT {', '.join(_columns(of))}\n    FROM {_table(of)}{when}"
