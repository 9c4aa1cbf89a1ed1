"""Messages as templates: what is the same in many messages stays, what differs from call to call is folded.

“order 4711 not found after 30012 ms” and “order 815 not found after 29007 ms” are one template, “order <n> not found
after <n> ms”. Folding and counting happen in ClickHouse, so only the most frequent templates with their counts reach
Python; there, those that differ in a word or two are told as one (rapidfuzz). A status code is kept: 429 is not 503.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from rapidfuzz import fuzz

from hansei.contracts import Evidence, Finding, parse_instant
from hansei.tools.playbook import telling
from hansei.tools.playbook.measure import Rows
from hansei.tools.report.catalogue import say
from hansei.tools.report.formats import format_date, format_value

WHEN = ", start_time AS moment"
"""The further column that `count_templates` needs of the rows."""

MOST_TEMPLATES = 40
"""Templates, most frequent first, that an answer brings to Python; rarer ones only count in the totals."""

_LONGEST = 400
_SHOWN = 200

_SECRETS: tuple[tuple[str, str], ...] = (
    (
        r"\b(?:(?:sk|pk|rk)[-_](?:[\w-]{0,60}\d[\w-]{12,}|[\w-]{12,}\d[\w-]*)"
        r"|gh[opsur]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|xox[a-z]-[A-Za-z0-9-]{10,}"
        r"|(?:AKIA|ASIA)[A-Z0-9]{16}|AIza[\w-]{30,}|ya29\.[\w.-]{20,}|hf_[A-Za-z0-9]{20,}|npm_[A-Za-z0-9]{30,}"
        r"|SG\.[\w-]{16,}\.[\w-]{16,}|pypi-[\w-]{40,}|eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?)",
        "<secret>",
    ),
    (
        r"(?i)((?:api[ _-]?key|secret(?:[ _-]?(?:access[ _-]?)?key)?|(?:access|refresh|auth)[ _-]?token"
        r"|client[ _-]?secret|password|passwd|passphrase|pwd)[\\\"']{0,4}\s{0,3}[:=]\s{0,3}[\\\"']{0,4})"
        r"[^\s\"'\\,;&<>{}\[\]]{4,}",
        r"\1<secret>",
    ),
    (r"(?i)\b((?:bearer|basic) +)[\w.~+/-]{16,}=*", r"\1<secret>"),
)
"""Keys and tokens, as `hansei.tools.langfuse.masking` knows them, go first: a digit folded out of one would hide it
from there. Here in RE2's words, which has no look-ahead."""

_STATUS = r"(?i:https?|status|code|error)(?:/\d(?:\.\d)?)?[^0-9A-Za-z]{0,4}(?i:code)?[^0-9A-Za-z]{0,4}[45]\d\d\b"
_FOLDS: tuple[tuple[str, str], ...] = (
    (r"[\s\x00-\x1f]+", " "),
    (r"[A-Za-z][A-Za-z0-9+.-]{1,9}://[^\s\"'<>()\[\]{},]+", "<url>"),
    (r"[\w.+-]+@[\w-]+\.[\w.-]*\w", "<email>"),
    (r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}", "<id>"),
    (r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2})?(?:[.,]\d+)?(?: ?(?:Z|UTC|[+-]\d{2}:?\d{2}))?)?", "<time>"),
    (r"\b\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?\b", "<time>"),
    (r"\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b", "<address>"),
    (r"(^|[\s=:(\[\"'])(?:[A-Za-z]:\\|~?/|\.{1,2}/)[\w.@%+~-]+(?:[/\\][\w.@%+~-]+)+", r"\1<path>"),
    (r"\b0x[0-9a-fA-F]+\b", "<id>"),
    (r"\b[A-Za-z0-9+/]{40,}={0,2}", "<id>"),
    (r"\b[0-9a-fA-F]*[0-9][0-9a-fA-F]*[a-fA-F][0-9a-fA-F]{6,}\b", "<id>"),
    (r"\b[A-Za-z_]*\d+[A-Za-z_]+\d\w*", "<id>"),
    # A number goes, a status code stays: both end in <n> first, then the mark behind a code is taken off.
    (rf"({_STATUS})|\d+(?:[.,]\d+)*", r"\1<n>"),
    (r"([45]\d\d)<n>", r"\1"),
    (r"<(n|id)>(?:[ ,;:/|-]+<(?:n|id)>)+", r"<\1> …"),
)
"""What differs from call to call → what stands for it, in this order."""

_QUOTED = (
    (r"(^|[\s=:(\[,{])'[^']{1,200}'", r"\1<value>"),
    (r'"[^"]{1,200}"', "<value>"),
    (r"`[^`]{1,200}`", "<value>"),
    (r"“[^”]{1,200}”", "<value>"),
    (r"「[^」]{1,200}」", "<value>"),
)
"""Quoted values; not in JSON, of which nothing would be left."""


