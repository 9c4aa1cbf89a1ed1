"""Whether a text that a model wrote about a report says only what the report says.

Every number, date, name and identifier in a sentence must be found in the report, numbers after rounding and in other
units (2.31 s may be told as “about 2.3 s” or “2,310 ms”, a ratio as per cent). Whether what it tells rose or fell is
looked at in `hansei.tools.report.directions`, whose cause something may be told to be in `hansei.tools.report.causes`.
When in doubt a sentence is unfounded: the report has its own words for everything.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from hansei.contracts import Evidence, Finding, Report

Scale = Literal["plain", "percent", "seconds", "usd", "times"]
"""What a number counts: things or anything without a unit, hundredths, time, money, a multiple."""

_UNITS: dict[str, tuple[Scale, float]] = {
    "": ("plain", 1), "k": ("plain", 1e3), "m": ("plain", 1e6), "million": ("plain", 1e6), "thousand": ("plain", 1e3),
    "万": ("plain", 1e4), "億": ("plain", 1e8),
    "%": ("percent", 0.01), "percent": ("percent", 0.01), "per cent": ("percent", 0.01), "points": ("percent", 0.01),
    "percentage points": ("percent", 0.01), "ポイント": ("percent", 0.01), "pp": ("percent", 0.01),
    "ms": ("seconds", 0.001), "s": ("seconds", 1), "seconds": ("seconds", 1), "second": ("seconds", 1),
    "秒": ("seconds", 1),
    "min": ("seconds", 60), "minutes": ("seconds", 60), "minute": ("seconds", 60), "分": ("seconds", 60),
    "h": ("seconds", 3600), "hours": ("seconds", 3600), "hour": ("seconds", 3600), "時間": ("seconds", 3600),
    "usd": ("usd", 1), "dollars": ("usd", 1), "ドル": ("usd", 1),
    "×": ("times", 1), "x": ("times", 1), "times": ("times", 1), "倍": ("times", 1),
}  # fmt: skip

_UNIT = "|".join(sorted((re.escape(unit) for unit in _UNITS if unit), key=len, reverse=True))
_NUMBER = re.compile(
    rf"(?<![A-Za-z0-9_.])(?P<usd>\$)?(?P<number>\d[\d,]*(?:\.\d+)?)(?:\s?(?P<unit>{_UNIT})(?![A-Za-z]))?(?![A-Za-z0-9_]|\.\d)",
    re.IGNORECASE,
)
_IDENTIFIER = re.compile(r"\d|[_/@:]|\w\.\w|[a-z][A-Z]")
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_DATE = re.compile(
    r"(?<!\d)(?P<year>\d{4})(?:-(?P<month>\d{2})-(?P<day>\d{2})(?:[T ]\d{2}:\d{2}(?::\d{2})?(?:Z|\+00:00| UTC)?)?"
    r"|年(?P<jm>\d{1,2})月(?P<jd>\d{1,2})日)"
    r"|(?<!\d)(?P<d>\d{1,2}) (?P<m>Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*(?: (?P<y>\d{4}))?"
)
_WORD = re.compile(r"\w+(?:[-_./:@]\w+)*")
_ASCII_WORD = re.compile(r"[A-Za-z0-9_]+(?:[-_./:@][A-Za-z0-9_]+)*")
"""Identifiers, which Japanese text does not set apart by blanks."""
_UNSPACED = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_EVERYWHERE = frozenset(
    re.findall(
        r"\w+",
        "after also because been before being both could does down each even every from have here into just "
        "less like made make many more most much must only other over same should since some such than that "
        "their them then there these they this those through time under until very want were what when where "
        "which while will with within would your",
    )
)
"""Words that tell nothing of what a sentence is about."""
_QUOTED = re.compile(r"[“\"`「]([^”\"`」]{1,200})[”\"`」]")
_LINK = re.compile(r"://|www\.|\]\(|<\s*/?\s*[a-z!]|javascript:", re.IGNORECASE)
_VAGUE = re.compile(
    r"\b(?:twice|thrice|double[ds]?|doubling|triple[ds]?|tripling|quadrupl\w+|half|halved|halves|thirds?|quarters?|dozens?"
    r"|hundreds?|thousands?|millions?|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve)\b|半分|半減|倍増",
    re.IGNORECASE,
)
"""Numbers in words: they must be written in digits, where they can be checked."""

_KNOWN_WORDS = frozenset(["api", "ai", "clickhouse", "i", "json", "langfuse", "llm", "sql", "utc", "ui", "url", "usd"])
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[\"“`(]?[A-Z0-9])|(?<=[。！？])|\n+")


@dataclass(frozen=True)
class Facts:
    """What a text may say: values by what they count, dates as (year, month, day), and words in lower case."""

    values: frozenset[tuple[Scale, float]]
    dates: frozenset[tuple[int, int, int]]
    words: frozenset[str]
    texts: str
    """All of the report's own texts and names, in lower case."""
    quotable: str = ""
    """Texts of traces that may be quoted besides; no number is known for standing there."""


