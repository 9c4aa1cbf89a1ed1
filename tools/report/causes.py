"""Whether a sentence that says why names only what one finding's evidence holds.

A report's findings are measured one by one. That one of them is why another came about is shown by none of their
queries, so a sentence of the summary may not say so: all names and numbers in it must be of a single finding that it is
about, in whose own words (its cause, its echoes, what was new at its place) they stand.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence

from hansei.contracts import Finding
from hansei.tools.report.grounding import Facts, unfounded

_WHY = re.compile(
    r"\b(?:because|since|due to|owing to|thanks to|caus(?:e|es|ed|ing)|as a (?:result|consequence)|so that"
    r"|therefore|hence|thus|results? (?:in|from)|resulting|leads? to|led to|leading to|driv(?:es?|en|ing)"
    r"|stem(?:s|med)? from|comes? from|came from|behind|explain(?:s|ed)?|triggers?|triggered|makes|made|the reason)\b"
    r"|ため|により|によって|によるもの|ので|から生じ|原因|理由|せいで|おかげで|もたらし|引き起こ|起因|影響で",
    re.IGNORECASE,
)


_PLAIN = re.compile("[a-z]+", re.IGNORECASE)


def names_in(findings: Iterable[Finding]) -> frozenset[str]:
    """What findings are told to be in: values of their segments, but for plain words, which may mean anything."""
    values = {value for finding in findings for value in finding.segment.values()}
    return frozenset(value for value in values if len(value) >= 3 and not _PLAIN.fullmatch(value))


def unsupported(
    sentence: str, about: Sequence[Finding], facts: Callable[[Finding], Facts], names: Collection[str] = ()
) -> list[str]:
    """What in a sentence that says why is not of one finding; empty: it says nothing of the kind, or may stand.

    Args:
        sentence: one sentence.
        about: the findings that it is about.
        facts: what a text about one finding may say.
        names: all that the report's findings are told to be in.
    """
    if not _WHY.search(sentence):
        return []
    if not about:
        return ["it says why, and is about no finding"]
    return min((_foreign(sentence, facts(finding), names) for finding in about), key=len)


def _foreign(sentence: str, own: Facts, names: Collection[str]) -> list[str]:
    text = sentence.lower()
    others = [
        name for name in sorted(names) if name.lower() not in own.texts + own.quotable and _has(text, name.lower())
    ]
    return list(dict.fromkeys([*others, *unfounded(sentence, own)]))


def _has(text: str, name: str) -> bool:
    return re.search(rf"(?<![a-z0-9_]){re.escape(name)}(?![a-z0-9_])", text) is not None
