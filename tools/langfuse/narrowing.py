"""Definitions of relations with only the columns that a query names.

ClickHouse analyses a definition anew wherever a query names it, whether its columns are read or not: on small data that
is a third of a query's time. And a shorter query is easier to read where a report shows it.

A column is kept when its name is a word of the query, or of what is kept. So more may be kept than is needed, never
less; a query with ``*`` keeps all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache

_STAR = re.compile(r"(?:\bSELECT|\bDISTINCT|,)\s+\*(?!\s+FROM\s+\()|\w\.\*")
"""A star that may stand for a definition's columns: one over a SELECT in parentheses has what that one names."""
_WORD = re.compile(r"\w+")
_NAME = re.compile(r"(\w+)\s*$")
_SELECT = re.compile(r"\s*SELECT\s")
_FROM = re.compile(r"\sFROM\s")


def bound(definitions: Mapping[str, str], sql: str) -> str:
    """`sql` with definitions of relations put before it, each with the columns that `sql` names."""
    body = sql.strip()
    ctes = ",\n".join(
        f"  {name} AS (\n    {narrowed(select, sql).strip()}\n  )" for name, select in definitions.items()
    )
    first, _, rest = body.partition("\n") if body.startswith("WITH\n") else body.partition(" ")
    if first.upper() == "WITH":
        return f"WITH\n{ctes},\n{rest.lstrip()}"
    return f"WITH\n{ctes}\n{body}"


@lru_cache(maxsize=1024)
def narrowed(definition: str, query: str) -> str:
    """A SELECT with the columns that `query` may name.

    Args:
        definition: a SELECT whose columns have names (``… AS name``, or bare columns); SELECTs in parentheses are
            narrowed as well.
        query: what names them.
    """
    return definition if _STAR.search(query) else _narrowed(definition, frozenset(_WORD.findall(query)))


def _narrowed(select: str, wanted: frozenset[str]) -> str:
    head = _SELECT.match(select)
    if head is None:
        return select
    items, tail = _columns(select[head.end() :])
    kept = _kept(items, wanted, tail) if len(items) > 1 else items
    pieces = _split(f"{head.group()}{','.join(kept)}{tail}")
    around = wanted.union(*(_WORD.findall(piece) for piece in pieces[::2]))
    return "".join(_narrowed(piece, around) if at % 2 else piece for at, piece in enumerate(pieces))


def _kept(items: list[str], wanted: frozenset[str], tail: str) -> list[str]:
    """The columns that are wanted, and those that these or the rest of the SELECT name."""
    names = [_NAME.search(item) for item in items]
    found = {i for i, name in enumerate(names) if name is None}  # a star, as in t.*
    words = wanted.union(*(_WORD.findall(piece) for piece in _split(tail)[::2]))
    while more := {i for i, name in enumerate(names) if name and i not in found and name.group(1) in words}:
        found |= more
        words |= {word for i in more for word in _WORD.findall(items[i])}
    return [items[i] for i in sorted(found)] or items[:1]


def _columns(text: str) -> tuple[list[str], str]:
    """The columns after SELECT, and the rest from FROM on."""
    items, last, depth = [], 0, 0
    for at, character in _outside_of_texts(text):
        if character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
        elif depth == 0 and character == ",":
            items.append(text[last:at])
            last = at + 1
        elif depth == 0 and character == "F" and _FROM.match(text, at - 1):
            end = len(text[:at].rstrip())
            return [*items, text[last:end]], text[end:]
    return [*items, text[last:]], ""


def _split(text: str) -> list[str]:
    """A text cut at the SELECTs in its parentheses: around, inside, around, inside … The last is around."""
    pieces, at = [], 0
    for start, end in _parentheses(text):
        if start >= at and _SELECT.match(text[start:end]):
            pieces += [text[at:start], text[start:end]]
            at = end
    return [*pieces, text[at:]]


def _parentheses(text: str) -> list[tuple[int, int]]:
    """Where parentheses hold something, outermost first: from behind the opening to before the closing one."""
    found: list[tuple[int, int]] = []
    opened: list[int] = []
    for at, character in _outside_of_texts(text):
        if character == "(":
            opened.append(at + 1)
        elif character == ")":
            found.append((opened.pop(), at))
    return sorted(found)


_TEXT = re.compile(r"'(?:[^'\\]|\\.)*'|`[^`]*`", re.DOTALL)
_MARKS = re.compile(r"[()\[\]{},F]")


def _outside_of_texts(text: str) -> Iterator[tuple[int, str]]:
    """The brackets, commas and capital Fs that are in no quotes, with their places."""
    last = 0
    for quoted in [*_TEXT.finditer(text), None]:
        end = quoted.start() if quoted else len(text)
        yield from ((mark.start(), mark.group()) for mark in _MARKS.finditer(text, last, end))
        last = quoted.end() if quoted else end
