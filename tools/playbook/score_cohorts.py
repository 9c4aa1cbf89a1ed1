"""Scores by what their traces carry: tags, metadata and the language of the question."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from hansei.tools.playbook.attributes import (
    LANGUAGE,
    LEAST_TRACES,
    MOST_VALUES,
    NOTED,
    WHOLE,
    Cohorts,
    keys_of,
    with_the_rest,
)
from hansei.tools.playbook.cells import Cells

_NO_CALL = "('', '', '')"
CARRIED = f"""arrayConcat([('{WHOLE}', '', {_NO_CALL})], if(attributes.1 = [] OR NOT has(attributes.1, 'tag'),
    [('tag', '', {_NO_CALL})], []), arrayMap(a -> (a.1, a.2, {_NO_CALL}), arrayFilter(a -> a.1 != '{LANGUAGE}',
    attributes)), arrayMap(c -> ('{LANGUAGE}', arrayFirst(a -> a.1 = '{LANGUAGE}', attributes).2, c),
    if(empty(calls), [{_NO_CALL}], calls)))"""
"""SQL of what a score counts under: (key, value, call). Languages are held against the prompts of the calls as well."""

ATTRIBUTES = f"if(trace_id = '', [], {NOTED})"
"""SQL of what a score's trace carries, as pairs of key and value."""

_DIMENSIONS = ("score", "trace_name", "environment")
_SUMS = ("n", "y", "yy")


def cohorts_of(columns: Mapping[str, Sequence[Any]]) -> Cohorts:
    """Cells by key.

    Args:
        columns: key, value, prompt_name, prompt_version, score, trace_name, environment, day, n, y, yy; of scores of
            one data type.
    """
    rows: dict[str, list[int]] = defaultdict(list)
    carried: dict[str, int] = defaultdict(int)
    often: dict[tuple[str, str], float] = defaultdict(float)
    for i, (key, value) in enumerate(zip(columns["key"], columns["value"], strict=True)):
        rows[str(key)].append(i)
        if key and key != WHOLE and value:
            carried[str(key)] += int(columns["n"][i])
            often[str(key), str(value)] += float(columns["n"][i])
    found = {}
    for key in keys_of(carried):
        told = {value for (of, value), n in often.items() if of == key and n >= LEAST_TRACES}
        if not told or (key.startswith("metadata.") and len(told) > MOST_VALUES):
            continue
        mine = [i for i in rows[key] if not columns["value"][i] or columns["value"][i] in told]
        names = (*_DIMENSIONS, *(("prompt_name", "prompt_version") if key == LANGUAGE else ()))
        part: dict[str, list[Any]] = {name: [columns[name][i] for i in mine] for name in (*names, "day", *_SUMS)}
        part[key] = [columns["value"][i] for i in mine]
        if key.startswith("metadata."):
            with_the_rest(part, key, columns, rows[WHOLE], _DIMENSIONS, _SUMS)
        found[key] = Cells.read(part, (*names, key))
    return Cohorts(found)