def facts_of_report(report: Report) -> Facts:
    """What a text about a report may say: figures of its coverage and its findings, and every word in them."""
    values: set[tuple[Scale, float]] = {
        ("plain", getattr(count, period))
        for count in (
            report.coverage.traces,
            report.coverage.observations,
            report.coverage.scores,
            report.coverage.errors,
        )
        for period in ("window", "baseline")
    }
    values |= {("usd", report.coverage.total_cost.window), ("usd", report.coverage.total_cost.baseline)}
    values |= {("plain", report.screening.slices), ("plain", len(report.refuted))}
    values |= {("plain", count) for count in _counts(report.findings)}
    texts = [report.headline, report.project_id, report.question or ""]
    return _of_findings(report, report.findings, values, texts, "")


def facts_of_finding(report: Report, finding: Finding, shown: str = "") -> Facts:
    """What a text about one finding may say: its figures, the words in it, and words of what was `shown` of traces."""
    return _of_findings(report, [finding], {("plain", report.coverage.traces.window)}, [], shown)


def _of_findings(
    report: Report, findings: Sequence[Finding], values: set[tuple[Scale, float]], texts: list[str], shown: str
) -> Facts:
    dates = {_day(moment) for span in (report.window, report.baseline) for moment in (span.start, span.end)}
    for finding in findings:
        values |= set(_values(finding))
        dates |= {_day(moment) for moment in (finding.onset, finding.onset_hour) if moment}
        texts += _texts(finding)
    whole = _plain("\n".join(texts))
    values |= {(scale, number * factor) for _, number, _, scale, factor in _numbers(_DATE.sub(" ", whole))}
    return _facts(values, dates, whole, _plain(shown).lower())


def facts_of_evidence(evidence: Sequence[Evidence], texts: Sequence[str] = ()) -> Facts:
    """What a text about answers of ClickHouse may say: their values, in whatever unit they are, and every name in them.

    Args:
        evidence: the answers.
        texts: whose words may be used as well, but whose numbers prove nothing.
    """
    values: set[tuple[Scale, float]] = set()
    names: list[str] = []
    for one in evidence:
        values.add(("plain", one.row_count))
        names += [*one.columns, *(column.replace("_", " ") for column in one.columns)]
        for cell in _cells(one.rows):
            if isinstance(cell, str):
                names.append(cell)
                values |= {(scale, n * factor) for _, n, _, scale, factor in _numbers(_DATE.sub(" ", _plain(cell)))}
            else:
                values |= set(_in_any_unit(cell))
    return _facts(values, set(), _plain("\n".join([*names, *texts])))


def _cells(value: Any) -> Iterator[str | float]:
    if isinstance(value, str) or (isinstance(value, int | float) and not isinstance(value, bool)):
        yield value
    elif isinstance(value, list | dict):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _cells(inner)


def _in_any_unit(value: float) -> Iterator[tuple[Scale, float]]:
    """A share may stand there as a ratio or in per cent, a time in seconds or milliseconds."""
    yield from (("plain", value), ("usd", value), ("times", value), ("percent", value), ("percent", value / 100))
    yield from (("seconds", value), ("seconds", value / 1000))


