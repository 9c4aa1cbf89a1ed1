"""The texts of many traces that checks look at: what was asked, answered, called and retrieved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hansei.tools.langfuse.dataset import Dataset
from hansei.tools.langfuse.trace_rows import read_spans, read_texts, read_trace_rows
from hansei.tools.langfuse.untrusted import Text
from hansei.tools.playbook.texts import FINDS_NOTHING, LOOKS_FAILED, SEARCHES

AT_ONCE = 500
"""Traces that one query reads."""

MOST_CALLS = 10
"""Of each trace: model calls, or steps of the names that were asked for."""

MOST_SEARCHES = 5


@dataclass(frozen=True)
class Output:
    """What a step gave."""

    id: str
    name: str
    text: Text


@dataclass(frozen=True)
class TraceTexts:
    """The texts of one trace.

    Args:
        question, answer: the trace's own input and output; where it has none, those of its first step, and of the last
            model call that ended well.
        calls: model calls and steps whose names were asked for.
        retrieved: searches that found something.
    """

    question: Text
    answer: Output
    calls: tuple[Output, ...]
    retrieved: tuple[Output, ...]


def read_trace_texts(dataset: Dataset, trace_ids: Sequence[str], steps: Sequence[str] = ()) -> dict[str, TraceTexts]:
    """Reads them, by trace.

    Args:
        dataset: the data.
        trace_ids: at most `AT_ONCE`.
        steps: names of steps that are wanted beside the model calls.
    """
    sql = f"""SELECT trace_id,
  argMin(id, (start_time, id)) AS first,
  argMaxIf(id, (start_time, id), type = 'GENERATION' AND level != 'ERROR' AND output != '') AS last,
  arraySlice(arraySort(groupArrayIf((start_time, id, name), (type = 'GENERATION' OR has({{steps:Array(String)}}, name))
    AND level != 'ERROR' AND output != '')), 1, {MOST_CALLS}) AS calls,
  arraySlice(arraySort(groupArrayIf((start_time, id, name),
    {SEARCHES} AND NOT ({FINDS_NOTHING} OR {LOOKS_FAILED}))), 1, {MOST_SEARCHES}) AS searches
FROM observations WHERE trace_id IN {{traces:Array(String)}} GROUP BY trace_id ORDER BY trace_id"""
    bound = dataset.bind(sql, ("observations",))
    values = {"traces": list(trace_ids), "steps": list(steps)}
    found = dataset.ask("texts", "texts", bound, values, since=dataset.periods.window.start)
    spans = read_spans(dataset, trace_ids)
    if not spans:
        return {}
    of_trace = read_trace_rows(dataset, spans)
    rows = {str(row["trace_id"]): row for row in found.records() if row["trace_id"] in spans}
    wanted = {
        str(id)
        for row in rows.values()
        for id in (row["first"], row["last"], *(part[1] for part in (*row["calls"], *row["searches"])))
        if id
    }
    texts = read_texts(dataset, spans, sorted(wanted))
    return {trace_id: _texts(trace_id, row, of_trace.get(trace_id, {}), texts) for trace_id, row in rows.items()}


def _texts(
    trace_id: str, row: Mapping[str, Any], trace: Mapping[str, Any], texts: Mapping[tuple[str, str], Mapping[str, Any]]
) -> TraceTexts:
    def output(id: str, name: str) -> Output:
        return Output(id, name, _text(texts.get((trace_id, id), {}), "output"))

    question = _text(trace, "input") or _text(texts.get((trace_id, str(row["first"])), {}), "input")
    answer = Output("", "", _text(trace, "output"))
    return TraceTexts(
        question,
        answer if answer.text else output(str(row["last"]), ""),
        tuple(output(str(id), str(name)) for _, id, name in row["calls"]),
        tuple(output(str(id), str(name)) for _, id, name in row["searches"]),
    )


def _text(row: Mapping[str, Any], name: str) -> Text:
    if not row:
        return Text()
    return Text(str(row[f"{name}_head"]), str(row[f"{name}_tail"]), int(row[f"{name}_characters"]))
