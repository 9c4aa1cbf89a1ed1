"""What the nodes share: the data of a run as plain JSON in the state, and the objects that it stands for."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, NotRequired, TypeVar, cast
from uuid import uuid4

from langgraph.runtime import Runtime
from pydantic import TypeAdapter
from typing_extensions import TypedDict

from hansei.context import Budget, Context
from hansei.contracts import DetectorStatus, Evidence, Periods, Progress
from hansei.contracts.spent import Spent
from hansei.tools.clickhouse import Meter, Reader, meter_of, shared_reader
from hansei.tools.clickhouse.copies import give_up
from hansei.tools.langfuse.copied import AT_MOST, RANGE, Copied
from hansei.tools.langfuse.coverage import coverage_of
from hansei.tools.langfuse.dataset import Dataset
from hansei.tools.langfuse.schema import adapter_from
from hansei.tools.playbook.assess import Facts
from hansei.tools.playbook.conclude import Draft, Place
from hansei.tools.playbook.model import Candidate


class Scope(TypedDict):
    """What a run looks at. `adapter` says how its tables are read; times are ISO 8601."""

    run_id: str
    project_id: str
    environments: list[str]
    question: str | None
    language: Literal["en", "ja"]
    periods: dict[str, Any]
    adapter: dict[str, Any]
    notes: list[str]
    coverage: list[dict[str, Any]]
    """The evidence of the coverage's figures."""


class Screened(TypedDict):
    """What one detector's look over all slices gave; `candidates` only until they are measured."""

    status: str
    reason: str
    slices: int
    candidates: list[dict[str, Any]]


class Task(TypedDict):
    """What the planner or the critic gives to an analyst."""

    id: str
    detector: str
    question: str
    reason: str
    candidates: list[dict[str, Any]] | None
    """Measure these; None: screen the data first."""
    inquiry: NotRequired[dict[str, Any]]
    """What a model is to find out, valid for `hansei.nodes.inquiries.Inquiry`; then there is no detector."""
    aside: NotRequired[dict[str, Any]]
    """The candidates are a model's: they are told under this, valid for `hansei.contracts.Investigation`."""
    again: NotRequired[list[dict[str, Any]]]
    """Instead: findings of the ledger to measure again, each valid for `hansei.contracts.since.Known`."""


MOST_CANDIDATES = 12
"""Candidates of one detector that are measured, strongest first; what is left out is said in the coverage statement."""


def strongest(candidates: Sequence[Candidate]) -> tuple[list[Candidate], str]:
    """The candidates to measure, and the coverage statement's reason when some are left out, else ''.

    Averages under suspicion go first: they are about the whole project, and the critic has something to say on them.
    """
    order = sorted(candidates, key=lambda c: (c.suspicion == "", -c.strength, sorted(c.segment.items())))
    return order[:MOST_CANDIDATES], left_out(len(order) - MOST_CANDIDATES)


def left_out(count: int) -> str:
    """The coverage statement's reason when so many candidates are not measured, else ''."""
    return f"{count} weaker candidates were not measured" if count > 0 else ""


