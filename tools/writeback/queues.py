"""Annotation queues: traces that people are to label, with the score configs that they label by.

Langfuse gives their ids, and takes the same thing twice. So what is there is listed before anything is added, and the
ids that Langfuse gave stand in the journal: what this run made by `given`, what was there before by `there`. A queue or
a config of the wanted name is taken as it is.

    journal.plan(queue_writes("to label", trace_ids, [ScoreConfig("no_refusal", "True when …")], project_id))
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from hansei.errors import LangfuseFailed
from hansei.tools.writeback.journal import Journal, Write, WriteKind

if TYPE_CHECKING:
    from hansei.tools.langfuse.api import Api

LISTED: tuple[WriteKind, ...] = ("score_config", "queue", "queue_item")
"""Kinds whose ids Langfuse gives, in the order in which they need each other."""

LONGEST_NAME = 35
"""Letters of a score config's name: Langfuse's own bound."""

_ATTEMPTS = 4
_PAGE = 100


@dataclass(frozen=True)
class ScoreConfig:
    """What people are asked for: true or false, one of some categories, or a number of a range."""

    name: str
    description: str
    categories: Sequence[str] = ()
    span: tuple[float, float] | None = None

    def body(self) -> dict[str, Any]:
        """As Langfuse's API takes it."""
        told: dict[str, Any] = {"name": self.name, "description": self.description}
        if self.categories:
            listed = [{"label": label, "value": float(i)} for i, label in enumerate(self.categories)]
            return {**told, "data_type": "CATEGORICAL", "categories": listed}
        if self.span is not None:
            return {**told, "data_type": "NUMERIC", "min_value": self.span[0], "max_value": self.span[1]}
        return {**told, "data_type": "BOOLEAN"}


def queue_writes(
    queue: str, trace_ids: Sequence[str], configs: Sequence[ScoreConfig], project_id: str, most: int | None = None
) -> Iterator[Write]:
    """A queue, what it is labelled by, and its traces.

    Args:
        queue: its name.
        trace_ids: what is to be labelled.
        configs: the scores that people give.
        project_id: whose queue it is.
        most: how many traces may wait in it when one is added; None: any number. What several runs planned and nobody
            has written yet is known to none of them, so it is looked at when it is written.
    """
    for config in configs:
        yield Write(kind="score_config", id=named_key("score_config", config.name), body=config.body())
    names = [config.name for config in configs]
    yield Write(kind="queue", id=named_key("queue", queue), body={"name": queue, "score_config_ids": names})
    for trace_id in trace_ids:
        body = {"queue": queue, "object_id": trace_id, "object_type": "TRACE"}
        yield Write(kind="queue_item", id=item_key(project_id, queue, trace_id), body=body, most=most)


def named_key(kind: WriteKind, name: str) -> str:
    """The id of a queue or of a score config in a journal."""
    return f"{kind.replace('_', ' ')} {name}"


def item_key(project_id: str, queue: str, trace_id: str) -> str:
    """An item's id in a journal: the same trace in the same queue."""
    told = "".join(f"{len(part)}:{part}" for part in (project_id, queue, trace_id))
    return f"hansei-{hashlib.sha256(told.encode()).hexdigest()[:40]}"


