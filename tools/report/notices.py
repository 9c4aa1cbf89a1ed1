"""Remarks of a run (reasons, gaps, notes, questions) in the reader's language.

They are written in English where they arise, which is below or beside the report's floor, and stand so in report.json.
Here a sentence of the English catalogue, recognised by its fixed parts, is told again in another language; what is not
recognised stays as it is.
"""

from __future__ import annotations

import re
from functools import lru_cache

from hansei.tools.report.catalogue import catalogue

_GROUPS = ("said.", "say.question.")
_NUMBER = r"[\d,]+"
_VALUES = {"count": _NUMBER, "rewritten": _NUMBER, "replaced": _NUMBER, "share": r"\d+", "name": r"\w+"}
"""What stands for a placeholder; anything for those not named."""

_FIELD = re.compile(r"\{(\w+)\}")


def said(text: str, language: str) -> str:
    """A remark in `language`; several may be joined by semicolons."""
    if language == "en" or not text:
        return text
    whole = _again(text, language)
    if whole is not None:
        return whole
    parts = [_again(part, language) or part for part in text.split("; ")]
    return catalogue(language).text("notice.join").join(parts)


def _again(text: str, language: str) -> str | None:
    for key, pattern in _patterns():
        if match := pattern.fullmatch(text):
            values = match.groupdict()
            if "reason" in values:  # a remark as well
                values["reason"] = said(values["reason"], language)
            return catalogue(language).text(key, **values)
    return None


@lru_cache
def _patterns() -> list[tuple[str, re.Pattern[str]]]:
    """The English sentences as patterns, those with most fixed text first."""
    texts = {key: text for key, text in catalogue("en").texts.items() if key.startswith(_GROUPS)}
    found = []
    for key, text in sorted(texts.items(), key=lambda item: -len(_FIELD.sub("", item[1]))):
        parts = _FIELD.split(text)
        pattern = "".join(
            re.escape(part) if i % 2 == 0 else f"(?P<{part}>{_VALUES.get(part, '.+?')})" for i, part in enumerate(parts)
        )
        found.append((key, re.compile(pattern, re.DOTALL)))
    return found