def merge(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Reducer: what a later step says about the same key replaces what was there."""
    return {**old, **new}


def merge_screened(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Reducer: what an analyst says about a detector is laid over what the detector's first screen gave."""
    return {**old, **{name: {**old.get(name, {}), **entry} for name, entry in new.items()}}


def context_of(runtime: Runtime[Context]) -> Context:
    """The run's context; everything from the environment when none was given."""
    return runtime.context or Context()


Costs = dict[str, dict[str, Any]]
"""What the steps of a run have cost, one entry each; kept in the state, so that a run that goes on goes on counting."""


def dataset_of(scope: Scope, runtime: Runtime[Context], costs: Costs | None = None) -> Dataset:
    """The data that the scope names, on a session that is held to its project and to what the run may still read.

    Args:
        scope: what the run looks at.
        runtime: the run's context.
        costs: of the steps before this one.
    """
    reader = shared_reader(context_of(runtime), project_id=scope["project_id"])
    dataset = Dataset(
        reader.metered(_meter(scope, runtime, costs)),
        adapter_from(scope["adapter"]),
        scope["project_id"],
        Periods.model_validate(scope["periods"]),
        tuple(scope["environments"]),
    )
    if observations_of(scope) <= SMALL:
        reader.side_by_side(_queries())
    return replace(dataset, copied=_copied(dataset, scope)) if reader.copies == scope["run_id"] else dataset


def copy_of(dataset: Dataset, scope: Scope) -> Dataset:
    """The same data, copied into the session's memory for the steps to come, if they are few and it can hold them.

    The writer gives the memory back (`Reader.let_go`), or the node that fails (`giving_up`).
    """
    if observations_of(scope) > AT_MOST:
        return dataset
    copied = _copied(dataset, scope)
    dataset.reader.hold(_queries(), copied.copies)
    return replace(dataset, copied=copied) if dataset.reader.copies == copied.name else dataset


Node = TypeVar("Node", bound=Callable[..., Any])


def giving_up(node: Node) -> Node:
    """The node; when it fails, the run's copies are given up: maybe nobody goes on.

    Who does, be it another attempt or a run that is resumed, asks the tables, with the same answers.
    """

    @functools.wraps(node)
    def node_or_give_up(state: Any, runtime: Runtime[Context]) -> Any:
        try:
            return node(state, runtime)
        except BaseException:
            give_up(state["scope"]["run_id"])
            raise

    return cast(Node, node_or_give_up)


def _queries() -> int:
    """How many queries run side by side: as many as there are cores for this process, but few."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, MOST_QUERIES)


def _copied(dataset: Dataset, scope: Scope) -> Copied:
    values = dataset.parameters()
    return Copied(scope["run_id"], dataset.adapter, {name: values[name] for name in RANGE})


ASIDE = "model"
"""Begins the names of costs that a model's own questions make: they take nothing of what the rules may read."""


def asking_dataset(scope: Scope, runtime: Runtime[Context], costs: Costs) -> Dataset:
    """The same data for a model's own questions, bounded apart: `ModelBudget.share_of_queries` of the run's budget.

    So whatever a model asks, the rules' queries have what they have without it.

    Args:
        scope, runtime, costs: as in `dataset_of`.
    """
    context, run = context_of(runtime), scope["run_id"]
    whole, share = context.budget, context.model_budget.share_of_queries
    budget = Budget(rows=int(whole.rows * share), bytes=int(whole.bytes * share), seconds=whole.seconds * share)
    spent = total({key: cost for key, cost in costs.items() if key.startswith(ASIDE)})
    dataset = dataset_of(scope, runtime, costs)
    return replace(dataset, reader=dataset.reader.metered(meter_of(f"{run} {ASIDE}", budget, spent)))


SMALL = 1_000_000
"""Observations up to which queries run side by side on an embedded engine, each on one core."""


MOST_QUERIES = 4
"""Queries of an embedded engine that run side by side: each of its handles holds copies of its own."""


def observations_of(scope: Scope) -> int:
    """How many observations the project has in both periods."""
    evidence = [Evidence.model_validate(item) for item in scope["coverage"]]
    counted = coverage_of(evidence, str(scope["adapter"]["version"]), [], []).observations
    return counted.window + counted.baseline


def total(costs: Costs) -> Spent:
    """The costs together."""
    return functools.reduce(Spent.plus, map(Spent.model_validate, costs.values()), Spent())


def spent_by(scope: Scope, runtime: Runtime[Context], costs: Costs) -> Spent:
    """What the run has asked of ClickHouse so far, failed attempts in this process included."""
    aside = {key: cost for key, cost in costs.items() if key.startswith(ASIDE)}
    return _meter(scope, runtime, costs).spent.plus(total(aside))


def _meter(scope: Scope, runtime: Runtime[Context], costs: Costs | None) -> Meter:
    known = {key: cost for key, cost in (costs or {}).items() if not key.startswith(ASIDE)}
    return meter_of(scope["run_id"], context_of(runtime).budget, total(known))


def bill(step: str, *readers: Reader) -> Costs:
    """What a step has asked of ClickHouse, for the state."""
    cost = functools.reduce(Spent.plus, (reader.spent for reader in readers), Spent())
    return {f"{step} {uuid4()}": cost.model_dump()}


def facts_of(scope: Scope) -> Facts:
    """The totals that findings are put in relation to."""
    evidence = [Evidence.model_validate(item) for item in scope["coverage"]]
    coverage = coverage_of(evidence, str(scope["adapter"]["version"]), [], [])
    return Facts(
        Periods.model_validate(scope["periods"]),
        coverage.traces.window,
        coverage.total_cost.window,
        coverage.traces.baseline,
    )


def place_of(scope: Scope, runtime: Runtime[Context]) -> Place:
    """Where the links to traces point."""
    return Place(context_of(runtime).langfuse_base_url, scope["project_id"])


def drafts_of(drafts: Mapping[str, Any]) -> dict[str, Draft]:
    """The drafts in the state, validated."""
    return {key: Draft.model_validate(value) for key, value in drafts.items()}


CANDIDATES = TypeAdapter(list[Candidate])


def statuses(screened: Mapping[str, Screened]) -> list[DetectorStatus]:
    """The coverage statement's lines, one per detector."""
    return [
        DetectorStatus.model_validate({"name": name, **{key: entry[key] for key in ("status", "reason", "slices")}})
        for name, entry in sorted(screened.items())
    ]


def many(count: int, one: str, more: str) -> str:
    """``1 query``, ``1,000 queries``."""
    return f"{count:,} {one if count == 1 else more}"


class Steps:
    """Tells the progress of one node: `started` at once, `finished` with the time that it took."""

    def __init__(self, runtime: Runtime[Context], step: str, message: str, task: str | None = None) -> None:
        self._write: Callable[[Any], None] = runtime.stream_writer
        self._step, self._task, self._since = step, task, time.perf_counter()
        self._tell("started", message)

    def running(self, message: str) -> None:
        """Something worth a line happened."""
        self._tell("running", message)

    def finished(self, message: str, rows_read: int | None = None) -> None:
        """The node is done."""
        self._tell("finished", message, rows_read, round(time.perf_counter() - self._since, 3))

    def failed(self, message: str) -> None:
        """The node gave up."""
        self._tell("failed", message)

    def _tell(self, status: str, message: str, rows_read: int | None = None, seconds: float | None = None) -> None:
        event = Progress.model_validate(
            {
                "step": self._step,
                "status": status,
                "message": message,
                "task": self._task,
                "rows_read": rows_read,
                "seconds": seconds,
            }
        )
        self._write(event.model_dump())
