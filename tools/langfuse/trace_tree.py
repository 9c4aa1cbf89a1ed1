"""One trace as a tree of its observations, with what matters most in it: where it first went wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from hansei.contracts import Evidence, parse_instant
from hansei.errors import NoData
from hansei.tools.langfuse.dataset import Dataset
from hansei.tools.langfuse.trace_rows import read_scores, read_spans, read_steps, read_texts, read_trace_rows
from hansei.tools.langfuse.untrusted import Text

WITH_TEXTS = 60
"""Steps of one trace whose inputs and outputs are read: those that matter most."""

LONGEST_ID = 1_000


@dataclass(frozen=True)
class Step:
    """An observation in its place in the tree.

    Args:
        parent: index of its parent in `TraceTree.steps`; None at the top.
        depth: how many steps are above it.
        offset_ms: milliseconds from the trace's first step.
        strange: what is odd about its place: "" / "its parent is not there" / "its parents form a circle".
        input, output: empty where there is none, and beyond the `WITH_TEXTS` steps that matter most.
    """

    id: str
    parent: int | None
    depth: int
    type: str
    name: str
    start: datetime
    offset_ms: int
    latency_ms: int | None
    finished: bool
    level: str
    status_message: str
    model: str
    prompt_name: str
    prompt_version: str
    total_cost: float | None
    input_tokens: int | None
    output_tokens: int | None
    input: Text
    output: Text
    strange: str = ""


@dataclass(frozen=True)
class Score:
    """A judgement about the trace, or about one of its steps."""

    name: str
    value: float | None
    string_value: str
    data_type: str
    source: str
    comment: str
    observation_id: str


@dataclass(frozen=True)
class TraceTree:
    """A trace.

    Args:
        steps: in the order in which a tree is read: each below its parent, by time.
        of: how many observations the trace has; more than there are steps when it has very many.
        failing: index of the step in which it first went wrong, or that was asked for; None when no step stands out.
        evidence: the query behind `steps`, of all traces that were read with it; its rows hold no inputs and outputs.
    """

    trace_id: str
    name: str
    timestamp: datetime
    user_id: str
    session_id: str
    environment: str
    release: str
    version: str
    tags: tuple[str, ...]
    input: Text
    output: Text
    steps: tuple[Step, ...]
    of: int
    scores: tuple[Score, ...]
    failing: int | None
    evidence: Evidence

    @property
    def errors(self) -> int:
        """How many of the steps ended at level ERROR."""
        return sum(step.level == "ERROR" for step in self.steps)

    @property
    def latency_ms(self) -> int:
        """From the start of the first step to the end of the last one."""
        return max((step.offset_ms + (step.latency_ms or 0) for step in self.steps), default=0)

    @property
    def total_cost(self) -> float | None:
        """US dollars of all model calls; None when none has a price."""
        costs = [step.total_cost for step in self.steps if step.total_cost is not None]
        return sum(costs) if costs else None

    def above(self, index: int) -> Iterator[int]:
        """The steps that a step lies in, innermost first."""
        parent = self.steps[index].parent
        while parent is not None:
            yield parent
            parent = self.steps[parent].parent

    def by_weight(self) -> list[int]:
        """All steps, those that explain most first: the failing one, what it lies in, its neighbours, other failures,
        the top, then by distance from it."""
        if self.failing is None:
            last = len(self.steps) - 1
            return sorted(range(len(self.steps)), key=lambda i: (_severity(self.steps[i]), self.steps[i].depth > 0,
                                                                 min(i, last - i), i))  # fmt: skip
        centre = self.failing
        outer = {index: n for n, index in enumerate(self.above(centre), 1)}
        beside = self._beside(centre)

        def weight(i: int) -> tuple[int, int, int]:
            if i == centre:
                return 0, 0, i
            if i in outer:
                return 1, outer[i], i
            if i in beside:
                return 2, beside[i], i
            return 3 + _severity(self.steps[i]), abs(i - centre), i

        return sorted(range(len(self.steps)), key=weight)

    def _beside(self, centre: int) -> dict[int, int]:
        """What it consists of, and the steps before and after it under the same parent, two each way: rank by index."""
        parent = self.steps[centre].parent
        siblings = [i for i, step in enumerate(self.steps) if step.parent == parent]
        place = siblings.index(centre)
        near = [siblings[place + d] for d in (-1, 1, -2, 2) if 0 <= place + d < len(siblings)]
        inner = [i for i, step in enumerate(self.steps) if step.parent == centre][:4]
        return {index: rank for rank, index in enumerate([*inner, *near])}


def read_tree(dataset: Dataset, trace_id: str, focus: str | None = None, *, id: str = "trace") -> TraceTree:
    """Reads one trace of the dataset.

    Args:
        focus: the step that matters: its id, its name, or # and its place in the tree from 1 on, as `excerpt` numbers
            them; default: where it first went wrong.
        id: of the evidence.

    Raises:
        NoData: the dataset has no such trace; the words are the same whether it lies elsewhere or nowhere.
    """
    tree = read_trees(dataset, [trace_id], focus, id=id).get(trace_id)
    if tree is None:
        start, end = dataset.periods.baseline.start, dataset.periods.window.end
        raise NoData(
            "There is no trace with this id in what is looked at.",
            f"Take an id from an answer; looked at are traces from {start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC.",
        )
    return tree


def read_trees(
    dataset: Dataset, trace_ids: Sequence[str], focus: str | None = None, *, id: str = "trace"
) -> dict[str, TraceTree]:
    """Reads several traces at little more than the cost of one, by their ids; without those that are not there.

    Args:
        focus, id: as in `read_tree`.
    """
    spans = read_spans(dataset, [trace_id for trace_id in trace_ids if 0 < len(trace_id) <= LONGEST_ID])
    if not spans:
        return {}
    rows = read_trace_rows(dataset, spans)
    scores = read_scores(dataset, list(spans))
    trees: dict[str, TraceTree] = {}
    evidence = read_steps(dataset, spans, id)
    steps_of: dict[str, list[dict[str, Any]]] = {}
    for record in evidence.records():
        steps_of.setdefault(str(record["trace_id"]), []).append(record)
    for trace_id in spans:
        if trace_id in rows or trace_id in steps_of:
            steps, judged = steps_of.get(trace_id, []), scores.get(trace_id, [])
            trees[trace_id] = _tree(trace_id, rows.get(trace_id, {}), evidence, steps, judged, focus)
    wanted = {trace_id: tree.by_weight()[:WITH_TEXTS] for trace_id, tree in trees.items()}
    ids = sorted({trees[trace_id].steps[i].id for trace_id, chosen in wanted.items() for i in chosen})
    texts = read_texts(dataset, {trace_id: spans[trace_id] for trace_id in trees}, ids)
    for trace_id, chosen in wanted.items():
        told = list(trees[trace_id].steps)
        for i in chosen:
            if found := texts.get((trace_id, told[i].id)):
                told[i] = replace(told[i], input=_text(found, "input"), output=_text(found, "output"))
        trees[trace_id] = replace(trees[trace_id], steps=tuple(told))
    return trees


def _tree(
    trace_id: str,
    row: Mapping[str, Any],
    evidence: Evidence,
    records: Sequence[Mapping[str, Any]],
    scores: Sequence[Mapping[str, Any]],
    focus: str | None,
) -> TraceTree:
    """A trace whose steps have no texts yet."""
    steps = _in_order(records)
    return TraceTree(
        trace_id=trace_id,
        name=str(row.get("name", "")),
        timestamp=parse_instant(str(row["timestamp"])) if row else min(step.start for step in steps),
        user_id=str(row.get("user_id", "")),
        session_id=str(row.get("session_id", "")),
        environment=str(row.get("environment", "")),
        release=str(row.get("release", "")),
        version=str(row.get("version", "")),
        tags=tuple(str(tag) for tag in row.get("tags") or ()),
        input=_text(row, "input"),
        output=_text(row, "output"),
        steps=tuple(steps),
        of=int(records[0]["of"]) if records else 0,
        scores=tuple(_score(record) for record in scores),
        failing=_failing(steps, focus),
        evidence=evidence,
    )


def _in_order(records: Sequence[Mapping[str, Any]]) -> list[Step]:
    """The steps as a tree is read. Each is there once, also when parents are missing or form circles."""
    by_id = {str(record["id"]): record for record in records}
    starts = {key: parse_instant(str(record["start_time"])) for key, record in by_id.items()}
    order = sorted(by_id, key=lambda key: (starts[key], key))
    children: dict[str, list[str]] = {}
    tops: list[str] = []
    for key in order:
        parent = str(by_id[key]["parent_id"])
        if parent in by_id and parent != key:
            children.setdefault(parent, []).append(key)
        else:
            tops.append(key)
    begin = min(starts.values(), default=None)
    steps: list[Step] = []
    placed: dict[str, int] = {}

    def place(top: str, strange: str) -> None:
        waiting: list[tuple[str, int | None, int]] = [(top, None, 0)]
        while waiting:
            key, parent, depth = waiting.pop()
            if key in placed:
                continue
            placed[key] = len(steps)
            steps.append(_step(by_id[key], parent, depth, begin, strange if key == top else ""))
            waiting += [(child, placed[key], depth + 1) for child in reversed(children.get(key, ()))]

    for key in tops:
        parent = str(by_id[key]["parent_id"])
        place(key, "its parents form a circle" if parent == key else "its parent is not there" if parent else "")
    for key in order:  # what is left hangs in circles
        if key not in placed:
            place(key, "its parents form a circle")
    return steps


def _step(record: Mapping[str, Any], parent: int | None, depth: int, begin: datetime | None, strange: str) -> Step:
    start = parse_instant(str(record["start_time"]))
    return Step(
        id=str(record["id"]),
        parent=parent,
        depth=depth,
        type=str(record["type"]),
        name=str(record["name"]),
        start=start,
        offset_ms=round((start - (begin or start)).total_seconds() * 1000),
        latency_ms=record["latency_ms"],
        finished=bool(record["finished"]) or record["type"] == "EVENT",
        level=str(record["level"]),
        status_message=str(record["status_message"]),
        model=str(record["model"]),
        prompt_name=str(record["prompt_name"]),
        prompt_version=str(record["prompt_version"]),
        total_cost=record["total_cost"],
        input_tokens=record["input_tokens"],
        output_tokens=record["output_tokens"],
        input=Text(),
        output=Text(),
        strange=strange,
    )


def _text(record: Mapping[str, Any], name: str) -> Text:
    if not record:
        return Text()
    return Text(str(record[f"{name}_head"]), str(record[f"{name}_tail"]), int(record[f"{name}_characters"]))


def _score(record: Mapping[str, Any]) -> Score:
    texts = ("name", "string_value", "data_type", "source", "comment", "observation_id")
    return Score(value=record["value"], **{name: str(record[name]) for name in texts})


def _severity(step: Step) -> int:
    return 0 if step.level == "ERROR" else 1 if step.level == "WARNING" or not step.finished else 2


def _failing(steps: Sequence[Step], focus: str | None) -> int | None:
    """The step that is asked for; else the first that failed without one inside it that failed; else the first with a
    warning, or without an end."""
    if focus:
        named = (
            [i for i, step in enumerate(steps) if step.id == focus]
            or [i for i in range(len(steps)) if focus == f"#{i + 1}"]
            or [i for i, step in enumerate(steps) if step.name == focus]
        )
        if named:
            return min(named, key=lambda i: (_severity(steps[i]), i))
    for severity in (0, 1):
        bad = [i for i, step in enumerate(steps) if _severity(step) == severity]
        over = _above_any(steps, bad)
        if innermost := [i for i in bad if i not in over]:
            return min(innermost, key=lambda i: (steps[i].start, i))
    return None


def _above_any(steps: Sequence[Step], bad: Sequence[int]) -> set[int]:
    found: set[int] = set()
    for index in bad:
        parent = steps[index].parent
        while parent is not None and parent not in found:
            found.add(parent)
            parent = steps[parent].parent
    return found
