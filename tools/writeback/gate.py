"""A journal's plan before the approval gate (`hansei.graph.writes`), and what does the writing behind it.

journal = open_journal(folder)
outcome = write_if_approved(plan_of(journal), Performing(journal), decide, check=fits)
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence

from hansei.context import Context
from hansei.contracts.writes import PendingWrite, WritePlan, WriteResult
from hansei.errors import HanseiError
from hansei.tools.langfuse.api import open_api
from hansei.tools.langfuse.connection import Server
from hansei.tools.writeback.deliver import deliver, request_of
from hansei.tools.writeback.journal import Journal, Write, kept_journal
from hansei.tools.writeback.queues import LISTED, named_key


def plan_of(journal: Journal) -> WritePlan:
    """What is left to be written, for the approval gate."""
    kinds = sorted({write.kind.replace("_", " ") + "s" for write in journal.left})
    what = f"{', '.join(kinds) or 'nothing'} of run {journal.run_id}"
    return plan_to_write(what, journal.project_id, journal.left)


def plan_to_write(what: str, project_id: str, writes: Iterable[Write]) -> WritePlan:
    """Writes to a project, for the approval gate; `what` tells people what they are together."""
    server = Server.from_environment()
    at = f" at {server.address}" if server else ""
    return WritePlan(
        what=what,
        where=f"Langfuse{at}, project {project_id}",
        writes=[
            PendingWrite(key=write.id, what=_told(write), content=write.model_dump(exclude={"id"}), project=project_id)
            for write in writes
        ],
    )


def fits(write: PendingWrite) -> None:
    """Raises ValueError when a person's edit cannot be written, or would take a write out of its run's hands."""
    edited = Write.model_validate({**write.content, "id": write.key})
    if edited.kind in LISTED:
        if edited.kind == "queue_item" or write.key != named_key(edited.kind, str(edited.body.get("name"))):
            raise ValueError("what goes into a queue may be left out; only descriptions may be changed")
        request_of(edited)
        return
    named = edited.body.get("name" if edited.kind == "dataset" else "id")
    if named != write.key:
        raise ValueError("the id may not be changed: it is what undo and a rerun find it by")
    if edited.kind != "dataset" and "hansei_run" not in (edited.body.get("metadata") or {}):
        raise ValueError("the metadata must keep hansei_run")
    request_of(edited)


class Performing:
    """Does the writes that were approved, for `hansei.graph.writes`. `failure` is what ended it early, if anything."""

    def __init__(self, journal: Journal, progress: Callable[[int, int], None] | None = None) -> None:
        self.failure: HanseiError | None = None
        self.full: tuple[str, ...] = ()
        """Ids of what stays planned, since as many traces wait in its annotation queue as may."""
        self._journal, self._progress = journal, progress

    def __call__(self, writes: Sequence[PendingWrite], context: Context) -> Iterable[WriteResult]:
        journal = self._journal
        wanted = [Write.model_validate({**write.content, "id": write.key}) for write in writes]
        journal.plan(write for write in wanted if journal.planned[write.id] != write)
        ids = [write.id for write in wanted]
        try:
            with open_api() as api:
                self.full = deliver(api, journal, self._progress, only=ids).full
        except HanseiError as failure:
            self.failure = failure
            yield from self._results(ids)
            raise
        yield from self._results(ids)

    def _results(self, ids: Sequence[str]) -> Iterator[WriteResult]:
        for identity in ids:
            if identity in self._journal.written:
                yield WriteResult(key=identity)
            elif identity in self._journal.rejected:
                yield WriteResult(key=identity, error=f"Langfuse will not take it: {self._journal.rejected[identity]}")
            elif identity in self.full:
                yield WriteResult(key=identity, error="as many traces wait in the annotation queue as may")


def send(writes: Sequence[PendingWrite], context: Context) -> Iterator[WriteResult]:
    """Does writes that were approved where there is no run's folder, as on a server.

    Each run that the writes' metadata name has its journal (`kept_journal`), by which `hansei undo RUN` takes back what
    was sent. What was sent before is sent once more: under ids of the plan's own, that changes nothing.
    """
    wanted, projects = [], {write.project for write in writes if write.project}
    for write in writes:
        try:
            fits(write)
        except ValueError as error:
            yield WriteResult(key=write.key, error=" ".join(str(error).split())[:300])
        else:
            wanted.append(write)
    if not wanted:
        return
    with open_api() as api:
        project = api.project_id()
        for one in projects:
            api.require_project(one)
    for run, group in _by_run(wanted).items():
        with kept_journal(run, project) as journal:
            journal.plan((Write.model_validate({**write.content, "id": write.key}) for write in group), again=True)
            for result in Performing(journal)(group, context):
                yield result.model_copy(update={"run": run})


def _by_run(writes: Sequence[PendingWrite]) -> dict[str, list[PendingWrite]]:
    """The writes by the run that their metadata name; what has none, as a dataset, goes before the first one's."""
    named = [str((write.content["body"].get("metadata") or {}).get("hansei_run") or "") for write in writes]
    first = next((run for run in named if run), "")
    if not first:
        keys = json.dumps(sorted(write.key for write in writes))
        first = f"approved-{hashlib.sha256(keys.encode()).hexdigest()[:16]}"
    groups: dict[str, list[PendingWrite]] = {first: []}
    for run, write in zip(named, writes, strict=True):
        groups.setdefault(run or first, []).append(write)
    return groups


def _told(write: Write) -> str:
    body = write.body
    if write.kind == "score":
        value = body["value"] if body["data_type"] != "BOOLEAN" else bool(body["value"])
        return f"score {body['name']} = {value} on trace {body['trace_id']}"
    if write.kind == "dataset":
        return f"dataset {write.id}"
    if write.kind == "queue_item":
        return f"trace {body['object_id']} in the annotation queue {body['queue']}"
    if write.kind in LISTED:
        return f"{'annotation ' if write.kind == 'queue' else ''}{write.id}"
    outcome = (body.get("metadata") or {}).get("outcome")
    how = f" ({outcome})" if outcome else ""
    return f"item of {body['dataset_name']} from trace {body.get('source_trace_id', '')}{how}"
