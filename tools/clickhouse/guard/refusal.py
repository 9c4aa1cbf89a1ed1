"""Refusals: every reason for which the guard turns SQL away, in words that the one who wrote it can act on."""

from __future__ import annotations

from typing import NoReturn

from hansei.errors import QueryRefused, RefusalReason

_SHOWN = 60


def refuse(reason: RefusalReason, message: str, remedy: str) -> NoReturn:
    """Raises the refusal."""
    raise QueryRefused(message, remedy, reason=reason)


def shown(text: object) -> str:
    """A name out of the SQL, fit for an error's one line."""
    line = " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}…"
