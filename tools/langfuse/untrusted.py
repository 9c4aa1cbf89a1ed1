"""Text that came out of traces, made fit to be quoted to a model: visible, masked, short, and closed in.

A trace may hold anything: orders to whoever reads it, markers of chat templates, invisible letters, megabytes.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from hansei.tools.langfuse.masking import Mask, mask, unmasked

OPENING = '<data untrusted="true">'
CLOSING = "</data>"

LINE_END = "⏎"
"""Stands for the end of a line, so that a quoted text is one line and cannot begin one of its own."""

_LINE_ENDS = re.compile("\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")
_KEPT = set("\n\t\u200c\u200d") | {chr(code) for code in range(0xFE00, 0xFE10)}
"""Without a glyph of their own, but needed: joiners and variation selectors of scripts and emoji."""
_NO_GLYPH = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
_BLANK = set("\u034f\u115f\u1160\u2800\u3164\uffa0") | {chr(code) for code in range(0xE0100, 0xE01F0)}
_TEMPLATE = re.compile(
    r"<(?=\s*[/\\]?\s*(?:data\b|s>|start_of_turn|end_of_turn|bos>|eos>|pad>|unk>|think|tool|system|user|assistant"
    r"|function)|\||<|｜)"
    r"|\[(?=/?INST\]|/?SYSTEM_PROMPT\]|TOOL_|/?AVAILABLE_TOOLS\])",
    re.IGNORECASE,
)
"""Where a text could be taken for an end of its quotation or for a turn of a conversation by a chat template."""

_EDGE = 64
_LONGEST_WORD = 4_096


@dataclass(frozen=True)
class Text:
    """A text of a trace, of which only both ends are here when it is long; `length` counts its characters."""

    head: str = ""
    tail: str = ""
    length: int = 0

    @classmethod
    def of(cls, text: str) -> Text:
        """A text that is here as a whole."""
        return cls(text, "", len(text))

    def __bool__(self) -> bool:
        return self.length > 0


def visible(text: str) -> str:
    """Every character as one that can be seen: controls as ␀ ␁ …, other invisible ones and bidi marks as �.

    All kinds of line ends become a line feed. Markers of chat templates, and of the section that `quoted` makes, get
    another bracket (‹), so that they mark nothing.
    """
    text = _LINE_ENDS.sub("\n", text)
    if not text.isascii() or not text.replace("\n", "").isprintable():
        text = "".join(_shown(character) for character in text)
    return _without_markers(text)


def one_line(text: str, limit: int, masking: Mask = mask) -> str:
    """A short text (a name, a message) in one line of at most `limit` characters, cut at its end."""
    begin = text[: 4 * limit + _LONGEST_WORD]
    if len(begin) < len(text) and masking is not unmasked:
        begin = _without_end(begin)
    line = _clean(" ".join(begin.split()), masking)
    return line if len(line) <= limit and len(begin) == len(text) else f"{line[: max(0, limit - 1)]}…"[:limit]


def shortened(text: Text, limit: int, masking: Mask = mask) -> str:
    """A text in one line of at most `limit` characters: long ones are cut in the middle, and what is left out counted.

    It is masked before it is cut, so that no half of an address or a key stays behind.
    """
    reach = limit + _LONGEST_WORD
    head, tail = text.head[:reach], text.tail[-reach:]
    if not text.tail and len(text.head) > reach:
        tail = text.head[max(reach, len(text.head) - reach) :]
    whole = len(head) + len(tail) >= text.length
    if whole:
        head, tail = head + tail, ""
    elif masking is not unmasked:
        head, tail = _without_end(head), _without_start(tail)
    head, tail = _clean(head, masking), _clean(tail, masking)
    if whole and len(head) <= limit:
        return head
    if limit < 60:
        return head[: max(0, limit - 1)] + "…" if limit else ""
    room = limit - len(_gap(text.length))
    if whole:
        tail = head
    before = head[: room - room // 3]
    after = tail[len(tail) - min(len(tail), room // 3) :]
    kept = len(before) + len(after)
    return f"{before}{_gap(max(0, text.length - kept))}{after}"


def quoted(lines: str) -> str:
    """A marked section around text of `visible` and `shortened`, in which the closing marker cannot occur."""
    return f"{OPENING}\n{_without_markers(lines)}\n{CLOSING}"


def _without_markers(text: str) -> str:
    return _TEMPLATE.sub(lambda match: "‹" if match[0] == "<" else "［", text)


def _gap(left_out: int) -> str:
    return f" […{left_out:,} characters left out…] "


def _clean(text: str, masking: Mask) -> str:
    return visible(masking(text)).replace("\n", LINE_END)


def _shown(character: str) -> str:
    if character in _KEPT:
        return character
    if character < " ":
        return chr(0x2400 + ord(character))
    return "�" if character in _BLANK or unicodedata.category(character) in _NO_GLYPH else character


def _without_end(text: str) -> str:
    """Without the last word, which a cut may have left half of, and some more."""
    text = text[:-_EDGE]
    return text[: len(text) - _word(text[::-1])]


def _without_start(text: str) -> str:
    text = text[_EDGE:]
    return text[_word(text) :]


def _word(text: str) -> int:
    found = re.match(rf"\S{{0,{_LONGEST_WORD}}}", text)
    return found.end() if found else 0
