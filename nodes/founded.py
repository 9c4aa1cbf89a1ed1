"""Whether one sentence of a model may be shown: it holds no link, and no number that its writer was not shown."""

from __future__ import annotations

import re

_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


def founded(text: str, material: str) -> bool:
    """Whether every number of a text stands in the material that its writer was shown, and it holds no link."""
    if re.search(r"://|www\.|\]\(|<\s*a\b|\bjavascript:", text, re.IGNORECASE):
        return False
    return set(_NUMBER.findall(text)) <= set(_NUMBER.findall(material))
