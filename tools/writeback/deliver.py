"""Sends what a journal has planned: in batches, resumable, with everything that Langfuse will not take named."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hansei.errors import LangfuseFailed
from hansei.tools.writeback.journal import Journal, Write, WriteKind, batches
from hansei.tools.writeback.queues import LISTED, Listing, send_listed

if TYPE_CHECKING:
    from hansei.tools.langfuse.api import Api

_BATCH = 50
"""Scores per request."""


@dataclass(frozen=True)
class Outcome:
    """How many of the planned writes Langfuse took, now and before, and which it will not take: id → why.

    `full` are ids of items that stay planned, since as many traces wait in their annotation queue as may.
    """

    written: int
    earlier: int
    rejected: dict[str, str]
    full: tuple[str, ...] = ()


def deliver(
    api: Api,
    journal: Journal,
    progress: Callable[[int, int], None] | None = None,
    *,
    only: Collection[str] | None = None,
) -> Outcome:
    """Writes what is left of the plan. After a fault, call it again: nothing is lost and nothing is there twice.

    Args:
        api: where to, with the keys of the journal's project.
        journal: the plan, and what became of it.
        progress: is told how many are done, of how many.
        only: ids of the plan that may be written; None: all of them.

    Raises:
        LangfuseFailed: Langfuse stays out of reach or takes nothing at all; what is done stays in the journal.
        UsageError: the keys belong to another project.
    """
    earlier = len(journal.written)
    left = [write for write in journal.left if only is None or write.id in only]
    if left:
        api.require_project(journal.project_id)
    done, order = 0, ("dataset", "dataset_item", "score")
    for kind in order:
        writes = [write for write in left if write.kind == kind]
        for batch in batches(writes, _BATCH if kind == "score" else 1):
            _send(api, journal, batch)
            done += len(batch)
            if progress:
                progress(done, len(left))
    listing, full = Listing(api), list[str]()
    for write in sorted((one for one in left if one.kind in LISTED), key=lambda one: LISTED.index(one.kind)):
        if not send_listed(listing, journal, write):
            full.append(write.id)
        done += 1
        if progress:
            progress(done, len(left))
    return Outcome(len(journal.written) - earlier, earlier, dict(journal.rejected), tuple(full))


def _send(api: Api, journal: Journal, batch: Sequence[Write]) -> None:
    ids = [write.id for write in batch]
    journal.sending(ids)
    try:
        complaint = _request(api, batch)
    except LangfuseFailed as failure:
        if failure.reason not in ("refused", "not_found"):
            raise
        complaint = f"HTTP {failure.status}"
    if complaint is None:
        journal.took(ids)
    elif len(batch) == 1:
        journal.refused({ids[0]: complaint})
    else:
        # Langfuse does not say which ones it took. With ids and times of ours, sending them again changes nothing.
        for write in batch:
            _send(api, journal, [write])


def _request(api: Api, batch: Sequence[Write]) -> str | None:
    """Sends a batch of one kind; returns why not all of it was taken, or None."""
    first = batch[0]
    if first.kind == "dataset":
        api.ask(api.client.datasets.create, **first.body)
        return None
    if first.kind == "dataset_item":
        api.ask(api.client.dataset_items.create, **first.body)
        return None
    answer = api.ask(api.client.scores.create, request=[request_of(write) for write in batch])
    rejected = getattr(answer, "rejected", 0)
    return f"{rejected} of {len(batch)} rejected" if rejected else None


def request_of(write: Write) -> Any:
    """The SDK's request for a write.

    Raises:
        pydantic.ValidationError: the body does not fit it.
    """
    from langfuse.api import (
        CreateAnnotationQueueItemRequest,
        CreateAnnotationQueueRequest,
        CreateDatasetItemRequest,
        CreateDatasetRequest,
        CreateScoreConfigRequest,
        CreateScoreRequest,
    )

    kinds: dict[WriteKind, type[Any]] = {
        "score": CreateScoreRequest,
        "dataset": CreateDatasetRequest,
        "dataset_item": CreateDatasetItemRequest,
        "score_config": CreateScoreConfigRequest,
        "queue": CreateAnnotationQueueRequest,
        "queue_item": CreateAnnotationQueueItemRequest,
    }
    return kinds[write.kind](**write.body)
