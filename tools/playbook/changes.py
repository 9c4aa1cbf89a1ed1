"""What was new in the traces: a release or version of an app, a model of a step, a version of a prompt, a tool's
definition.

Charts mark these days: what begins on the day of an onset is the first thing to look at.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from hansei.contracts import Change, Evidence, Periods, Segment, parse_instant
from hansei.tools.langfuse.dataset import Dataset
from hansei.tools.langfuse.relations import Needs

_SETTLED = timedelta(hours=24)
"""What was there this early counts as always there: before the baseline nothing is read."""

_LEAST = 20
_LEAST_SHARE = 0.02
"""Below these in the window a new value is an experiment, not a change."""

_STEPS = """
SELECT name, model, prompt_name, prompt_version, formatDateTime(min(start_time), '%FT%TZ', 'UTC') AS first,
  countIf(start_time >= {window_start:DateTime64(6, 'UTC')}) AS now
FROM observations
WHERE model != '' OR prompt_name != ''
GROUP BY name, model, prompt_name, prompt_version
ORDER BY count() DESC, name, model, prompt_name, prompt_version
LIMIT 300"""


def read_steps(dataset: Dataset) -> Evidence:
    """Asks which models and prompt versions each step used, and since when.

    Columns: name, model, prompt_name, prompt_version, first (ISO time), now (calls in the window). The most frequent
    combinations only.
    """
    return dataset.ask("health.steps", "changes", dataset.bind(_STEPS, ("observations",)))


# A definition that is written anew for each call (with today's date in it) has many hashes, and so few calls of each.
_TOOLS = """
SELECT name, tool, hex(cityHash64(definition)) AS definition, formatDateTime(min(start_time), '%FT%TZ', 'UTC') AS first,
  countIf(start_time >= {window_start:DateTime64(6, 'UTC')}) AS now
FROM observations
ARRAY JOIN mapKeys(tool_definitions) AS tool, mapValues(tool_definitions) AS definition
WHERE type = 'GENERATION' AND toMinute(start_time) < {minutes:UInt8}
GROUP BY name, tool, definition
ORDER BY count() DESC, name, tool, definition
LIMIT 300"""

ENOUGH = 1_000_000
"""Of more observations the calls of some minutes of each hour are read for the definitions of tools: they are long."""


def read_tools(dataset: Dataset, observations: int) -> Evidence | None:
    """Asks how the tools that each step is offered were defined, and since when; None when no definitions are kept.

    Columns: name (of the step), tool, definition (a hash), first (ISO time), now (calls in the window, of those read).

    Args:
        observations: how many the project has in both periods.
    """
    if not dataset.adapter.has_tools:
        return None
    minutes = 60 if observations <= ENOUGH else max(1, 60 * ENOUGH // observations)
    sql = dataset.bind(_TOOLS, ("observations",), Needs(tools=True))
    return dataset.ask("health.tools", "changes", sql, {"minutes": minutes})


def changes_of(rows: Sequence[dict[str, Any]], periods: Periods) -> list[Change]:
    """What was new: values that took a place where there were others before.

    Args:
        rows: of `read_steps` and `read_tools`, and of traces with the columns name, release, version, first and now.
        periods: the spans that were read.
    """
    seen: dict[_Place, dict[str, _Seen]] = defaultdict(dict)
    for row in rows:
        for place, columns, dimension in _PLACES:
            if row.get(dimension) is not None and all(row.get(column) for column in columns):
                where = tuple(zip(place, (str(row[column]) for column in columns), strict=True))
                own = seen[where, dimension].setdefault(str(row[dimension]), _Seen())
                own.add(parse_instant(str(row["first"])), int(row["now"]))
    found = []
    for (where, dimension), values in seen.items():
        total = sum(one.now for one in values.values())
        oldest = min(one.first for one in values.values())
        for value, one in values.items():
            late = one.first > max(oldest, periods.baseline.start + _SETTLED)
            if late and value and one.now >= _LEAST and one.now >= _LEAST_SHARE * total:
                what: Segment = {} if dimension == "definition" else {dimension: value}
                hash = value if dimension == "definition" else ""
                found.append(
                    Change(
                        segment={**dict(where), **what}, definition=hash, first_seen=one.first, share=one.now / total
                    )
                )
    return sorted(found, key=lambda change: (change.first_seen, sorted(change.segment.items()), change.definition))


_Place = tuple[tuple[tuple[str, str], ...], str]
"""The place as pairs of dimension and value, and the dimension of what may be new there."""

_PLACES = (
    (("trace_name",), ("name",), "release"), (("trace_name",), ("name",), "version"),
    (("observation_name",), ("name",), "model"), (("prompt_name",), ("prompt_name",), "prompt_version"),
    (("observation_name", "tool_name"), ("name", "tool"), "definition"),
)  # fmt: skip
"""(dimensions of the place, their columns, dimension of what may be new, which is also its column)."""


_NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass
class _Seen:
    first: datetime = _NEVER
    now: int = 0

    def add(self, first: datetime, now: int) -> None:
        self.first = min(self.first, first)
        self.now += now
