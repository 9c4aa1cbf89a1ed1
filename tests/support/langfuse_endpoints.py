"""What each endpoint of the stand-in for Langfuse's API does.

Each is a function of the state, the ids in the path, the query and the body; it returns an HTTP status and plain data
as they go over the wire.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from tests.support.langfuse_state import (
    Answer,
    Query,
    Refused,
    State,
    Wire,
    between,
    by_cursor,
    by_page,
    chosen,
    limit,
    listed,
    missing,
    moment,
    move_labels,
    new_id,
    now,
)

_CORE = {"id", "traceId", "startTime", "endTime", "projectId", "parentObservationId", "type"}
_GROUPS = {
    "core": _CORE,
    "basic": {
        *("name", "level", "statusMessage", "version", "environment", "bookmarked", "public", "userId", "sessionId"),
        "isRootObservation",
    },
    "time": {"completionStartTime", "createdAt", "updatedAt"},
    "io": {"input", "output"},
    "metadata": {"metadata"},
    "model": {"model", "internalModelId", "modelParameters", "modelId", "inputPrice", "outputPrice", "totalPrice"},
    "usage": {"usageDetails", "costDetails", "totalCost", "usagePricingTierName"},
    "prompt": {"promptId", "promptName", "promptVersion"},
    "metrics": {"latency", "timeToFirstToken"},
    "trace_context": {"tags", "release", "traceName"},
}
_SCORE_CORE = {
    *("id", "projectId", "name", "value", "dataType", "source", "timestamp", "environment", "createdAt", "updatedAt"),
}
_SCORE_GROUPS = {
    "details": {"comment", "configId", "metadata"},
    "subject": {"subject"},
    "annotation": {"authorUserId", "queueId"},
}


def health(state: State, ids: Sequence[str], query: Query, body: Any) -> Answer:
    return 200, {"version": "4.16.0", "status": "OK"}


def projects(state: State, ids: Sequence[str], query: Query, body: Any) -> Answer:
    organization = {"id": "organization", "name": "An organisation"}
    return 200, {"data": [{"id": state.project_id, "name": "A project", "organization": organization, "metadata": {}}]}


def create_scores(state: State, ids: Sequence[str], query: Query, body: Any) -> Answer:
    errors = []
    for one in body:
        try:
            _take_score(state, one)
        except Refused as refusal:
            errors.append({"message": str(refusal)})
    if errors:
        return 207, {"accepted": len(body) - len(errors), "rejected": len(errors), "errors": errors}
    return 202, {"message": "Accepted"}


def _take_score(state: State, sent: Wire) -> None:
    kind, value = sent.get("dataType") or "NUMERIC", sent["value"]
    if (kind in ("NUMERIC", "BOOLEAN")) != isinstance(value, int | float) or isinstance(value, bool):
        raise Refused("value does not match dataType")
    if kind == "BOOLEAN" and value not in (0, 1):
        raise Refused("a boolean is 0 or 1")
    if kind == "TEXT" and not 1 <= len(value) <= 500:
        raise Refused("a text has 1 to 500 characters")
    if not re.fullmatch(r"(?!langfuse)[a-z0-9_-]+", sent.get("environment") or "default"):
        raise Refused("no such environment")
    if sent.get("traceId") in state.poisoned:
        raise Refused("poisoned")
    subject: Wire
    if sent.get("observationId"):
        subject = {"kind": "observation", "id": sent["observationId"], "traceId": sent.get("traceId")}
    elif sent.get("traceId"):
        subject = {"kind": "trace", "id": sent["traceId"]}
    elif sent.get("sessionId"):
        subject = {"kind": "session", "id": sent["sessionId"]}
    elif sent.get("datasetRunId"):
        subject = {"kind": "experiment", "id": sent["datasetRunId"]}
    else:
        raise Refused("a score belongs to something")
    timestamp = sent.get("timestamp") or now()
    score_id = sent.get("id") or new_id(str(len(state.scores)), now())
    key = (timestamp[:10], sent["name"], score_id)
    state.scores[key] = {
        "id": score_id,
        "projectId": state.project_id,
        "name": sent["name"],
        "value": bool(value) if kind == "BOOLEAN" else value,
        "dataType": kind,
        "source": sent.get("source") or "API",
        "timestamp": timestamp,
        "environment": sent.get("environment") or "default",
        "createdAt": state.scores[key]["createdAt"] if key in state.scores else now(),
        "updatedAt": now(),
        "comment": sent.get("comment"),
        "configId": sent.get("configId"),
        "metadata": sent.get("metadata") or {},
        "authorUserId": None,
        "queueId": sent.get("queueId"),
        "subject": subject,
    }


def delete_score(state: State, ids: Sequence[str], query: Query, body: Any) -> Answer:
    keys = [key for key in state.scores if key[2] == ids[0]]
    for key in keys:
        del state.scores[key]
    return (202, {"message": "Score deletion request received"}) if keys else missing()


def list_scores(state: State, ids: Sequence[str], query: Query, body: Any) -> Answer:
    fields = set(_SCORE_CORE)
    for group in listed(query, "fields"):
        if group not in _SCORE_GROUPS:
            raise Refused("unknown field group")
        fields |= _SCORE_GROUPS[group]
    if "observationId" in query and "traceId" not in query:
        raise Refused("observationId requires traceId")
    if len({"traceId", "sessionId", "experimentId"} & set(query)) > 1:
        raise Refused("mutually exclusive filters")
    found = [score for score in state.scores.values() if score["id"] not in state.hidden_scores]
    wanted: dict[str, Callable[[Wire], Any]] = {
        "id": lambda s: s["id"],
        "name": lambda s: s["name"],
        "source": lambda s: s["source"],
        "dataType": lambda s: s["dataType"],
        "environment": lambda s: s["environment"],
        "configId": lambda s: s["configId"],
        "traceId": lambda s: s["subject"].get("traceId", s["subject"]["id"] if s["subject"]["kind"] == "trace" else ""),
        "observationId": lambda s: s["subject"]["id"] if s["subject"]["kind"] == "observation" else "",
        "sessionId": lambda s: s["subject"]["id"] if s["subject"]["kind"] == "session" else "",
        "experimentId": lambda s: s["subject"]["id"] if s["subject"]["kind"] == "experiment" else "",
    }
    for name, of in wanted.items():
        if name in query:
            values = set(listed(query, name))
            found = [score for score in found if of(score) in values]
    found = between(found, query, "timestamp", "fromTimestamp", "toTimestamp")
    found.sort(key=lambda score: (moment(score["timestamp"]), score["id"]), reverse=True)
    page, meta = by_cursor(found, query, most=100, strict=True)
    return 200, {
        "data": [{key: value for key, value in score.items() if key in fields} for score in page],
        "meta": {"limit": limit(query, 100, strict=True), **meta},
    }


def list_observations(state: State, ids: Sequence[str], query: Query, body: Any) -> Answer:
    fields = set(_CORE)
    for group in listed(query, "fields") or ["basic"]:
        if group not in _GROUPS:
            raise Refused("unknown field group")
        fields |= _GROUPS[group]
    found = state.observations
    for name in ("name", "userId", "sessionId", "type", "traceId", "level", "environment", "version"):
        if name in query:
            found = [row for row in found if row.get(name) in query[name]]
    found = between(found, query, "startTime", "fromStartTime", "toStartTime")
    found = sorted(found, key=lambda row: (moment(row["startTime"]), row["id"]), reverse=True)
    page, meta = by_cursor(found, query, most=1000, strict=True)
    whole = set(listed(query, "expandMetadata"))
    rows = [{key: value for key, value in row.items() if key in fields} for row in page]
    for row in rows:
        if row.get("metadata"):
            row["metadata"] = {k: v if k in whole else v[:200] for k, v in row["metadata"].items()}
    return 200, {"data": rows, "meta": meta}


def create_dataset(state: State, ids: Sequence[str], query: Query, body: Any) -> Answer:
    known = state.datasets.get(body["name"])
    dataset = {
        "id": known["id"] if known else new_id("dataset", body["name"]),
        "projectId": state.project_id,
        "createdAt": known["createdAt"] if known else now(),
        "metadata": None,
        **body,
        "updatedAt": now(),
    }
    state.datasets[body["name"]] = dataset
    return 200, dataset


def list_datasets(state: State, ids: Sequence[str], query: Query, body: Any) -> Answer:
    return 200, by_page(list(state.datasets.values()), query)


def get_dataset(state: State, ids: Sequence[str], query: Query, body: Any) -> Answer:
    return (200, state.datasets[ids[0]]) if ids[0] in state.datasets else missing()


def create_item(state: State, ids: Sequence[str], query: Query, body: Any) -> Answer:
    dataset = state.datasets.get(body["datasetName"])
    if dataset is None:
        return missing()
    item_id = body.get("id") or new_id("item", str(len(state.items)))
    known = state.items.get(item_id)
    if known and known["datasetId"] != dataset["id"]:
        raise Refused("the id is taken by another dataset")
    item = {
        "status": "ACTIVE",
        "input": None,
        "expectedOutput": None,
        "metadata": None,
        **body,
        "id": item_id,
        "datasetId": dataset["id"],
        "createdAt": known["createdAt"] if known else now(),
        "updatedAt": now(),
        "mediaReferences": [],
    }
    state.items[item_id] = item
    return 200, item


def list_items(state: State, ids: Sequence[str], query: Query, body: Any) -> Answer:
    name = query.get("datasetName", [None])[0]
    if name is not None and name not in state.datasets:
        return missing()
    return 200, by_page([item for item in state.items.values() if name in (None, item["datasetName"])], query)


def get_item(state: State, ids: Sequence[str], query: Query, body: Any) -> Answer:
    return (200, state.items[ids[0]]) if ids[0] in state.items else missing()


def delete_item(state: State, ids: Sequence[str], query: Query, body: Any) -> Answer:
    return (200, {"message": "deleted"}) if state.items.pop(ids[0], None) else missing()


def list_experiments(state: State, ids: Sequence[str], query: Query, body: Any) -> Answer:
    found = chosen(state.experiments, query, {"id": "id", "name": "name", "datasetId": "datasetId"})
    found = between(found, query, "startTime", "fromStartTime", "toStartTime")
    page, meta = by_cursor(found, query, most=100, strict=True)
    return 200, {"data": page, "meta": meta}


def list_experiment_items(state: State, ids: Sequence[str], query: Query, body: Any) -> Answer:
    names = {"experimentId": "experimentId", "experimentName": "experimentName", "datasetId": "experimentDatasetId"}
    found = chosen(state.experiment_items, query, names)
    found = between(found, query, "startTime", "fromStartTime", "toStartTime")
    groups = set(listed(query, "fields") or ["core", "dataset"])
    optional = {"scores": {"scores"}, "io": {"input", "output", "expectedOutput"}, "metadata": {"metadata"}}
    hidden = set().union(*(names for group, names in optional.items() if group not in groups))
    page, meta = by_cursor(found, query, most=100, strict=True)
    return 200, {"data": [{k: v for k, v in row.items() if k not in hidden} for row in page], "meta": meta}


def create_prompt(state: State, ids: Sequence[str], query: Query, body: Any) -> Answer:
    versions = [prompt for prompt in state.prompts if prompt["name"] == body["name"]]
    labels = list(dict.fromkeys([*(body.get("labels") or []), "latest"]))
    move_labels(versions, labels)
    prompt = {
        "config": {},
        "tags": [],
        "type": "text",
        **body,
        "labels": labels,
        "version": len(versions) + 1,
    }
    state.prompts.append(prompt)
    return 201, prompt


def list_prompts(state: State, ids: Sequence[str], query: Query, body: Any) -> Answer:
    by_name: dict[str, list[Wire]] = {}
    for prompt in state.prompts:
        by_name.setdefault(prompt["name"], []).append(prompt)
    metas = [
        {
            "name": name,
            "type": versions[-1]["type"],
            "versions": [prompt["version"] for prompt in versions],
            "labels": sorted({label for prompt in versions for label in prompt["labels"]}),
            "tags": versions[-1]["tags"],
            "lastUpdatedAt": now(),
            "lastConfig": versions[-1]["config"],
        }
        for name, versions in by_name.items()
        if name in query.get("name", [name])
    ]
    return 200, by_page(metas, query)


def get_prompt(state: State, ids: Sequence[str], query: Query, body: Any) -> Answer:
    versions = [prompt for prompt in state.prompts if prompt["name"] == ids[0]]
    if "version" in query:
        versions = [prompt for prompt in versions if str(prompt["version"]) in query["version"]]
    else:
        label = query.get("label", ["production"])[0]
        versions = [prompt for prompt in versions if label in prompt["labels"]]
    return (200, versions[-1]) if versions else missing()


def label_prompt(state: State, ids: Sequence[str], query: Query, body: Any) -> Answer:
    versions = [prompt for prompt in state.prompts if prompt["name"] == ids[0]]
    found = [prompt for prompt in versions if str(prompt["version"]) == ids[1]]
    if not found:
        return missing()
    move_labels(versions, body["newLabels"])
    found[0]["labels"] = list(dict.fromkeys([*found[0]["labels"], *body["newLabels"]]))
    return 200, found[0]


def create_config(state: State, ids: Sequence[str], query: Query, body: Any) -> Answer:
    if not re.fullmatch(r"[A-Za-z0-9_ .()-]{1,35}", body["name"]):
        raise Refused("no such name")
    if body["dataType"] != "CATEGORICAL" and body.get("categories"):
        raise Refused("only categorical configs take categories")
    config = {
        "id": new_id("config", body["name"], str(len(state.configs))),
        "projectId": state.project_id,
        "isArchived": False,
        "createdAt": now(),
        "updatedAt": now(),
        **body,
    }
    state.configs[config["id"]] = config
    return 200, config


def list_configs(state: State, ids: Sequence[str], query: Query, body: Any) -> Answer:
    return 200, by_page(list(state.configs.values()), query)


def get_config(state: State, ids: Sequence[str], query: Query, body: Any) -> Answer:
    return (200, state.configs[ids[0]]) if ids[0] in state.configs else missing()


def create_queue(state: State, ids: Sequence[str], query: Query, body: Any) -> Answer:
    if not set(body["scoreConfigIds"]) <= set(state.configs):
        raise Refused("unknown score config")
    queue = {
        "id": new_id("queue", body["name"], str(len(state.queues))),
        "createdAt": now(),
        "updatedAt": now(),
        **body,
    }
    state.queues[queue["id"]] = queue
    return 200, queue


def list_queues(state: State, ids: Sequence[str], query: Query, body: Any) -> Answer:
    return 200, by_page(list(state.queues.values()), query)


def get_queue(state: State, ids: Sequence[str], query: Query, body: Any) -> Answer:
    return (200, state.queues[ids[0]]) if ids[0] in state.queues else missing()


def create_queue_item(state: State, ids: Sequence[str], query: Query, body: Any) -> Answer:
    if ids[0] not in state.queues:
        return missing()
    state.given += 1  # an item that is added again is another item
    item = {"id": new_id("queue item", str(state.given)), "queueId": ids[0], "status": "PENDING"}
    item |= {**body, "completedAt": None, "createdAt": now(), "updatedAt": now()}
    state.queue_items.append(item)
    return 200, item


def list_queue_items(state: State, ids: Sequence[str], query: Query, body: Any) -> Answer:
    if ids[0] not in state.queues:
        return missing()
    wanted = query.get("status")
    mine = [item for item in state.queue_items if item["queueId"] == ids[0]]
    return 200, by_page([item for item in mine if wanted is None or item["status"] in wanted], query)


def get_queue_item(state: State, ids: Sequence[str], query: Query, body: Any) -> Answer:
    found = [item for item in state.queue_items if (item["queueId"], item["id"]) == (ids[0], ids[1])]
    return (200, found[0]) if found else missing()


def delete_queue_item(state: State, ids: Sequence[str], query: Query, body: Any) -> Answer:
    kept = [item for item in state.queue_items if item["id"] != ids[1]]
    if len(kept) == len(state.queue_items):
        return missing()
    state.queue_items[:] = kept
    return 200, {"success": True, "message": "deleted"}
