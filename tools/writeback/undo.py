"""Removes exactly what a run wrote: only ids in its journal, and of these only what still names that run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hansei.errors import LangfuseFailed
from hansei.tools.writeback.journal import Journal, Write, batches
from hansei.tools.writeback.queues import items_of

if TYPE_CHECKING:
    from hansei.tools.langfuse.api import Api

_PAGE = 50


@dataclass(frozen=True)
class Undone:
    """What became of the ids that a run may have written.

    Args:
        removed: they were the run's, and are gone.
        others: they are in Langfuse, but a later run or somebody else wrote them last: left alone. So are items of an
            annotation queue that a person has completed.
        missing: Langfuse does not show them: removed by somebody already, or too new to be seen.
        kept: what cannot be removed over the API: datasets, queues and score configs.
    """

    removed: tuple[str, ...]
    others: tuple[str, ...]
    missing: tuple[str, ...]
    kept: tuple[Write, ...]


def undo(api: Api, journal: Journal, *, dry_run: bool) -> Undone:
    """Looks up what the run wrote, and removes it unless it is a dry run. May be called again after a fault.

    Raises:
        LangfuseFailed: Langfuse is out of reach; what was removed until then is in the journal.
        UsageError: the keys belong to another project.
    """
    sent = [write for write in journal.planned.values() if write.id in journal.sent]
    if sent:
        api.require_project(journal.project_id)
    removed: list[str] = []
    others: list[str] = []
    missing: list[str] = []
    for batch in batches([write.id for write in sent if write.kind == "score"], _PAGE):
        runs = _runs_of_scores(api, batch)
        _sort(batch, runs, journal.run_id, removed, others, missing)
    for identity in [write.id for write in sent if write.kind == "dataset_item"]:
        _sort([identity], _run_of_item(api, identity), journal.run_id, removed, others, missing)
    items = [write for write in sent if write.kind == "queue_item"]
    listed = items_of(api, journal, items) if items else {}
    for write in items:
        # What a person has completed is their work as well.
        run = {write.id: None if listed[write.id][2] else journal.run_id} if write.id in listed else {}
        _sort([write.id], run, journal.run_id, removed, others, missing)
    gone = [identity for identity in missing if identity in journal.undoing]
    if not dry_run:
        journal.removed(gone)
        for identity in removed:
            journal.removing([identity])
            if identity in listed:
                _gone(api, api.client.annotation_queues.delete_queue_item, *listed[identity][:2])
            elif journal.planned[identity].kind == "score":
                _gone(api, api.client.scores.delete, identity)
            else:
                _gone(api, api.client.dataset_items.delete, identity)
            journal.removed([identity])
    kept = tuple(write for write in sent if write.kind in ("dataset", "queue", "score_config"))
    return Undone(tuple(removed), tuple(others), tuple(one for one in missing if one not in gone), kept)


def _sort(
    ids: Sequence[str],
    runs: dict[str, str | None],
    run_id: str,
    removed: list[str],
    others: list[str],
    missing: list[str],
) -> None:
    for identity in ids:
        if identity not in runs:
            missing.append(identity)
        elif runs[identity] == run_id:
            removed.append(identity)
        else:
            others.append(identity)


def _runs_of_scores(api: Api, ids: Sequence[str]) -> dict[str, str | None]:
    """Which run the scores name in their metadata; scores that Langfuse does not show are left out."""
    page = api.ask(api.client.scores.get_many, id=",".join(ids), fields="details", limit=100)
    return {score.id: _run_in(score.metadata) for score in page.data}


def _run_of_item(api: Api, identity: str) -> dict[str, str | None]:
    try:
        item = api.ask(api.client.dataset_items.get, identity)
    except LangfuseFailed as failure:
        if failure.reason == "not_found":
            return {}
        raise
    return {identity: _run_in(item.metadata)}


def _run_in(metadata: Any) -> str | None:
    run = metadata.get("hansei_run") if isinstance(metadata, dict) else None
    return run if isinstance(run, str) else None


def _gone(api: Api, delete: Callable[..., Any], *ids: str) -> None:
    try:
        api.ask(delete, *ids)
    except LangfuseFailed as failure:
        if failure.reason != "not_found":  # gone is what was wanted
            raise
