"""The words of a report in each language: one JSON file in ``templates/`` per language, ``en.json`` being the model.

Adding a language takes one file: copy ``en.json``, translate its values, and allow its code in the contracts.
Placeholders in braces keep their names. A test compares every catalogue with ``en.json``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from hansei.errors import UsageError

TEMPLATES = Path(__file__).parent / "templates"


class Scale(BaseModel):
    """A word for a power of ten, such as 1,000,000 = ``M``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    factor: int
    word: str


class Catalogue(BaseModel):
    """All that a language needs: texts by key, the names of the months, and its words for large numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    language: str
    months: list[str]
    scales: list[Scale]
    texts: dict[str, str]

    def text(self, key: str, /, **values: Any) -> str:
        """The text of a key with its placeholders filled. When `count` is 1, a key with ``.one`` wins.

        Raises:
            KeyError: for a key that the catalogue lacks (a mistake in the program).
        """
        if values.get("count") in (1, "1") and f"{key}.one" in self.texts:
            key = f"{key}.one"
        return self.texts[key].format(**values)


def languages() -> list[str]:
    """Codes of the languages that there is a catalogue for."""
    return sorted(path.stem for path in TEMPLATES.glob("??.json"))


_SPOKEN: ContextVar[str] = ContextVar("hansei_language", default="en")


@contextmanager
def speaking(language: str) -> Iterator[None]:
    """Within it, what is told without a language being named is told in this one."""
    token = _SPOKEN.set(language)
    try:
        yield
    finally:
        _SPOKEN.reset(token)


def say(key: str, /, **values: Any) -> str:
    """A phrase of the playbook (a key that begins with ``say.``) in the language that is being spoken."""
    return catalogue().text(f"say.{key}", **values)


def catalogue(language: str | None = None) -> Catalogue:
    """The catalogue of a language code; None: of the language that is being spoken, see `speaking`.

    Raises:
        UsageError: for a language that there is no catalogue for.
    """
    return _read(language or _SPOKEN.get())


@lru_cache
def _read(language: str) -> Catalogue:
    if language not in languages():
        raise UsageError("There are no texts in this language.", f"Choose one of: {', '.join(languages())}.")
    return Catalogue.model_validate(json.loads((TEMPLATES / f"{language}.json").read_text("utf-8")))