class Listing:
    """What a project has, listed when it is first asked for: name or trace → Langfuse's id."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._known: dict[tuple[WriteKind, str], dict[str, str]] = {}
        self._waiting: dict[str, int] = {}

    def find(self, write: Write) -> str | None:
        """Langfuse's id of what a write is about; None: it is not there."""
        if write.kind == "queue_item":
            queue = self._id_of("queue", str(write.body["queue"]))
            return None if queue is None else self._items(queue).get(str(write.body["object_id"]))
        return self._id_of(write.kind, str(write.body["name"]))

    def add(self, write: Write) -> str:
        """Adds it and returns Langfuse's id.

        Raises:
            LangfuseFailed: it was not added, or nobody knows; `forget` and `find` tell.
        """
        client = self._api.client
        made: Any
        if write.kind == "score_config":
            made = self._api.ask(client.score_configs.create, **write.body)
            self._named("score_config")[str(write.body["name"])] = made.id
        elif write.kind == "queue":
            configs = [self._needed("score_config", name) for name in write.body["score_config_ids"]]
            body = {**write.body, "score_config_ids": configs}
            made = self._api.ask(client.annotation_queues.create_queue, **body)
            self._named("queue")[str(write.body["name"])] = made.id
        else:
            queue = self._needed("queue", str(write.body["queue"]))
            trace_id, kind = str(write.body["object_id"]), write.body["object_type"]
            made = self._api.ask(
                client.annotation_queues.create_queue_item, queue, object_id=trace_id, object_type=kind
            )
            self._items(queue)[trace_id] = made.id
            self._waiting[queue] += 1
        return str(made.id)

    def is_full(self, write: Write) -> bool:
        """Whether as many items wait in the queue of a write as may."""
        queue = self._id_of("queue", str(write.body["queue"])) if write.most is not None else None
        if queue is None or write.most is None:
            return False
        self._items(queue)
        return self._waiting[queue] >= write.most

    def items(self, queue: str) -> list[Any]:
        """All items of a queue, as Langfuse shows them; none when there is no such queue."""
        id = self._id_of("queue", queue)
        return self._all(self._api.client.annotation_queues.list_queue_items, id) if id is not None else []

    def forget(self) -> None:
        """Lists anew when it is asked again."""
        self._known.clear()

    def _needed(self, kind: WriteKind, name: str) -> str:
        found = self._id_of(kind, name)
        if found is None:
            what = "queue" if kind == "queue" else "score config"
            raise LangfuseFailed(f"Langfuse has no {what} of that name.", "Plan the run again.", reason="not_found")
        return found

    def _id_of(self, kind: WriteKind, name: str) -> str | None:
        return self._named(kind).get(name)

    def _named(self, kind: WriteKind) -> dict[str, str]:
        if (kind, "") not in self._known:
            client = self._api.client
            ask = client.score_configs.get if kind == "score_config" else client.annotation_queues.list_queues
            usable = [one for one in self._all(ask) if not getattr(one, "is_archived", False)]
            # The oldest of a name counts, as it will the next time.
            self._known[kind, ""] = {one.name: one.id for one in sorted(usable, key=_age, reverse=True)}
        return self._known[kind, ""]

    def _items(self, queue: str) -> dict[str, str]:
        if ("queue_item", queue) not in self._known:
            items = self._all(self._api.client.annotation_queues.list_queue_items, queue)
            found = {one.object_id: one.id for one in sorted(items, key=_age, reverse=True)}
            self._known["queue_item", queue] = found
            self._waiting[queue] = sum(not _is_completed(one) for one in items)
        return self._known["queue_item", queue]

    def _all(self, ask: Callable[..., Any], *named: str) -> list[Any]:
        found: list[Any] = []
        number = 1
        while True:
            page = self._api.ask(ask, *named, page=number, limit=_PAGE)
            found += page.data
            if number >= page.meta.total_pages:
                return found
            number += 1


def _age(one: Any) -> tuple[Any, str]:
    return one.created_at, one.id


def send_listed(listing: Listing, journal: Journal, write: Write) -> bool:
    """Sees to it that a thing is there, once. Langfuse's id goes into the journal before this returns.

    Returns:
        False: it is an item that stays planned, since as many wait in its queue as may.

    Raises:
        LangfuseFailed: Langfuse is out of reach.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        if (found := listing.find(write)) is not None:
            # Once its sending was begun, it is this run's: an answer that was lost, or a process that was killed.
            (journal.gave if write.id in journal.sent else journal.met)({write.id: found})
            return True
        if listing.is_full(write):
            return False
        journal.sending([write.id])
        try:
            made = listing.add(write)
        except LangfuseFailed as failure:
            if failure.reason in ("refused", "not_found"):
                journal.refused({write.id: f"HTTP {failure.status}" if failure.status else failure.message})
                return True
            if attempt == _ATTEMPTS or failure.reason not in ("unreachable", "server", "rate_limit"):
                raise
            listing.forget()  # whether it was added is seen by listing again; that waits as long as it must
            continue
        journal.gave({write.id: made})
        return True
    raise AssertionError("the last attempt returns or raises")


@dataclass(frozen=True)
class InQueue:
    """What is in an annotation queue: all its traces, and how many items nobody has completed."""

    traces: frozenset[str] = frozenset()
    waiting: int = 0


def in_queue(api: Api, queue: str) -> InQueue:
    """What a queue holds; nothing when there is no queue of that name.

    Raises:
        LangfuseFailed: Langfuse cannot be asked.
    """
    items = Listing(api).items(queue)
    return InQueue(frozenset(one.object_id for one in items), sum(not _is_completed(one) for one in items))


def _is_completed(item: Any) -> bool:
    return cast(str, getattr(item.status, "value", item.status)) == "COMPLETED"


def items_of(api: Api, journal: Journal, writes: Iterable[Write]) -> dict[str, tuple[str, str, bool]]:
    """Of items that this run may have added: (queue's id, item's id, whether a person has completed it), by the
    journal's id. What Langfuse does not show is left out."""
    listing = Listing(api)
    found: dict[str, tuple[str, str, bool]] = {}
    for write in writes:
        queue = listing.find(Write(kind="queue", id="", body={"name": write.body["queue"]}))
        item = journal.given.get(write.id) or (listing.find(write) if queue else None)
        if queue is None or item is None:
            continue
        try:
            shown = api.ask(api.client.annotation_queues.get_queue_item, queue, item)
        except LangfuseFailed as failure:
            if failure.reason == "not_found":
                continue
            raise
        found[write.id] = (queue, shown.id, _is_completed(shown))
    return found