def _facts(values: set[tuple[Scale, float]], dates: set[tuple[int, int, int]], whole: str, shown: str = "") -> Facts:
    dates |= set(_dates(whole))
    return Facts(
        frozenset(values),
        frozenset(dates),
        frozenset(
            word for text in (whole.lower(), shown) for word in (*_WORD.findall(text), *_ASCII_WORD.findall(text))
        ),
        whole.lower(),
        shown,
    )


def unfounded(sentence: str, facts: Facts) -> list[str]:
    """What in a sentence is not found in the facts, as it stands there; empty: the sentence may stand."""
    text = _plain(sentence)
    if links := _LINK.findall(text):
        return links
    if text.strip().lower() in facts.texts.splitlines():
        return []
    found = [match[0] for match in _VAGUE.finditer(text)]
    for match in _QUOTED.finditer(text):
        if match[1].lower() not in facts.texts and match[1].lower() not in facts.quotable:
            found.append(match[1])
    found += [
        match[0] for match in _DATE.finditer(text) if not any(_same_day(_parsed(match), day) for day in facts.dates)
    ]
    rest = _DATE.sub(" ", text)
    found += [
        shown
        for shown, number, step, scale, factor in _numbers(rest)
        if not _is_known(number, step, scale, factor, facts)
    ]
    rest = _NUMBER.sub(" ", rest)
    names = [word for word in _WORD.findall(rest)[1:] if word[0].isupper()]  # any sentence begins with a capital
    identifiers = [word for word in _ASCII_WORD.findall(rest) if _IDENTIFIER.search(word)]
    found += [word for word in (*names, *identifiers) if word.lower() not in facts.words | _KNOWN_WORDS]
    return list(dict.fromkeys(found))


def sentences_of(text: str) -> list[str]:
    """A text's sentences, by the ends of English and Japanese ones."""
    return [part.strip() for part in _SENTENCE.split(text) if part and part.strip()]


def is_sentence(text: str) -> bool:
    """Whether a text is long enough to say something: two words, or six letters of a script without blanks."""
    return len(_WORD.findall(text)) >= 2 or len(_UNSPACED.findall(text)) >= 6


def speaks_of(text: str, facts: Facts) -> bool:
    """Whether a text, which holds nothing unfounded, is about the report at all: it has a number, or a word of its own.

    Words of traces do not count: a model may copy any of them.
    """
    plain = _plain(text).lower()
    if _NUMBER.search(plain):
        return True
    words = {word for word in _WORD.findall(plain) if len(word) >= 4 and word not in _EVERYWHERE}
    if any(re.search(rf"(?<!\w){re.escape(word[:6])}", facts.texts) for word in words if word.isascii()):
        return True
    runs = re.findall("[\u30a0-\u30ff\u4e00-\u9fff]{2,}", plain)
    return any(run[at : at + 2] in facts.texts for run in runs for at in range(len(run) - 1))


def strange_in(added: str, shown: str, facts: Facts) -> list[str]:
    """What in a text that is to be added to a prompt or a tool's definition stands neither there nor in the facts.

    Instructions name things that no finding holds, so only links, numbers and identifiers are looked at.
    """
    text, there = _plain(added), _plain(shown)
    links = [match for match in _LINK.findall(text) if match.lower() not in there.lower()]
    known = {match[0] for match in _NUMBER.finditer(there)}
    numbers = [
        told
        for told, number, step, scale, factor in _numbers(text)
        if told not in known and not _is_known(number, step, scale, factor, facts)
    ]
    words = facts.words | set(_ASCII_WORD.findall(there.lower())) | _KNOWN_WORDS
    rest = _NUMBER.sub(" ", text)
    names = [word for word in _ASCII_WORD.findall(rest) if _IDENTIFIER.search(word) and word.lower() not in words]
    return list(dict.fromkeys([*links, *numbers, *names]))


