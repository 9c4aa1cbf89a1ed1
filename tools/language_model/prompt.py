"""Prompts: text files with tagged sections, apart from the code.

A file holds ``<system>`` and ``<user>``; ``{{name}}`` stands for a value that is put in. What comes out of traces is
put in as a quotation that it cannot leave, masked and of limited length.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hansei.tools.langfuse.masking import Mask, mask
from hansei.tools.langfuse.untrusted import one_line, quoted, visible

_PLACE = re.compile(r"\{\{(\w+)\}\}")


@dataclass(frozen=True)
class PromptVersion:
    """A version of a prompt in Langfuse, with the names by which its handler reads one."""

    name: str
    version: int
    is_fallback: bool = False


class Filled(list[Any]):
    """Messages that came of a prompt. `version`: Langfuse's, None for a packaged one."""

    def __init__(self, messages: Iterable[Any], version: PromptVersion | None = None) -> None:
        super().__init__(messages)
        self.version = version


@dataclass(frozen=True)
class Prompt:
    """A prompt's two sections, with places for values."""

    system: str
    user: str
    version: PromptVersion | None = None
    """Of one that Langfuse holds."""

    @property
    def messages(self) -> tuple[tuple[str, str], ...]:
        """(role, text)."""
        return ("system", self.system), ("user", self.user)

    def filled(self, values: Mapping[str, str]) -> Filled:
        """The messages (role, text). A value is never looked through for places itself.

        Raises:
            KeyError: a place has no value.
        """
        messages = [(role, _PLACE.sub(lambda match: values[match[1]], text)) for role, text in self.messages]
        return Filled(messages, self.version)


def places(text: str) -> frozenset[str]:
    """The names of the values that a text has places for."""
    return frozenset(_PLACE.findall(text))


def read_prompt(path: Path) -> Prompt:
    """Reads a prompt's file.

    Raises:
        ValueError: a section is missing, or there is more than one of a kind.
    """
    text = path.read_text(encoding="utf-8")
    return Prompt(_section(text, "system", path.name), _section(text, "user", path.name))


def quotation(lines: list[str], *, most_letters: int, longest_line: int = 300, masking: Mask = mask) -> str:
    """Lines that hold text out of traces, as one marked section; those beyond `most_letters` are counted, not shown."""
    shown: list[str] = []
    room = most_letters
    for line in lines:
        clean = one_line(line, longest_line, masking)
        room -= len(clean) + 1
        if room < 0:
            break
        shown.append(clean)
    if left_out := len(lines) - len(shown):
        shown.append(f"({left_out} more lines left out)")
    return quoted("\n".join(shown))


@dataclass(frozen=True)
class QuotedText:
    """A text of several lines: as it is shown, and in its marked section."""

    shown: str

    @property
    def section(self) -> str:
        """For the prompt."""
        return quoted(self.shown)


def quoted_text(text: str, most_letters: int, masking: Mask = mask) -> QuotedText:
    """A text whose line ends matter, masked, with the lines beyond `most_letters` left out."""
    shown = visible(masking(text))
    if len(shown) > most_letters:
        whole, _, _ = shown[:most_letters].rpartition("\n")
        shown = whole or shown[:most_letters]
    return QuotedText(shown)


def _section(text: str, tag: str, name: str) -> str:
    found = re.findall(rf"^<{tag}>\n(.*?)\n</{tag}>$", text, re.DOTALL | re.MULTILINE)
    if len(found) != 1:
        raise ValueError(f"{name} must hold one <{tag}> section.")
    return str(found[0])
