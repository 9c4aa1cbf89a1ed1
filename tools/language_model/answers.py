"""Answers of a model, kept in the user's cache directory for when the same is asked again.

The one place that uses langchain-community, whose SQLAlchemy cache is the table behind it. Another one can take its
place here: all others know `find_answer` and `keep_answer` only. A cache that cannot be used costs time, never a run.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import threading
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hansei import __version__

if TYPE_CHECKING:
    from langchain_core.caches import BaseCache
    from sqlalchemy import Select

NAME = "model-answers.sqlite"

MOST_BYTES = 64_000_000
"""Of the file, some ten thousand answers; where it would grow beyond, the oldest quarter goes."""

_caches: dict[Path, BaseCache | None] = {}
"""By file; None: it cannot be used."""
_lock = threading.Lock()


def cache_file() -> Path | None:
    """Where answers are kept: ``$XDG_CACHE_HOME/hansei``, else ``~/.cache/hansei``; None: there is no home."""
    named = os.environ.get("XDG_CACHE_HOME", "")
    try:
        base = Path(named) if os.path.isabs(named) else Path.home() / ".cache"
    except RuntimeError:
        return None
    return base / "hansei" / NAME


def find_answer(file: Path | None, identity: Sequence[str], asked: Mapping[str, Any]) -> dict[str, Any] | None:
    """What was answered before; None: nothing, or the cache cannot be used.

    Args:
        file: the cache; None: there is none.
        identity: which model at which address under which key. Nobody else's answers are found.
        asked: the whole question, as JSON values.
    """
    if (cache := _open(file)) is None:
        return None
    from sqlalchemy.exc import SQLAlchemyError

    try:
        found = cache.lookup(*_key(identity, asked))
        kept = json.loads(found[0].text) if found else None
    except (SQLAlchemyError, LookupError, TypeError, ValueError):
        return None
    return kept if isinstance(kept, dict) else None


def keep_answer(
    file: Path | None, identity: Sequence[str], asked: Mapping[str, Any], answer: Mapping[str, Any]
) -> None:
    """Keeps an answer; arguments as in `find_answer`."""
    if (cache := _open(file)) is None:
        return
    from langchain_core.outputs import Generation
    from sqlalchemy.exc import SQLAlchemyError

    try:
        cache.update(*_key(identity, asked), [Generation(text=json.dumps(answer))])
        _make_room(cache)
    except SQLAlchemyError:
        return  # full, locked by others for long, or gone: the answer is asked for again next time


def _make_room(cache: Any) -> None:
    """Lets the oldest answers go where the file holds too much. The room that they leave in it is used again."""
    from sqlalchemy import text
    from sqlalchemy.orm import Session

    table = cache.cache_schema.__tablename__
    with Session(cache.engine) as session:

        def held() -> int:
            pages, free, size = (
                int(session.scalar(text(f"PRAGMA {name}")) or 0)
                for name in ("page_count", "freelist_count", "page_size")
            )
            return (pages - free) * size

        while held() > MOST_BYTES:
            # SQLite numbers rows as they come in.
            oldest = f"SELECT rowid FROM {table} ORDER BY rowid LIMIT max(1, (SELECT count(*) / 4 FROM {table}))"
            gone: Any = session.execute(text(f"DELETE FROM {table} WHERE rowid IN ({oldest})"))
            session.commit()
            if not gone.rowcount:
                return


def _key(identity: Sequence[str], asked: Mapping[str, Any]) -> tuple[str, str]:
    """The question and who is asked, as digests: neither a prompt nor a key is stored."""
    parts = ([__version__, asked], list(identity))
    question, model = (hashlib.sha256(json.dumps(part, sort_keys=True).encode()).hexdigest() for part in parts)
    return question, model


def _open(file: Path | None) -> BaseCache | None:
    if file is None:
        return None
    with _lock:
        if file not in _caches:
            _caches[file] = _opened(file)
        return _caches[file]


def _opened(file: Path) -> BaseCache | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # langchain-community says that it ends
        from langchain_community.cache import SQLAlchemyCache
    from langchain_core.outputs import Generation
    from sqlalchemy import URL, create_engine, select
    from sqlalchemy.exc import SQLAlchemyError
    from sqlalchemy.orm import Session
    from sqlalchemy.pool import NullPool

    class Answers(SQLAlchemyCache):
        """Reads the text of what is kept and nothing else: a file that others changed can make no object of theirs."""

        def lookup(self, prompt: str, llm_string: str) -> list[Generation] | None:
            table = self.cache_schema
            asked: Select[str] = (
                select(table.response).where(table.prompt == prompt, table.llm == llm_string).order_by(table.idx)
            )
            with Session(self.engine) as session:
                rows = session.scalars(asked).all()
            return [Generation(text=json.loads(row)["kwargs"]["text"]) for row in rows] or None

    try:
        _private(file)
        # Without a pool: no connection stays open between two questions.
        engine = create_engine(
            URL.create("sqlite", database=str(file)), poolclass=NullPool, connect_args={"timeout": 2}
        )
        return Answers(engine)
    except (OSError, SQLAlchemyError):
        return None


def _private(file: Path) -> None:
    """Makes the file for its owner alone, since it holds what a model made of traces.

    Raises:
        OSError: it is another's, a link, or cannot be made.
    """
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0), 0o600)
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError("no file")
        if os.name == "posix":
            os.fchmod(handle, 0o600)
    finally:
        os.close(handle)
