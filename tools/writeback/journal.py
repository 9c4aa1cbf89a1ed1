"""What a run means to write to Langfuse and what became of it: JSON lines that survive the end of the process.

A line is on the disk (fsync) before what it announces is done, and the answer's line before the next request. So after
kill -9 at any moment the file says what is surely written, what may be written, and what is not. What has an id of ours
is simply sent again; what Langfuse names (see `queues`) is looked for before.

    {"begin": {"run_id": …, "project_id": …}}
    {"plan": [{"kind": "score", "id": …, "body": {…}}, …]}
    {"sending": [id, …]}        may be written from here on
    {"written": [id, …]}        Langfuse took them
    {"rejected": {id: reason}}  Langfuse will not take them
    {"given": {id: theirs}}     written, under an id that Langfuse gave
    {"there": {id: theirs}}     was there before: nothing of this run
    {"undoing": [id, …]}        may be removed again from here on
    {"undone": [id, …]}         removed again
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hansei.errors import UsageError

T = TypeVar("T")

JOURNAL = "writes.jsonl"
"""The journal's name in the folder of a run."""

WriteKind = Literal["score", "dataset", "dataset_item", "score_config", "queue", "queue_item"]


class Write(BaseModel):
    """One thing that is to be in Langfuse.

    Args:
        kind: what it is.
        id: its id there; of a dataset its name; of what Langfuse names, the id in this journal.
        body: the fields of the SDK's request, by the SDK's names, as plain JSON data.
        most: of an item of an annotation queue, how many may wait there with it; None: any number.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: WriteKind
    id: str
    body: dict[str, Any]
    most: int | None = Field(None, exclude_if=lambda most: most is None)


class Journal:
    """The journal of one run. One process at a time: opened by `open_journal`, closed at the end of a `with`."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path = path
        self.run_id = ""
        self.project_id = ""
        self.planned: dict[str, Write] = {}
        self.sent: set[str] = set()
        """Ids that may be in Langfuse: their sending was begun and they were not removed since."""
        self.written: set[str] = set()
        self.rejected: dict[str, str] = {}
        self.given: dict[str, str] = {}
        """Ids that Langfuse gave to what this run wrote."""
        self.there: dict[str, str] = {}
        """Ids of what was in Langfuse before, which is none of this run's."""
        self.undone: set[str] = set()
        self.undoing: set[str] = set()
        """Ids whose removal was begun: when Langfuse does not show one of them, it is gone."""
        self._file = file

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self._file.close()

    @property
    def left(self) -> list[Write]:
        """What is planned and neither surely written nor rejected, in the planned order."""
        return [write for write in self.planned.values() if write.id not in self.written | self.rejected.keys()]

    def plan(self, writes: Iterable[Write], *, again: bool = False) -> int:
        """Adds what is to be written; what is planned already with the same content is left as it is.

        Args:
            writes: what is to be there.
            again: what was written before is sent once more, since somebody may have removed it there.

        Returns:
            How many are new or changed.
        """
        fresh = {write.id: write for write in writes if again or self.planned.get(write.id) != write}
        if fresh:
            self._add({"plan": [write.model_dump(mode="json") for write in fresh.values()]})
        return len(fresh)

    def sending(self, ids: Sequence[str]) -> None:
        self._add({"sending": list(ids)})

    def took(self, ids: Sequence[str]) -> None:
        """Langfuse took them."""
        self._add({"written": list(ids)})

    def refused(self, reasons: Mapping[str, str]) -> None:
        """Langfuse will never take them, and why."""
        self._add({"rejected": dict(reasons)})

    def gave(self, ids: Mapping[str, str]) -> None:
        """Langfuse took them, and gave them these ids."""
        self._add({"given": dict(ids)})

    def met(self, ids: Mapping[str, str]) -> None:
        """They were in Langfuse already, under these ids."""
        self._add({"there": dict(ids)})

    def removing(self, ids: Sequence[str]) -> None:
        self._add({"undoing": list(ids)})

    def removed(self, ids: Sequence[str]) -> None:
        self._add({"undone": list(ids)})

    def _add(self, record: dict[str, Any]) -> None:
        line = json.dumps(record, ensure_ascii=True, separators=(",", ":")).encode() + b"\n"
        self._file.write(line)
        self._file.flush()
        os.fsync(self._file.fileno())
        self._apply(record)

    def _apply(self, record: Mapping[str, Any]) -> None:
        match record:
            case {"begin": {"run_id": str(run_id), "project_id": str(project_id)}}:
                self.run_id, self.project_id = run_id, project_id
            case {"plan": list(writes)}:
                for write in map(Write.model_validate, writes):
                    self.planned[write.id] = write
                    self.written.discard(write.id)
                    self.rejected.pop(write.id, None)
                    self.undone.discard(write.id)
            case {"sending": list(ids)}:
                self.sent.update(ids)
                self.undone.difference_update(ids)
                self.undoing.difference_update(ids)
            case {"undoing": list(ids)}:
                self.undoing.update(ids)
            case {"written": list(ids)}:
                self.written.update(ids)
            case {"rejected": dict(reasons)}:
                self.rejected.update(reasons)
                self.sent.difference_update(reasons)
            case {"given": dict(given)}:
                self.given.update(given)
                self.written.update(given)
            case {"there": dict(there)}:
                self.there.update(there)
                self.written.update(there)
            case {"undone": list(ids)}:
                for identity in ids:
                    self.given.pop(identity, None)
                self.undone.update(ids)
                self.written.difference_update(ids)
                self.sent.difference_update(ids)
            case _:
                raise ValueError("no record of a journal")


