"""What endpoints turned out to want, kept in the user's cache directory beside the answers, for later runs.

A file for its owner alone. It holds neither an address nor a key: an endpoint and model are a digest. What is too old,
of another version of Hansei or of another shape is as if it were not there, and so is a file that cannot be read.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hansei import __version__
from hansei.tools.langfuse.connection import shown_address

NAME = "model-ways.json"

FRESH = 14 * 86_400
"""Seconds for which it is believed: servers are renewed."""

MOST = 100
"""Endpoints that are kept; the one that was found out longest ago goes first."""

LARGEST = 200_000
"""Bytes of a file that is read."""


class Kept(BaseModel):
    """What is kept of an endpoint: the fields of `hansei.tools.language_model.habits.Habits` that last."""

    model_config = ConfigDict(extra="forbid")

    way: Literal["json_schema", "function", "prompt"]
    limit: Literal["max_tokens", "max_completion_tokens"]
    longest: int = Field(ge=1, le=100_000)
    cold: bool
    streams: bool
    renamed: bool
    tools: bool | None
    window: int | None = Field(ge=1)


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid")

    at: float
    hansei: str
    kept: Kept


def recall(file: Path | None, place: tuple[str, str | None]) -> Kept | None:
    """What is known of a model at an address; None: nothing that can be believed.

    Args:
        file: where answers are kept; None: nothing is.
        place: the model's name, and the address or None.
    """
    if file is None:
        return None
    entry = _read(file.with_name(NAME)).get(_digest(place))
    return entry.kept if entry is not None and _is_fresh(entry) else None


def remember(file: Path | None, place: tuple[str, str | None], kept: Kept | None) -> None:
    """Keeps what is known; None: forgets it. Arguments as in `recall`."""
    if file is None:
        return
    path = file.with_name(NAME)
    known = {key: entry for key, entry in _read(path).items() if _is_fresh(entry)}
    known.pop(_digest(place), None)
    if kept is not None:
        known[_digest(place)] = _Entry(at=time.time(), hansei=__version__, kept=kept)
    newest = sorted(known, key=lambda key: known[key].at)[-MOST:]
    with suppress(OSError):  # then it is found out again
        _write(path, json.dumps({key: known[key].model_dump() for key in newest}))


def _is_fresh(entry: _Entry) -> bool:
    return entry.hansei == __version__ and 0 <= time.time() - entry.at <= FRESH


def _digest(place: tuple[str, str | None]) -> str:
    model, url = place
    # Without a user, a password and a query in the address, which a digest might give away.
    where = [model, shown_address(url or "").rstrip("/")]
    return hashlib.sha256(json.dumps(where).encode()).hexdigest()


def _read(path: Path) -> dict[str, _Entry]:
    """The entries of a file that can be read."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0))
        with os.fdopen(handle, "rb") as opened:
            found: Any = json.loads(opened.read(LARGEST))
    except (OSError, ValueError, RecursionError):
        return {}
    entries: dict[str, _Entry] = {}
    for key, entry in found.items() if isinstance(found, dict) else ():
        with suppress(ValidationError):
            entries[key] = _Entry.model_validate(entry)
    return entries


def _write(path: Path, text: str) -> None:
    """Puts a file of ours in its place, whatever was there."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, made = tempfile.mkstemp(dir=path.parent, prefix=NAME)  # for its owner alone
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as opened:
            opened.write(text)
        os.replace(made, path)
    except OSError:
        with suppress(OSError):
            os.unlink(made)
        raise