def _sql(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _folded(sql: str, folds: Sequence[tuple[str, str]]) -> str:
    for pattern, shown in folds:
        sql = f"replaceRegexpAll({sql}, {_sql(pattern)}, {_sql(shown)})"
    return sql


def template(text: str) -> str:
    """SQL of a text's template, at most 200 characters, from the text's first 400.

    Args:
        text: SQL of the text.
    """
    flat = _folded(f"leftUTF8({text}, {_LONGEST})", (*_SECRETS, *_FOLDS[:4]))
    quoted = f"if(match({flat}, {_sql(r'^ ?[[{]')}), {flat}, {_folded(flat, _QUOTED)})"
    return f"trim(BOTH ' ' FROM leftUTF8({_folded(quoted, _FOLDS[4:])}, {_SHOWN}))"


def count_templates(rows: Rows, text: str) -> str:
    """The query that counts the templates of the rows with y = 1, of which `text` is a column; needs their `WHEN`.

    Columns: message (a template), now, before (rows of the window and of the reference), first (the earliest, ISO),
    failing, failing_before (all rows, of whatever template), templates (how many there are).
    """
    # The same text is folded once, however often it came. Of a Python traceback the last line says what was raised.
    last = f"arrayElement(splitByChar('\\n', trim(BOTH ' \\n' FROM rightUTF8({text}, 2000))), -1)"
    said = f"leftUTF8(if(startsWith({text}, 'Traceback (most recent call last)'), {last}, {text}), {_LONGEST})"
    return f"""
WITH {rows.cte},
  texts AS (
    SELECT {said} AS said, countIf(period = 'window') AS n_now, countIf(period != 'window') AS n_before,
      min(moment) AS moment
    FROM rows WHERE y = 1 GROUP BY said
  )
SELECT message, now, before, {_FIRST} AS first,
  sum(now) OVER () AS failing, sum(before) OVER () AS failing_before, count() OVER () AS templates
FROM (
  SELECT {template("said")} AS message, sum(n_now) AS now, sum(n_before) AS before, min(moment) AS first_moment
  FROM texts GROUP BY message
)
ORDER BY now DESC, before DESC, message LIMIT {MOST_TEMPLATES}"""


_FIRST = "formatDateTime(first_moment, '%FT%TZ', 'UTC')"


@dataclass(frozen=True)
class Cluster:
    """Templates that are told as one, by its most frequent one."""

    message: str
    now: int
    before: int
    first: datetime | None


@dataclass(frozen=True)
class Messages:
    """What the failing rows say: clusters, most frequent now first, and how many rows there are in all."""

    clusters: list[Cluster]
    failing: int
    failing_before: int

    @property
    def top(self) -> Cluster | None:
        """The cluster that most failing rows of the window say; None when most say nothing."""
        top = next(iter(self.clusters), None)
        return top if top and top.message and top.now else None


def messages_of(found: Evidence | None) -> Messages | None:
    """Clusters of near-identical templates, computed from the answer of `count_templates`."""
    if found is None or not found.rows:
        return None
    records = found.records()
    return Messages(_clusters(records), int(records[0]["failing"]), int(records[0].get("failing_before", 0)))


_ALIKE = 90.0
"""Templates at least so alike (per cent of letters in common), and different in few words, are told as one."""
_TURNS = frozenset({"no", "not", "never", "without", "cannot", "un", "invalid", "missing"})
"""Words that turn what is said around."""


def _clusters(records: Sequence[dict[str, Any]]) -> list[Cluster]:
    out: list[Cluster] = []
    for row in records:
        one = Cluster(str(row["message"]), int(row["now"]), int(row["before"]), _moment(row.get("first")))
        place = next((i for i, other in enumerate(out) if _near(one.message, other.message)), None)
        if place is None:
            out.append(one)
            continue
        other = out[place]
        starts = [moment for moment in (one.first, other.first) if moment]
        out[place] = replace(
            other, now=other.now + one.now, before=other.before + one.before, first=min(starts, default=None)
        )
    return sorted(out, key=lambda cluster: (-cluster.now, -cluster.before, cluster.message))


def _near(one: str, other: str) -> bool:
    if re.findall(r"\d+", one) != re.findall(r"\d+", other) or fuzz.ratio(one, other) < _ALIKE:
        return False
    mine, theirs = Counter(one.lower().split()), Counter(other.lower().split())
    only = [*(mine - theirs).elements()], [*(theirs - mine).elements()]
    most = max(1, len(one.split()) // 10)
    return max(map(len, only)) <= most and not _TURNS & {word.strip(".,:;") for words in only for word in words}


def _moment(text: object) -> datetime | None:
    return parse_instant(str(text)) if text else None


ALSO = 2
"""Further templates that are told beside the first, when each is at least `_WORTH` of the failures."""
_WORTH = 0.1


def what_they_say(finding: Finding) -> str:
    """What the failing rows say, with the share of each template, and whether it is new.

    “78 % of the 412 failing calls say “timeout after <n> ms calling <url>” (new since 11 Nov 2026).”
    """
    found = messages_of(telling.detail(finding))
    top = found.top if found else None
    if found is None or top is None:
        return ""
    share = format_value(top.now / found.failing, "ratio")
    said = say(
        "messages.all" if top.now == found.failing else "messages.some",
        share=share, total=format_value(found.failing, "count"), message=telling.name(top.message, 120),
        history=_history(finding, found, top),
    )  # fmt: skip
    also = [
        say(
            "messages.one", message=telling.name(one.message, 80), share=format_value(one.now / found.failing, "ratio"),
            history=_history(finding, found, one),
        )
        for one in found.clusters[1:]
        if one.message and one.now >= _WORTH * found.failing
    ][:ALSO]  # fmt: skip
    return telling.sentences(said, say("messages.also", messages=say("place.join").join(also)) if also else "")


def _history(finding: Finding, found: Messages, cluster: Cluster) -> str:
    """Whether a template is new, or which share of the failures it had before; nothing inside the window."""
    if finding.comparison.against != "baseline":
        return ""
    if not cluster.before:
        return say("messages.new", date=format_date(cluster.first)) if cluster.first else ""
    return say("messages.before", share=format_value(cluster.before / found.failing_before, "ratio"))