def batches(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """The items in runs of `size`, the last one shorter."""
    return (items[start : start + size] for start in range(0, len(items), size))


def open_journal(folder: Path, *, run_id: str = "", project_id: str = "") -> Journal:
    """Opens the journal of a run, and makes it when `run_id` and `project_id` are given and there is none.

    Raises:
        UsageError: there is none; it belongs to another run or project; another process has it open; it is damaged
            other than in its last line, which a killed process may have left half written.
    """
    path = folder / JOURNAL if folder.suffix != ".jsonl" else folder
    if not run_id and not path.is_file():
        raise UsageError(f"“{folder}” holds no {JOURNAL}.", "Name the folder of a run that wrote to Langfuse.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+b")
    except OSError as error:
        raise UsageError(f"“{path}” cannot be opened: {error.strerror}.", "Choose another folder.") from None
    try:
        journal = _read(path, file)
        if not journal.run_id:
            if not run_id:
                raise UsageError(f"“{path}” is empty.", "Nothing was written in this run.")
            journal._add({"begin": {"run_id": run_id, "project_id": project_id}})
            _sync_folder(path.parent)
        elif run_id and (journal.run_id, journal.project_id) != (run_id, project_id):
            raise UsageError(f"“{path}” belongs to another run.", "Give each run a folder of its own.")
    except BaseException:
        file.close()
        raise
    return journal


def find_journal(run: str, near: Path) -> Path:
    """The journal of a run that is named by its folder, its journal file, or its id.

    An id is looked for in the folders of `near`, two levels deep, and among the journals of what graphs sent.

    Raises:
        UsageError: there is none.
    """
    given = Path(run)
    for path in (given / JOURNAL, given):
        if path.is_file() and path.suffix == ".jsonl":
            return path
    places = [*near.glob(JOURNAL), *near.glob(f"*/{JOURNAL}"), *near.glob(f"*/*/{JOURNAL}")]
    kept = journals_folder()
    for path in sorted(places) + (sorted(kept.glob(f"*/{JOURNAL}")) if kept else []):
        with path.open("rb") as file:
            first = file.readline(100_000)
        try:
            if json.loads(first)["begin"]["run_id"] == run:
                return path
        except (ValueError, LookupError, TypeError):
            continue
    raise UsageError(
        f"There is no run “{run[:80]}” that wrote to Langfuse.", f"Name the folder of the run that holds its {JOURNAL}."
    )


def journals_folder() -> Path | None:
    """Where journals are kept of what is written without a run's folder, as by a server's graph.

    That is HANSEI_JOURNALS, else ``$XDG_STATE_HOME/hansei/writes``, else ``~/.local/state/hansei/writes``; None: there
    is no home.
    """
    named, state = os.environ.get("HANSEI_JOURNALS", ""), os.environ.get("XDG_STATE_HOME", "")
    try:
        base = Path(state) if os.path.isabs(state) else Path.home() / ".local" / "state"
        return Path(named).expanduser() if named else base / "hansei" / "writes"
    except RuntimeError:
        return None


def kept_journal(run_id: str, project_id: str) -> Journal:
    """Opens the journal, among those of `journals_folder`, of what a run wrote to a project; makes it if need be.

    Raises:
        UsageError: there is no place for it, or see `open_journal`.
    """
    folder = journals_folder()
    remedy = "Set HANSEI_JOURNALS to a folder that stays."
    if folder is None:
        raise UsageError("There is no place for the journal of what is written.", remedy)
    # A run's id comes with the plan: it may be anything, and names no other folder.
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", run_id)[:60]
    digest = hashlib.sha256(json.dumps([run_id, project_id]).encode()).hexdigest()[:12]
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)  # the texts of traces are in it
    except OSError as error:
        raise UsageError(f"“{folder}” cannot be made: {error.strerror}.", remedy) from None
    return open_journal(folder / f"{plain}-{digest}", run_id=run_id, project_id=project_id)


def _read(path: Path, file: BinaryIO) -> Journal:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise UsageError(f"Another process is writing “{path}”.", "Wait until it ends.") from None
    journal = Journal(path, file)
    file.seek(0)
    lines = file.read().split(b"\n")
    torn = lines.pop()
    if torn:
        file.truncate(file.tell() - len(torn))
    for number, line in enumerate(lines, start=1):
        try:
            journal._apply(json.loads(line))
        except (ValueError, ValidationError, TypeError):
            raise UsageError(
                f"Line {number} of “{path}” is damaged.", "Repair or remove it; the scores' metadata name their run."
            ) from None
    return journal


def _sync_folder(folder: Path) -> None:
    """Puts the new file's name on the disk as well."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
