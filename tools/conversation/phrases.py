"""From words to phrases: what is named (a finding, a slice of the data, a measure, a day) and what is wanted of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice, product

from hansei.tools.conversation.lexicon import Meaning, Word

MOST_READINGS = 512
"""Readings of one question that are tried."""

HEADS = frozenset({
    "SHOW", "EXAMPLES", "COMPARE", "WHY", "NOT", "ONLY", "CHANGED", "BY", "WHICH", "HOW_MUCH", "TREND", "PROOF",
    "ADVICE", "ABOUT", "FINDINGS", "REFUTED", "GAPS", "HELP", "TRACE", "MAKE", "DATASET", "LANGFUSE",
    "ALSO", "WHEN", "AFFECTED", "BETTER", "PRIORITY",
})  # fmt: skip
VERSIONED = ("prompt_version", "version", "release")


@dataclass(frozen=True)
class Reference:
    """“it”, “the second one”, “finding 3”, “that tool”, “the cost finding”, or a title."""

    kind: str
    value: str = ""


@dataclass
class Sentence:
    """One reading of a question: what is wanted, and the phrases. Fillers are gone; nothing else is."""

    heads: set[str] = field(default_factory=set)
    references: list[Reference] = field(default_factory=list)
    slices: list[tuple[str, str]] = field(default_factory=list)
    """(dimension, value); the dimension is '' when only a version is named."""
    dimensions: list[str] = field(default_factory=list)
    metrics: list[str] = field(default_factory=list)
    days: list[str] = field(default_factory=list)
    """year-month-day, each part but the last may be empty."""
    counts: list[int] = field(default_factory=list)
    traces: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    """Of what is to be made."""

    def sizes(self) -> dict[str, int]:
        """How many of each sort of phrase there are."""
        return {
            "references": len(self.references), "slices": len(self.slices), "dimensions": len(self.dimensions),
            "metrics": len(self.metrics), "days": len(self.days), "counts": len(self.counts),
            "traces": len(self.traces), "names": len(self.names),
        }  # fmt: skip


def readings(words: Sequence[Word]) -> Iterator[Sentence]:
    """Every way to read the words as phrases, likeliest first; none when one word has no place in any."""
    for chosen in islice(product(*(word.meanings for word in words)), MOST_READINGS):
        sentence = _Reader([meaning for meaning in chosen if meaning.category != "FILLER"]).sentence()
        if sentence is not None:
            yield sentence


class _Reader:
    """Reads one choice of meanings from left to right; each rule takes what it can, the longest phrase first."""

    def __init__(self, meanings: Sequence[Meaning]) -> None:
        self._left = list(meanings)

    def sentence(self) -> Sentence | None:
        out = Sentence()
        while self._left:
            if not (self._named(out) or self._reference(out) or self._slice(out) or self._plain(out)):
                return None
        return out

    def _is(self, *categories: str) -> bool:
        """Whether the next words have these categories."""
        ahead = [meaning.category for meaning in self._left[: len(categories)]]
        return ahead == list(categories)

    def _take(self, count: int = 1) -> list[Meaning]:
        taken, self._left = self._left[:count], self._left[count:]
        return taken

    def _reference(self, out: Sentence) -> bool:
        if self._is("FINDINGS", "NUMBER") or self._is("FINDINGS", "ITEM"):
            out.references.append(Reference("item", self._take(2)[1].value))
        elif self._is("ITEM"):
            out.references.append(Reference("item", self._take()[0].value))
        elif self._is("ORDINAL"):
            ordinal = self._take()[0]
            of_findings = self._is("FINDINGS")
            if of_findings or self._is("ONE") or self._is("EXAMPLES") or self._is("TRACE"):
                self._take()
            out.references.append(Reference("item" if of_findings else "listed", ordinal.value))
        elif self._is("TOP", "FINDINGS"):
            self._take(2)
            out.references.append(Reference("item", "1"))
        elif self._is("METRIC", "FINDINGS"):
            out.references.append(Reference("metric", self._take(2)[0].value))
        elif self._is("FINDING"):
            out.references.append(Reference("finding", self._take()[0].value))
            if self._is("FINDINGS"):
                self._take()
        elif self._is("IT", "DIMENSION"):
            out.references.append(Reference("dimension", self._take(2)[1].value))
        elif self._is("IT"):
            self._take()
            if self._is("FINDINGS") or self._is("ONE"):
                self._take()
            out.references.append(Reference("it"))
        else:
            return False
        return True

    def _named(self, out: Sentence) -> bool:
        for sort in ("QUOTED", "ID", "VALUE"):
            if self._is("CALLED", sort) or self._is(sort, "CALLED"):
                name = next(meaning for meaning in self._take(2) if meaning.category == sort).value
                out.names.append(name.partition("=")[2] if sort == "VALUE" else name)
                return True
            if sort != "VALUE" and self._is("DATASET", sort):
                out.heads.add("DATASET")
                out.names.append(self._take(2)[1].value)
                return True
        return False

    def _slice(self, out: Sentence) -> bool:
        if self._is("LANGUAGE"):
            code = self._take()[0].value
            if self._is("DIMENSION") and self._left[0].value in ("user_id", "language"):
                self._take()
            out.slices.append(("language", code))
            return True
        if self._is("DIMENSION", "QUOTED") or self._is("DIMENSION", "ID"):
            dimension, value = self._take(2)
            out.slices.append((dimension.value, value.value))
            self._more_of(dimension.value, value.category, out)
            return True
        if self._is("DIMENSION", "NUMBER") or self._is("DIMENSION", "VERSION"):
            if self._left[0].value not in VERSIONED:
                return False
            dimension, value = self._take(2)
            # “version 7” may be any sort of version, “prompt version 7” is one.
            sort = "" if dimension.value == "version" else dimension.value
            out.slices.append((sort, value.value))
            self._more_of(sort, value.category, out)
            return True
        if self._is("VERSION"):
            out.slices.append(("", self._take()[0].value))
            return True
        for order in (("DIMENSION", "VALUE"), ("VALUE", "DIMENSION")):
            if self._is(*order):
                named = self._left[order.index("DIMENSION")].value
                own, _, held = self._left[order.index("VALUE")].value.partition("=")
                if named in (own, {"prompt_version": "version", "tool_name": "observation_name"}.get(own)):
                    self._take(2)
                    out.slices.append((own, held))
                    return True
        if self._is("VALUE"):
            own, _, held = self._take()[0].value.partition("=")
            out.slices.append((own, held))
            return True
        return False

    def _more_of(self, dimension: str, sort: str, out: Sentence) -> None:
        """“versions 3 and 4”: the dimension is said once."""
        while self._is("AND", sort):
            out.slices.append((dimension, self._take(2)[1].value))

    def _plain(self, out: Sentence) -> bool:
        (meaning,) = self._take()
        match meaning.category:
            case "DIMENSION":
                out.dimensions.append(meaning.value)
            case "METRIC":
                out.metrics.append(meaning.value)
            case "DATE":
                out.days.append(meaning.value)
            case "NUMBER":
                out.counts.append(int(meaning.value))
            case "ID" | "QUOTED" if "TRACE" in out.heads:
                out.traces.append(meaning.value)
            case "AND" | "ONE":
                return True
            case head if head in HEADS:
                out.heads.add(head)
            case _:
                return False
        return True
