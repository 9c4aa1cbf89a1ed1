"""From a question's letters to its words: the lexicon of both languages, and the report's own names.

Every word gets each meaning that it may have; the grammar chooses. The longest word wins, so that a name that holds
other words stays one. A word that is in neither list is told to the asker by name.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from hansei.contracts import Finding, Report
from hansei.contracts.asks import Named

LEXICONS = Path(__file__).parent / "lexicon"
LONGEST = 2_000
"""Letters of a question that are read."""


@dataclass(frozen=True)
class Meaning:
    """What a word may be: its category, and which one of it."""

    category: str
    value: str = ""


@dataclass(frozen=True)
class Word:
    """A word of the question with its meanings, likeliest first."""

    text: str
    meanings: tuple[Meaning, ...]


def normalised(text: str) -> str:
    """Case, width and spaces do not tell words apart; nor do curly quotes."""
    plain = unicodedata.normalize("NFKC", text[:LONGEST]).casefold()
    for curly, straight in (("“", '"'), ("”", '"'), ("「", '"'), ("」", '"'), ("『", '"'), ("』", '"'), ("’", "'")):
        plain = plain.replace(curly, straight)
    return " ".join(plain.split())


Vocabulary = Mapping[str, tuple[Meaning, ...]]


@lru_cache
def general() -> Vocabulary:
    """The words of all languages, without any report."""
    found: dict[str, list[Meaning]] = {}
    tables = {"dimensions": "DIMENSION", "metrics": "METRIC", "languages": "LANGUAGE", "numbers": "NUMBER",
              "ordinals": "ORDINAL"}  # fmt: skip
    for path in sorted(LEXICONS.glob("??.json")):
        data: dict[str, Any] = json.loads(path.read_text("utf-8"))
        entries = [(Meaning(kind), words) for kind, words in data.items() if kind not in (*tables, "values")]
        entries += [(Meaning(kind, v), words) for table, kind in tables.items() for v, words in data[table].items()]
        # What most projects call their environments, also where no finding speaks of one.
        entries += [
            (Meaning("VALUE", f"{dimension}={value}"), words)
            for dimension, values in data["values"].items()
            for value, words in values.items()
        ]
        for meaning, words in entries:
            for word in words:
                meanings = found.setdefault(normalised(word), [])
                meanings += [] if meaning in meanings else [meaning]
    return {word: tuple(meanings) for word, meanings in found.items()}


def speakers(code: str, language: str) -> str | None:
    """What a language is called in another one: “Japanese” of ja in en; None: there is no word for it."""
    words = json.loads((LEXICONS / f"{language}.json").read_text("utf-8"))["languages"].get(code)
    return str(words[0]).capitalize() if words else None


def vocabulary(report: Report, named: Named | None = None) -> Vocabulary:
    """The words of all languages, and the names in a report: its findings' titles and the values of its segments.

    And what was listed last, whose names a person has before their eyes.
    """
    found: dict[str, tuple[Meaning, ...]] = dict(general())
    for finding in (*report.findings, *report.refuted):
        for dimension, value in segments_of(finding):
            _add(found, value, Meaning("VALUE", f"{dimension}={value}"))
        _add(found, finding.title, Meaning("FINDING", finding.id))
    for item in named.listed if named else ():
        for dimension, value in item.items():
            if dimension not in ("finding", "trace"):
                _add(found, value, Meaning("VALUE", f"{dimension}={value}"))
    return found


def segments_of(finding: Finding) -> Iterator[tuple[str, str]]:
    """Every dimension and value that a finding speaks of."""
    yield from finding.segment.items()
    yield from finding.comparison.segment.items()
    for echo in finding.echoes:
        yield from echo.segment.items()


def _add(found: dict[str, tuple[Meaning, ...]], text: str, meaning: Meaning) -> None:
    key = normalised(text)
    # A bare number is a number: versions are named as such (v7, version 7).
    if key and not key.isdigit() and meaning not in found.get(key, ()):
        found[key] = (*found.get(key, ()), meaning)


_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = rf"(?P<month>{'|'.join(_MONTHS)})[a-z]*\.?"
_PATTERNS: tuple[tuple[str, str], ...] = (
    ("DATE", r"(?P<y>\d{4})-(?P<m>\d{1,2})-(?P<d>\d{1,2})"),
    ("DATE", rf"(?P<d>\d{{1,2}})(?:st|nd|rd|th)?(?: of)? {_MONTH}(?: (?P<y>\d{{4}}))?(?![a-z])"),
    ("DATE", rf"{_MONTH} (?P<d>\d{{1,2}})(?:st|nd|rd|th)?(?:,? (?P<y>\d{{4}}))?(?!\w)"),
    ("DATE", r"(?:(?P<m>\d{1,2})月)?(?P<d>\d{1,2})日"),
    ("DATE", r"(?P<d>\d{1,2})(?:st|nd|rd|th)(?!\w)"),
    ("ORDINAL", r"(?P<n>\d{1,2})(?:番目|つ目|件目)"),
    ("ORDINAL", r"(?P<n>\d{1,2})(?:st|nd|rd|th)(?!\w)"),
    ("ITEM", r"(?:#|no\. ?|番号)(?P<n>\d{1,2})(?!\w)"),
    ("VERSION", r"v(?P<n>\d+)(?![\w.])"),
    ("NUMBER", r"(?P<n>\d{1,3})(?:つ|件|個)?(?![\w.])"),
    ("QUOTED", r'"(?P<n>[^"]+)"'),
    ("QUOTED", r"`(?P<n>[^`]+)`"),
    ("ID", r"(?P<n>\d+(?:\.\d+)+(?:[-+][\w.]+)?)"),
    ("ID", r"(?P<n>(?=[\w.:-]*\d)[\w.:-]{6,200})"),
)
_COMPILED = tuple((kind, re.compile(pattern, re.ASCII)) for kind, pattern in _PATTERNS)
_SKIPPED = frozenset(" \t?!.,;:、。？！…()[]「」\"'’`/")


def words_of(question: str, known: Vocabulary) -> list[Word]:
    """The question's words in order. What nobody knows is a word without meanings."""
    text, words, at = normalised(question), [], 0
    longest = max(map(len, known), default=0)
    while at < len(text):
        word, end = _next(text, at, known, longest)
        if word is None:
            at += 1
            continue
        words.append(word)
        at = end
    return words