def _plain(text: str) -> str:
    """Full-width digits and letters as usual ones."""
    return unicodedata.normalize("NFKC", text).replace("−", "-")


def _counts(findings: Sequence[Finding]) -> Iterator[int]:
    yield len(findings)
    yield sum(finding.direction != "improvement" for finding in findings)
    for severity in {finding.severity for finding in findings}:
        yield sum(finding.severity == severity for finding in findings)


def _values(finding: Finding) -> Iterator[tuple[Scale, float]]:
    unit: dict[str, Scale] = {"ratio": "percent", "s": "seconds", "usd": "usd"}
    scale = unit.get(finding.unit, "plain")
    for estimate in (finding.current, finding.baseline):
        if estimate is not None:
            yield from ((scale, value) for value in (estimate.value, estimate.low, estimate.high))
            yield "plain", estimate.n
    if finding.effect is not None:
        yield scale, abs(finding.effect)
    if finding.baseline is not None and finding.baseline.value > 0:
        yield "times", finding.current.value / finding.baseline.value
        yield "percent", abs(finding.current.value / finding.baseline.value - 1)
    yield from (
        (scale, value) for echo in finding.echoes for value in (echo.current, echo.baseline) if value is not None
    )
    impact = finding.impact
    amounts: tuple[tuple[Scale, float | None], ...] = (
        ("plain", impact.affected_traces), ("plain", impact.affected_users), ("plain", impact.excess_traces),
        ("percent", impact.share_of_traces), ("percent", impact.share_of_cost), ("usd", impact.cost_per_week),
        ("seconds", None if impact.hours_per_week is None else impact.hours_per_week * 3600),
    )  # fmt: skip
    yield from ((kind, amount) for kind, amount in amounts if amount is not None)


def _texts(finding: Finding) -> list[str]:
    segments: Iterable[dict[str, Any]] = (
        finding.segment,
        finding.comparison.segment,
        *(e.segment for e in finding.echoes),
    )
    names = [name for segment in segments for pair in segment.items() for name in pair]
    own = [finding.title, finding.summary, finding.cause or "", finding.recommendation]
    return [*own, *names, finding.id, finding.kind, finding.metric, finding.severity, *finding.example_trace_ids]


def _numbers(text: str) -> Iterator[tuple[str, float, float, Scale, float]]:
    """As shown, the number, half of its last digit's worth, what it counts, and the unit in base units."""
    for match in _NUMBER.finditer(text):
        digits = match["number"].replace(",", "")
        scale, factor = _UNITS[(match["unit"] or "").lower()]
        if match["usd"]:
            scale = "usd"
        whole, _, decimals = digits.partition(".")
        step = 0.5 * 10.0 ** -len(decimals)
        zeros = len(whole) - len(whole.rstrip("0"))
        if not decimals and len(whole) - zeros >= 2:
            step *= 10.0**zeros  # 1,200 may stand for 1,163: two digits are told
        yield match[0], float(digits), step, scale, factor


def _is_known(number: float, step: float, scale: Scale, factor: float, facts: Facts) -> bool:
    slack = step * factor * (1 + 1e-9)
    return any(
        abs(number * factor - abs(value)) <= slack
        for kind, value in facts.values
        if kind == scale or (scale == "plain" and kind not in ("percent", "times"))
    )


def _dates(text: str) -> Iterator[tuple[int, int, int]]:
    yield from (_parsed(match) for match in _DATE.finditer(text))


def _parsed(match: re.Match[str]) -> tuple[int, int, int]:
    """(year, month, day); 0 for a year that is not told."""
    if match["d"]:
        return int(match["y"] or 0), _MONTHS.index(match["m"][:3].lower()) + 1, int(match["d"])
    return int(match["year"]), int(match["month"] or match["jm"]), int(match["day"] or match["jd"])


def _same_day(told: tuple[int, int, int], known: tuple[int, int, int]) -> bool:
    return told[1:] == known[1:] and (told[0] in (0, known[0]))


def _day(moment: Any) -> tuple[int, int, int]:
    return moment.year, moment.month, moment.day
