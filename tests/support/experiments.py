"""Runs over a dataset in the stand-in for Langfuse's API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.support.langfuse_api import PROJECT_ID, LangfuseServer
from tests.support.langfuse_state import new_id, now

Value = float | bool | str


def add_dataset(server: LangfuseServer, name: str) -> str:
    """An empty dataset; its id."""
    dataset = {"id": new_id("dataset", name), "name": name, "metadata": None, "projectId": PROJECT_ID}
    server.state.datasets[name] = dataset | {"createdAt": "2026-10-01T00:00:00Z", "updatedAt": "2026-10-01T00:00:00Z"}
    return str(dataset["id"])


def add_run(
    server: LangfuseServer,
    dataset: str,
    name: str,
    scores: Mapping[str, Mapping[str, Value]],
    *,
    start: str = "2026-10-02T00:00:00Z",
    metadata: Mapping[str, Any] | None = None,
    again: Mapping[str, Mapping[str, Value]] | None = None,
) -> str:
    """A run with the scores of its items, by item and criterion, and of those that were run once more; its id."""
    run_id = new_id("run", name, start)
    dataset_id = server.state.datasets[dataset]["id"]
    server.state.experiments.append(
        {
            "id": run_id,
            "name": name,
            "startTime": start,
            "endTime": start,
            "itemCount": len(scores),
            "datasetId": dataset_id,
            "metadata": dict(metadata or {}),
        }
    )
    for number, (item, values) in enumerate([*scores.items(), *(again or {}).items()]):
        server.state.experiment_items.append(
            {
                "id": new_id(run_id, item, str(number)),
                "traceId": f"trace-{name}-{item}-{number}",
                "startTime": start,
                "endTime": start,
                "level": "DEFAULT",
                "environment": "langfuse-experiment",
                "experimentId": run_id,
                "experimentName": name,
                "experimentItemId": item,
                "experimentDatasetId": dataset_id,
                "scores": [_score(f"{run_id}-{number}-{key}", key, value) for key, value in values.items()],
            }
        )
    return run_id


def _score(identity: str, name: str, value: Value) -> dict[str, Any]:
    kind = "BOOLEAN" if isinstance(value, bool) else "CATEGORICAL" if isinstance(value, str) else "NUMERIC"
    return {
        "id": identity,
        "projectId": PROJECT_ID,
        "name": name,
        "value": value,
        "dataType": kind,
        "source": "API",
        "timestamp": now(),
        "environment": "default",
        "createdAt": now(),
        "updatedAt": now(),
    }