def _next(text: str, at: int, known: Vocabulary, longest: int) -> tuple[Word | None, int]:
    if text[at] == '"':
        inside = _longest(text, at + 1, known, longest)
        # A name in quotes: only as a name, whatever else the word may mean.
        named = [m for m in known.get(inside, ()) if m.category in ("FINDING", "VALUE")]
        if named and text[at + 1 + len(inside) :].startswith('"'):
            return Word(inside, tuple(named)), at + 2 + len(inside)
    best = _longest(text, at, known, longest)
    meanings: list[Meaning] = []
    if best:
        meanings += known[best]
    for kind, pattern in _COMPILED:
        if (match := pattern.match(text, at)) is None or (at and _inside(text, at)):
            continue
        if len(match[0]) > len(best):
            best, meanings = match[0], []
        if len(match[0]) == len(best):
            meanings.append(Meaning(kind, _read(kind, match)))
    if best:
        return Word(best, tuple(meanings)), at + len(best)
    if text[at] in _SKIPPED:
        return None, at + 1
    unknown = re.compile(r"[\w.-]+", re.ASCII).match(text, at) or re.compile(r"[^\x00-\x7f]+|.").match(text, at)
    assert unknown is not None
    return Word(unknown[0], ()), at + len(unknown[0])


def _longest(text: str, at: int, known: Vocabulary, longest: int) -> str:
    """The longest known word that begins here and does not end inside of another."""
    if _inside(text, at):
        return ""
    for length in range(min(longest, len(text) - at), 0, -1):
        word = text[at : at + length]
        if word in known and not _inside(text, at + length):
            return word
    return ""


def _inside(text: str, at: int) -> bool:
    """Whether two letters of one Latin word meet here. Japanese sets no blanks, so its words may end anywhere."""
    return 0 < at < len(text) and _latin(text[at - 1]) and _latin(text[at])


def _latin(letter: str) -> bool:
    return letter.isascii() and (letter.isalnum() or letter == "_")


def _read(kind: str, match: re.Match[str]) -> str:
    if kind != "DATE":
        return match["n"]
    parts = match.groupdict()
    month = str(_MONTHS.index(parts["month"]) + 1) if parts.get("month") else parts.get("m") or ""
    return f"{parts.get('y') or ''}-{month}-{parts['d']}"
