"""Whether an answer of the data holds what masking takes out, also where its SQL gave it in parts or as digits.

The guard refuses functions that do nothing but write a text in another form. Of those that serve otherwise, two would
hide a secret from masking: an array of its letters, and `hex`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from hansei.tools.langfuse.masking import mask

LONGEST_PART = 16
"""Letters of an item of an array below which the items may be parts of one text."""
REACH = 150
"""Letters of a secret in such an array; masking takes runs of many more for bytes of a file."""

_DIGITS = re.compile(r"(?:[0-9A-Fa-f]{2}){8,}")


def is_personal(value: Any) -> bool:
    """Whether a cell (a text, or arrays and maps of them) holds personal data or a secret."""
    return any(mask(text) != text for text in (*_texts(value), *_hidden(value)))


def is_hidden(value: Any) -> bool:
    """Whether a cell holds such in a form in which masking its text would leave it."""
    return any(mask(text) != text for text in _hidden(value))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _texts(key)
            yield from _texts(item)
            if isinstance(key, str) and isinstance(item, str):
                yield f"{key}: {item}"  # a password is known by its name


def _hidden(value: Any) -> Iterator[str]:
    """What the digits in it stand for, and its arrays in one piece."""
    for text in _texts(value):
        for digits in _DIGITS.findall(text):
            yield bytes.fromhex(digits).decode("utf-8", "replace")
    if isinstance(value, list | tuple):
        if len(value) > 1 and all(isinstance(item, str) and len(item) <= LONGEST_PART for item in value):
            whole = "".join(value)
            yield from (whole[at : at + 2 * REACH] for at in range(0, len(whole), REACH))
        for item in value:
            if not isinstance(item, str):
                yield from _hidden(item)
