"""describe_data: what there is to ask about, and how."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

from hansei.contracts import Evidence
from hansei.tools.inquiry.answer import Answer
from hansei.tools.inquiry.bounds import Bounds
from hansei.tools.inquiry.columns import DIMENSIONS, MEANINGS, RELATIONS, WIDE, RelationName
from hansei.tools.inquiry.notebook import Notebook
from hansei.tools.inquiry.wording import UNTRUSTED, fitted, plural, section
from hansei.tools.langfuse.dataset import Dataset
from hansei.tools.langfuse.untrusted import one_line

Topic = Literal["all", "traces", "observations", "scores"]

DIALECT = Path(__file__).with_name("dialect.md")

FEWEST = 5
"""Rows that must carry a value before it is shown: what is rarer may be about one person."""
MOST_VALUES = 500
"""Different values beyond which a column holds texts rather than names, of which none is shown."""
MOST_NOTES = 50
"""The same for what applications note, which is chosen with less care."""
SHOWN = 8

_TIME = {"traces": "timestamp", "observations": "start_time", "scores": "timestamp"}


def describe_data(dataset: Dataset, bounds: Bounds, notebook: Notebook, topic: Topic = "all") -> Answer:
    """Columns, values that occur in the window, and the dialect. Its evidence is the queries for what occurs."""
    wanted: tuple[RelationName, ...] = tuple(RELATIONS) if topic == "all" else (topic,)
    evidence = [item for relation in wanted for item in _look(dataset, notebook, relation)]
    window = dataset.periods.window
    head = [
        f"Project data in Langfuse's {dataset.adapter.version} schema. Window: {window.start:%Y-%m-%d %H:%M} to "
        f"{window.end:%Y-%m-%d %H:%M} UTC; baseline from {dataset.periods.baseline.start:%Y-%m-%d %H:%M}.",
    ]
    for relation in wanted:
        head.append(f"\n{relation}: {RELATIONS[relation]}.")
        head += [f"  {name} {kind}: {MEANINGS[relation][name]}" for name, kind in _types(dataset, relation)]
    if topic == "all":
        head.append("\n" + DIALECT.read_text(encoding="utf-8").strip())
    occurs = "What occurs in the window (metadata: on its last day), most frequent first, rows in brackets."
    head.append(f"\n{occurs} {UNTRUSTED}\n")
    told = fitted("\n".join(head), bounds.describe_characters - 1_000)
    lines = [line for item in evidence for line in _lines(item, bounds)]
    shown, _ = section(lines, bounds.describe_characters - len(told), "… {count} more lines: ask for one relation")
    return Answer(told + shown, [item.id for item in evidence])


def _types(dataset: Dataset, relation: RelationName) -> list[tuple[str, str]]:
    """The relation's columns and their types, in the relation's order; only those that have a meaning here."""
    sql = dataset.bind(f"SELECT * FROM {relation} LIMIT 0", (relation,), WIDE[relation])
    found = dataset.ask("columns", "describe: columns", f"DESCRIBE TABLE (\n{sql}\n)").records()
    return [(str(row["name"]), _short(str(row["type"]))) for row in found if row["name"] in MEANINGS[relation]]


def _short(kind: str) -> str:
    return kind.replace("LowCardinality(String)", "String")


def _look(dataset: Dataset, notebook: Notebook, relation: RelationName) -> Iterable[Evidence]:
    for purpose, query in _questions(relation).items():
        id = notebook.id_for(dataset, "describe_data", relation, purpose)
        known = notebook.get(id)
        if known is None:
            window = dataset.periods.window
            # Maps are read whole, so metadata are asked for of the last day only.
            since = max(window.start, window.end - timedelta(days=1)) if purpose == "notes" else window.start
            bound = dataset.bind(query, (relation,))
            known = dataset.ask(id, f"describe: {purpose} of {relation}", bound, since=since)
        yield notebook.keep(known)


def _questions(relation: RelationName) -> dict[str, str]:
    """Purpose → SQL. Columns of values and notes: what, dimension, value, n, different, since, until."""
    names = DIMENSIONS[relation]
    pairs = "[('rows', ''), " + ", ".join(f"('{name}', toString({name}))" for name in names if name != "tags") + "]"
    if "tags" in names:
        pairs = f"arrayConcat({pairs}, arrayMap(tag -> ('tags', tag), tags))"
    time = _TIME[relation]
    values = f"""
