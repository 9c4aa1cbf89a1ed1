"""What a run would write, in a form that a person can approve: plain JSON data."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hansei.tools.writeback.journal import Journal, Write

_EXAMPLES = 3


def preview_of(journal: Journal) -> dict[str, Any]:
    """What is left to be written.

    Returns:
        ``{run_id, project_id, writes, written, rejected, scores: [{name, data_type, count, values, examples}],
        datasets: [name, …], dataset_items: [{dataset, count}], score_configs: [name, …], queues: [name, …],
        queue_items: [{queue, count}]}``. `values` counts categories and truth values, and
        gives the lowest, mean and highest of numbers. `examples` are writes as they would be sent.
    """
    left = journal.left
    scores: dict[tuple[str, str], list[Write]] = {}
    for write in left:
        if write.kind == "score":
            scores.setdefault((write.body["name"], write.body["data_type"]), []).append(write)
    labelled = Counter(str(write.body["queue"]) for write in left if write.kind == "queue_item")
    items = Counter(write.body["dataset_name"] for write in left if write.kind == "dataset_item")
    return {
        "run_id": journal.run_id,
        "project_id": journal.project_id,
        "writes": len(left),
        "written": len(journal.written),
        "rejected": len(journal.rejected),
        "scores": [
            {
                "name": name,
                "data_type": data_type,
                "count": len(writes),
                "values": _values(data_type, [write.body["value"] for write in writes]),
                "examples": [write.body for write in writes[:_EXAMPLES]],
            }
            for (name, data_type), writes in sorted(scores.items())
        ],
        "datasets": [write.id for write in left if write.kind == "dataset"],
        "dataset_items": [{"dataset": name, "count": count} for name, count in sorted(items.items())],
        "score_configs": [str(write.body["name"]) for write in left if write.kind == "score_config"],
        "score_config_types": {
            str(write.body["name"]): str(write.body["data_type"]) for write in left if write.kind == "score_config"
        },
        "queues": [str(write.body["name"]) for write in left if write.kind == "queue"],
        "queue_items": [{"queue": name, "count": count} for name, count in sorted(labelled.items())],
    }


def _values(data_type: str, values: list[Any]) -> dict[str, float | int]:
    if data_type == "NUMERIC":
        return {"lowest": min(values), "mean": sum(values) / len(values), "highest": max(values)}
    if data_type == "BOOLEAN":
        return {"true": sum(1 for value in values if value), "false": sum(1 for value in values if not value)}
    if data_type == "TEXT":
        return {"texts": len(values)}
    return dict(Counter(values).most_common(10))
