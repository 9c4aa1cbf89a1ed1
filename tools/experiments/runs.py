"""Reading a run over a dataset: which items it had, and how each was scored."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from hansei.errors import LangfuseFailed, NoData, UsageError
from hansei.tools.langfuse.api import in_path, pages

if TYPE_CHECKING:
    from langfuse.api import Dataset
    from langfuse.api.experiments.types.experiment import Experiment

    from hansei.tools.langfuse.api import Api

_PROMPT = re.compile(r"(.+)@(\d+)")


@dataclass(frozen=True)
class Run:
    """A run: its name and id, its items, and for each criterion the mean score of each item that has one.

    Scores that are texts or categories are counted in `uncounted` and not compared: they have no order. `repeated` are
    the items, by criterion, that have more than one value.
    """

    name: str
    id: str
    items: frozenset[str]
    scores: Mapping[str, Mapping[str, float]]
    uncounted: frozenset[str]
    repeated: Mapping[str, frozenset[str]]


def read_run(api: Api, dataset_name: str, run: str) -> Run:
    """Reads a run of a dataset.

    Args:
        api: with the keys of the project.
        dataset_name: the dataset.
        run: the run's name or id, or ``prompt@version``: the newest run whose metadata name that prompt and version
            (`prompt_name` or `prompt`, and `prompt_version`).

    Raises:
        UsageError: there is no such dataset or run.
        NoData: the run has no items.
        LangfuseFailed: Langfuse cannot be read.
    """
    try:
        dataset = api.ask(api.client.datasets.get, in_path(dataset_name))
    except LangfuseFailed as failure:
        if failure.reason != "not_found":
            raise
        raise UsageError(f"There is no dataset “{dataset_name}”.", "Check --dataset and the keys.") from None
    since = dataset.created_at - timedelta(days=1)
    found = [
        experiment
        for page in pages(
            lambda cursor: api.ask(
                api.client.experiments.list,
                from_start_time=since,
                dataset_id=dataset.id,
                fields="core,metadata",
                limit=100,
                cursor=cursor,
            )
        )
        for experiment in page.data
    ]
    chosen = _chosen(found, run)
    if chosen is None:
        names = ", ".join(dict.fromkeys(experiment.name for experiment in found[:10])) or "none"
        raise UsageError(f"The dataset “{dataset_name}” has no run “{run}”.", f"Its runs are: {names}.")
    return _read(api, dataset, chosen)


def _chosen(found: Sequence[Experiment], run: str) -> Experiment | None:
    """The newest run of that name, id or prompt version."""
    matching = [experiment for experiment in found if run in (experiment.name, experiment.id)]
    prompt = _PROMPT.fullmatch(run)
    if not matching and prompt:
        matching = [one for one in found if _prompt_of(one.metadata or {}) == (prompt[1], prompt[2])]
    return max(matching, key=lambda experiment: experiment.start_time, default=None)


def _prompt_of(metadata: Mapping[str, Any]) -> tuple[str, str]:
    return (
        str(metadata.get("prompt_name") or metadata.get("prompt") or ""),
        str(metadata.get("prompt_version") or ""),
    )


def _read(api: Api, dataset: Dataset, experiment: Experiment) -> Run:
    items: set[str] = set()
    scores: dict[str, dict[str, list[float]]] = {}
    uncounted: set[str] = set()
    for page in pages(
        lambda cursor: api.ask(
            api.client.experiments.list_items,
            from_start_time=dataset.created_at - timedelta(days=1),
            experiment_id=experiment.id,
            fields="core,scores",
            limit=100,
            cursor=cursor,
        )
    ):
        for item in page.data:
            items.add(item.experiment_item_id)
            for score in item.scores or []:
                if isinstance(score.value, str):
                    uncounted.add(score.name)
                else:
                    values = scores.setdefault(score.name, {}).setdefault(item.experiment_item_id, [])
                    values.append(float(score.value))
    if not items:
        raise NoData(f"The run “{experiment.name}” has no items.", "Wait until it is finished, or name another one.")
    means = {
        name: {item: sum(values) / len(values) for item, values in of_items.items()}
        for name, of_items in scores.items()
    }
    repeated = {
        name: frozenset(item for item, values in of_items.items() if len(values) > 1)
        for name, of_items in scores.items()
    }
    return Run(experiment.name, experiment.id, frozenset(items), means, frozenset(uncounted), repeated)
