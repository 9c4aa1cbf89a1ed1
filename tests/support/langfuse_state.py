"""What the stand-in for Langfuse's API holds, and how lists of it are filtered and cut into pages."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tests.support.langfuse_types import camel

PROJECT_ID = "project-of-the-keys"

Wire = dict[str, Any]
Query = Mapping[str, list[str]]
Answer = tuple[int, Any]


class Refused(Exception):
    """The request does not fit the rules that Langfuse documents."""


@dataclass
class State:
    """Everything that the server holds, as it goes over the wire."""

    project_id: str = PROJECT_ID
    """The project that the keys belong to."""
    scores: dict[tuple[str, str, str], Wire] = field(default_factory=dict)
    """By (day, name, id): Langfuse's own key. A score that is sent again with another day or name is there twice."""
    observations: list[Wire] = field(default_factory=list)
    datasets: dict[str, Wire] = field(default_factory=dict)
    items: dict[str, Wire] = field(default_factory=dict)
    experiments: list[Wire] = field(default_factory=list)
    experiment_items: list[Wire] = field(default_factory=list)
    prompts: list[Wire] = field(default_factory=list)
    configs: dict[str, Wire] = field(default_factory=dict)
    queues: dict[str, Wire] = field(default_factory=dict)
    queue_items: list[Wire] = field(default_factory=list)
    given: int = 0
    """How many items of queues were given an id."""
    hidden_scores: set[str] = field(default_factory=set)
    """Ids of scores that were accepted but cannot be read yet."""
    poisoned: set[str] = field(default_factory=set)
    """Ids of traces whose scores are rejected."""

    def scores_named(self, name: str) -> list[Wire]:
        return [score for score in self.scores.values() if score["name"] == name]


def now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


def moment(text: str) -> datetime:
    parsed = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def new_id(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]


def missing() -> Answer:
    return 404, {"message": "not found", "error": "LangfuseNotFoundError"}


def listed(query: Query, name: str) -> list[str]:
    return [part for text in query.get(name, []) for part in text.split(",") if part]


def between(rows: Iterable[Wire], query: Query, column: str, first: str, last: str) -> list[Wire]:
    low = moment(query[first][0]) if first in query else None
    high = moment(query[last][0]) if last in query else None
    return [
        row
        for row in rows
        if (low is None or moment(row[column]) >= low) and (high is None or moment(row[column]) < high)
    ]


def chosen(rows: Iterable[Wire], query: Query, names: Mapping[str, str]) -> list[Wire]:
    found = list(rows)
    for name, column in names.items():
        if name in query:
            found = [row for row in found if row.get(column) in set(listed(query, name))]
    return found


def limit(query: Query, most: int, *, strict: bool) -> int:
    size = int(query.get("limit", ["50"])[0])
    if size < 1 or (strict and size > most):
        raise Refused("limit out of range")
    return min(size, most)


def by_cursor(rows: Sequence[Wire], query: Query, *, most: int, strict: bool) -> tuple[list[Wire], Wire]:
    size, start = limit(query, most, strict=strict), 0
    if "cursor" in query:
        try:
            last = json.loads(base64.urlsafe_b64decode(query["cursor"][0]))["after"]
        except (ValueError, KeyError):
            raise Refused("no such cursor") from None
        start = next((i + 1 for i, row in enumerate(rows) if row["id"] == last), len(rows))
    page = list(rows[start : start + size])
    if start + size >= len(rows):
        return page, {}
    return page, {"cursor": base64.urlsafe_b64encode(json.dumps({"after": page[-1]["id"]}).encode()).decode()}


def by_page(rows: Sequence[Wire], query: Query) -> Wire:
    page, size = int(query.get("page", ["1"])[0]), limit(query, 100, strict=False)
    pages = -(-len(rows) // size)
    return {
        "data": list(rows[(page - 1) * size : page * size]),
        "meta": {"page": page, "limit": size, "totalItems": len(rows), "totalPages": pages},
    }


def move_labels(versions: Iterable[Wire], labels: Sequence[str]) -> None:
    for prompt in versions:
        prompt["labels"] = [label for label in prompt["labels"] if label not in labels]


def observation(**fields: Any) -> Wire:
    """An observation as the API tells it, of what is given by the SDK's names; the rest is empty."""
    start = fields["start_time"]
    row: Wire = {
        "endTime": None, "projectId": PROJECT_ID, "parentObservationId": None, "type": "SPAN", "name": "step",
        "level": "DEFAULT", "statusMessage": "", "version": "", "environment": "default", "bookmarked": False,
        "public": False, "userId": "", "sessionId": "", "completionStartTime": None, "createdAt": start,
        "updatedAt": start, "input": "", "output": "", "metadata": {}, "model": "", "internalModelId": "",
        "modelParameters": "", "modelId": "", "inputPrice": None, "outputPrice": None, "totalPrice": None,
        "usageDetails": {}, "costDetails": {}, "totalCost": 0.0, "usagePricingTierName": None, "promptId": "",
        "promptName": "", "promptVersion": None, "latency": None, "timeToFirstToken": None, "tags": [], "release": "",
        "traceName": "",
    }  # fmt: skip
    row |= {camel(name): value for name, value in fields.items()}
    row["isRootObservation"] = row["parentObservationId"] is None
    return row