SELECT '{relation}' AS what, dimension, if(different > {MOST_VALUES} OR n < {FEWEST}, '', value) AS value, n,
  different, if(dimension = 'rows', formatDateTime(first, '%F %T'), '') AS since,
  if(dimension = 'rows', formatDateTime(last, '%F %T'), '') AS until
FROM (
  SELECT pair.1 AS dimension, pair.2 AS value, sum(c.n) AS n, min(c.begin) AS first, max(c.end) AS last,
    count() OVER (PARTITION BY dimension) AS different
  FROM (
    SELECT {", ".join(names)}, count() AS n, min({time}) AS begin, max({time}) AS end FROM {relation} GROUP BY ALL
  ) AS c ARRAY JOIN {pairs} AS pair
  WHERE dimension = 'rows' OR value != ''
  GROUP BY dimension, value
)
ORDER BY dimension != 'rows', dimension, n DESC, value LIMIT {SHOWN} BY dimension"""
    if relation == "scores":
        return {"values": values, "names": _SCORES}
    notes = f"""
SELECT '{relation}' AS what, dimension, if(different > {MOST_NOTES} OR n < {FEWEST}, '', value) AS value, n,
  different, '' AS since, '' AS until
FROM (
  SELECT concat('metadata.', pair.1) AS dimension, pair.2 AS value, count() AS n,
    count() OVER (PARTITION BY dimension) AS different, sum(n) OVER (PARTITION BY dimension) AS rows
  FROM {relation} ARRAY JOIN arrayZip(mapKeys(metadata), mapValues(metadata)) AS pair
  GROUP BY dimension, value
)
WHERE rows >= {FEWEST}
ORDER BY rows DESC, dimension, n DESC, value LIMIT {SHOWN} BY dimension LIMIT 200"""
    return {"values": values, "notes": notes}


_SCORES = f"""
SELECT name, data_type, sum(p.n) AS n, min(p.low) AS low, max(p.high) AS high,
  round(sum(p.total) / sum(p.n), 4) AS mean,
  arraySlice(arraySort(pair -> (-pair.2, pair.1),
    groupArrayIf((p.category, p.n), p.category != '' AND p.n >= {FEWEST})), 1, {SHOWN}) AS categories
FROM (
  SELECT name, data_type, if(data_type = 'CATEGORICAL', string_value, '') AS category, count() AS n,
    min(value) AS low, max(value) AS high, sum(value) AS total
  FROM scores GROUP BY ALL
) AS p
GROUP BY name, data_type ORDER BY n DESC, name, data_type LIMIT 40"""


def _lines(evidence: Evidence, bounds: Bounds) -> list[str]:
    """What a query of ours found, a line for each column or score."""
    records = evidence.records()
    if not records and "values" in evidence.purpose:
        return [f"{evidence.purpose.rpartition(' ')[2]}: no rows ({evidence.id})"]
    if "categories" in evidence.columns:
        return [_score(row, bounds) for row in records]
    lines: dict[tuple[str, str], list[str]] = {}
    for row in records:
        n, value = int(row["n"]), one_line(str(row["value"]), 60, bounds.masking)
        if row["dimension"] == "rows":
            said = f"from {row['since']} to {row['until']}"
            lines[str(row["what"]), f"{plural(n, 'row')} {said} ({evidence.id})"] = []
        else:
            told = lines.setdefault((str(row["what"]), str(row["dimension"])), [])
            if value:
                told.append(f"{value} ({n:,})")
            elif not told:
                told.append(f"{row['different']:,} different values, none shown")
    return [f"{what}: {name}{': ' if values else ''}{'; '.join(values)}" for (what, name), values in lines.items()]


def _score(row: dict[str, Any], bounds: Bounds) -> str:
    name, kind = one_line(str(row["name"]), 60, bounds.masking), one_line(str(row["data_type"]), 20, bounds.masking)
    if kind == "CATEGORICAL":
        told = "; ".join(f"{one_line(str(value), 40, bounds.masking)} ({n:,})" for value, n in row["categories"])
    elif kind == "BOOLEAN":
        told = f"share of 1: {row['mean']}"
    else:
        told = f"from {row['low']} to {row['high']}, mean {row['mean']}"
    return f"score {name}: {kind}, {plural(int(row['n']), 'row')}, {told}"
