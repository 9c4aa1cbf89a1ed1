"""Text that came out of traces or a model, made fit to be shown: nothing hidden, nothing endless, no false link."""

from __future__ import annotations

import unicodedata
from urllib.parse import urlsplit

_HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Unicode categories without a glyph of their own: controls, bidi marks and overrides, zero-width, lone surrogates."""

_BLANK = set("\u034f\u115f\u1160\u2800\u3164\uffa0")
"""Letters and marks that have no glyph all the same: fillers of Hangul and Braille, the grapheme joiner."""


def visible(text: str) -> str:
    """Shows characters that a reader could not see, or that reorder what is seen, as ``⟨U+202E⟩``.

    Line feeds and tabs stay, carriage returns go before a line feed.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_shown(character) for character in text.replace("\r\n", "\n"))


def one_line(text: str) -> str:
    """`visible` text with every run of blanks and line ends as one space."""
    return " ".join(visible(text).split())


def excerpt(text: str, length: int = 200) -> str:
    """The first `length` characters, and how many were left out."""
    return text if len(text) <= length else f"{text[:length]}… (+{len(text) - length:,})"


def safe_url(url: str | None) -> str | None:
    """The address if it is a plain http(s) link that can be shown in a report, else None.

    Refused are other schemes, addresses without a host, with a user name or password, or with characters that an
    address cannot contain.
    """
    if not url or any(character.isspace() or _is_hidden(character) or character in "<>\"'`\\" for character in url):
        return None
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return None
    return url if parts.scheme in ("http", "https") and host and "@" not in parts.netloc else None


def _shown(character: str) -> str:
    return f"⟨U+{ord(character):04X}⟩" if _is_hidden(character) else character


def _is_hidden(character: str) -> bool:
    if character in "\n\t":
        return False
    return character in _BLANK or unicodedata.category(character) in _HIDDEN
