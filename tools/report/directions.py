"""Whether a sentence says rose where the finding that it is about rose, fell where it fell, better where it is better.

Words of English and Japanese that claim a direction are looked for clause by clause. A clause that names a kind of
figure (errors, cost, スコア) is held against the findings of that kind, another one against all that the sentence is
about. A negated direction ("did not rise") cannot be checked so, and counts as contradicted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hansei.contracts import Finding, Kind

_TIMES: frozenset[Kind] = frozenset({"latency", "first_token_latency"})
_MONEY: frozenset[Kind] = frozenset({"cost"})


@dataclass(frozen=True)
class _Way:
    """A direction: of the figure (1 or -1; 0: none is claimed), or whether it is better (None: none is claimed)."""

    sign: int = 0
    better: bool | None = None
    kinds: frozenset[Kind] = frozenset()
    """Of these kinds only; empty: of any."""


_UP, _DOWN = _Way(1), _Way(-1)
_SLOWER, _FASTER = _Way(1, None, _TIMES), _Way(-1, None, _TIMES)
_DEARER, _CHEAPER = _Way(1, None, _MONEY), _Way(-1, None, _MONEY)
_BETTER, _WORSE = _Way(0, True), _Way(0, False)

_HAPPENED: dict[_Way, str] = {
    _UP: r"rose|risen|increased|grew|grown|climbed|jumped|surged|spiked|soared|went up|up (?:from|by)"
    r"|(?:増え|増加し|急増し|上昇し|上がっ|上がり|高くなっ|高くなり|多くなっ|伸び)(?=た|て(?!くだ|下さ)|まし)",
    _DOWN: r"fell|fallen|dropped|decreased|declined|shrank|shrunk|sank|went down|down (?:from|by)"
    r"|(?:減っ|減り|減少し|急減し|低下し|下がっ|下がり|低くなっ|低くなり|少なくなっ|落ち込ん|落ち)(?=た|て(?!くだ|下さ)|だ|で(?!くだ|下さ)|まし)",
    _SLOWER: r"slowed|(?:遅くなっ|遅くなり|長くなっ|長くなり)(?=た|て(?!くだ|下さ)|まし)",
    _FASTER: r"sped up|(?:速くなっ|速くなり|早くなっ|短くなっ|短くなり)(?=た|て(?!くだ|下さ)|まし)",
    _BETTER: r"improved|recovered|got better|(?:改善し|良くなっ|向上し|回復し)(?=た|て(?!くだ|下さ)|まし)",
    _WORSE: r"worsened|degraded|deteriorated|regressed|got worse|(?:悪化し|悪くなっ)(?=た|て(?!くだ|下さ)|まし)",
}
"""What is told as a fact, in whatever text."""

_CLAIMED: dict[_Way, str] = {
    _UP: r"ris(?:e|es|ing)|increas(?:e|es|ing)|grow(?:s|ing|th)?|climb(?:s|ing)?|jumps?|surges?|spikes?|higher|greater"
    r"|more(?! than\b| likely| important| detail| often than)|増加|急増|上昇|増え|高くな|多くな",
    _DOWN: r"falls?|falling|drop(?:s|ping)?|decreas(?:e|es|ing)|declin(?:e|es|ing)|lower|fewer(?! than\b)"
    r"|less(?! than\b| likely| important)|reduced|reduction|減少|急減|低下|減っ|減る|低くな|少なくな",
    _SLOWER: r"slower|longer|遅くな|長くな",
    _FASTER: r"faster|quicker|shorter|速くな|短くな",
    _DEARER: r"dearer|costlier|more expensive|高価",
    _CHEAPER: r"cheaper|安くな|安価",
    _BETTER: r"improv(?:es?|ing|ements?)|better|recover(?:s|y|ing)?|改善|良くな|向上|回復",
    _WORSE: r"worse|worsen(?:s|ing)?|degrad(?:es?|ing|ation)|deteriorat(?:es?|ing|ion)|regress(?:es|ing|ions?)?"
    r"|悪化|悪くな",
}
"""What tells what is, and in advice what should be."""

_NOUNS: dict[str, tuple[Kind, ...]] = {
    r"\berrors?\b|\bexceptions?\b|エラー|例外": ("error",),
    r"\bfail\w*|失敗": ("error", "silent_failure", "unfinished"),
    r"\bempty\b|空の|空振り": ("silent_failure", "empty_retrieval"),
    r"\blatenc\w+|\bdurations?\b|\bp95\b|\bp50\b|\bresponse times?\b|レイテンシ|応答時間|所要時間|待ち時間": (
        "latency", "first_token_latency",
    ),
    r"\bcosts?\b|\bspend\w*|\bprices?\b|コスト|費用|料金": ("cost", "runaway", "cache", "loop"),
    r"\btokens?\b|トークン": ("token_usage", "cache", "first_token_latency", "truncation"),
    r"\bcach\w+|キャッシュ": ("cache",),
    r"\bscores?\b|\bfeedback\b|\bratings?\b|\bquality\b|スコア|評価|品質": ("quality", "judge_disagreement"),
    r"\bloops?\b|\brepeat\w*|ループ|繰り返": ("loop", "runaway"),
    r"\btruncat\w+|\bcut off\b|切り詰め|途中で切": ("truncation",),
    r"\btraffic\b|\bvolume\b|トラフィック|アクセス数": ("traffic",),
}  # fmt: skip

_CLAUSE = re.compile(
    r"[,;:–—、；：]|\b(?:while|whereas|but|and|because|since|although|though|when|so)\b|一方|ため|ので|ものの",
    re.IGNORECASE,
)
_NOT_BEFORE = re.compile(
    r"(?:\b(?:not|never|no|without|hardly|neither|nor)\b|n[’']t)\W+(?:\w+\W+){0,2}$", re.IGNORECASE
)
_NOT_AFTER = re.compile(r"^.{0,6}(?:ない|なかっ|ません|ずに)")


def contradicted(sentence: str, about: Sequence[Finding], *, advice: bool = False) -> list[str]:
    """The words of a sentence that claim a direction which no finding that it is about has; empty: it may stand.

    Args:
        sentence: one sentence.
        about: the findings that it is about; none: it may claim no direction at all.
        advice: whether it says what to do, so that only what it tells as a fact is held against the findings.
    """
    known = [one for finding in about for one in _moves(finding)]
    found = []
    for clause in _CLAUSE.split(sentence):
        named = {kind for noun, kinds in _NOUNS.items() if re.search(noun, clause, re.IGNORECASE) for kind in kinds}
        mine = [one for one in known if one[0] in named] if named else known
        for way, match in _claims(clause, advice):
            is_negated = _NOT_BEFORE.search(clause[: match.start()]) or _NOT_AFTER.search(clause[match.end() :])
            if is_negated or not any(_holds(way, one) for one in mine):
                found.append(match[0])
    return list(dict.fromkeys(found))


def names_kind(text: str, findings: Sequence[Finding]) -> bool:
    """Whether a text names what one of the findings is about: errors, cost, スコア …"""
    kinds = {finding.kind for finding in findings}
    return any(re.search(noun, text, re.IGNORECASE) for noun, named in _NOUNS.items() if kinds & set(named))


def _claims(clause: str, advice: bool) -> Iterator[tuple[_Way, re.Match[str]]]:
    for words in (_HAPPENED,) if advice else (_HAPPENED, _CLAIMED):
        for way, pattern in words.items():
            # Japanese sets no blanks, so an edge of a word is asked for beside letters of ours only.
            for match in re.finditer(rf"(?<![A-Za-z])(?:{pattern})(?![A-Za-z])", clause, re.IGNORECASE):
                yield way, match


_Move = tuple[Kind, int, bool]
"""What moved, where to (0: it was compared with nothing), and whether that is better."""


def _moves(finding: Finding) -> Iterator[_Move]:
    better = finding.direction == "improvement"
    yield finding.kind, _sign(finding.effect), better
    for echo in finding.echoes:
        yield echo.kind, _sign(None if echo.baseline is None else echo.current - echo.baseline), better


def _holds(way: _Way, move: _Move) -> bool:
    kind, sign, better = move
    if way.kinds and kind not in way.kinds:
        return False
    return way.sign == sign if way.sign else way.better == better


def _sign(difference: float | None) -> int:
    return 0 if not difference else 1 if difference > 0 else -1
