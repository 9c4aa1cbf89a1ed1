"""Pairs of answers of two versions to the same input, judged in both orders: a liking for a place shows."""

from __future__ import annotations

import json
from collections.abc import Container, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from hansei.contracts import Estimate
from hansei.contracts.evaluation import Compared, Criterion, Pairwise, Verdict
from hansei.errors import ModelFailed
from hansei.tools.evaluation.asking import ABOUT_THE_TRACE, LONGEST_QUOTE, LONGEST_REASON, is_quote
from hansei.tools.evaluation.choosing import Chosen, choose
from hansei.tools.evaluation.store import key_of
from hansei.tools.evaluation.texts import AT_ONCE, read_trace_texts
from hansei.tools.langfuse.dataset import Dataset
from hansei.tools.langfuse.untrusted import Text, one_line, quoted, shortened
from hansei.tools.language_model import Endpoint, ModelMeter, ask
from hansei.tools.language_model.prompt import Prompt
from hansei.tools.statistics import wilson

LOOKED_AT = 1_000
"""Traces of each version among which the same input is looked for."""

MOST_LABELLED = 100
"""Pairs that are judged only since people have scored both traces."""

LETTERS = 4_000
"""Of an input, and of an answer."""

ORDER_DEPENDENT = "order_dependent"
Order = Literal["as_named", "turned"]
ORDERS: tuple[Order, ...] = ("as_named", "turned")


@dataclass(frozen=True)
class Pair:
    """Two traces with the same input, one of each version. `at` is when the later one was."""

    first: str
    second: str
    input: Text
    answers: tuple[Text, Text]
    at: datetime


class Comparison(BaseModel):
    """Which of two answers is better by the criterion."""

    model_config = ConfigDict(extra="forbid")

    reason: str
    quote: str
    better: Literal["first", "second", "tie"]


def find_pairs(
    dataset: Dataset, compared: Compared, most: int, seed: int, labelled: Container[str] = ()
) -> tuple[list[Pair], list[Pair]]:
    """Pairs of the window, in an order that the seed draws; each trace is in one at most.

    Args:
        dataset: the data.
        compared: the versions.
        most: how many pairs are drawn.
        seed: another one draws others.
        labelled: traces that people have scored.

    Returns:
        The pairs that are drawn, and further ones both of whose traces people have scored: they are judged to hold the
        judge against people, and count for neither version.

    Raises:
        HanseiError: ClickHouse cannot be asked.
    """
    sides = [_answers(dataset, compared, value, seed) for value in (compared.first, compared.second)]
    pairs: list[Pair] = []
    for asked, mine in sides[0].items():
        for (first, one), (second, other) in zip(mine, sides[1].get(asked, ()), strict=False):
            if first.id != second.id:
                pairs.append(Pair(first.id, second.id, Text.of(asked), (one, other), max(first.at, second.at)))
    both = [one for one in pairs[most:] if one.first in labelled and one.second in labelled]
    return pairs[:most], both[:MOST_LABELLED]


def _answers(dataset: Dataset, compared: Compared, value: str, seed: int) -> dict[str, list[tuple[Chosen, Text]]]:
    """Input → the traces of a version with their answers. An input that was not read whole is left out."""
    segment = {compared.dimension: value} | ({"prompt_name": compared.prompt} if compared.prompt else {})
    chosen, _ = choose(dataset, LOOKED_AT, segment=segment, seed=seed)
    found: dict[str, list[tuple[Chosen, Text]]] = {}
    for start in range(0, len(chosen), AT_ONCE):
        some = chosen[start : start + AT_ONCE]
        read = read_trace_texts(dataset, [one.id for one in some])
        for one in some:
            texts = read.get(one.id)
            if texts is not None and texts.question and not texts.question.tail and texts.answer.text:
                found.setdefault(texts.question.head.strip(), []).append((one, texts.answer.text))
    return found


@dataclass(frozen=True)
class PairJudge:
    """A pairwise criterion's judge; see `hansei.tools.evaluation.asking.Judge`."""

    criterion: Criterion
    prompt: Prompt
    endpoint: Endpoint
    language: str
    project_id: str

    @property
    def judged_by(self) -> str:
        """The model, and the version of the prompt: it follows from its text and how much of an answer it is given."""
        text = json.dumps([self.prompt.system, self.prompt.user, LETTERS, self.language, self.endpoint.masked])
        return f"{self.endpoint.place[0]}, prompt {sha256(text.encode()).hexdigest()[:6]}"

    def settled(self, pair: Pair, both: Sequence[Verdict | None]) -> Verdict | None:
        """The verdict on a pair as a whole; None: there is none in one of the orders, or they differ."""
        values = {one and one.value for one in both}
        if len(values) > 1 or None in values:
            return None
        return Verdict(
            trace_id=pair.first, against=pair.second, criterion=self.criterion.name, version=self.criterion.version,
            value=values.pop(), judged_by=self.judged_by, at=pair.at,
        )  # fmt: skip

    def key(self, pair: Pair, order: Order) -> str:
        """Under which its verdict on a pair in one order is kept."""
        model, url = self.endpoint.place
        asked = sha256(json.dumps(self.messages(pair, order)).encode()).hexdigest()
        names = (self.project_id, pair.first, pair.second, order, self.criterion.name, self.criterion.version)
        return key_of(*names, asked, model, url or "")

    def messages(self, pair: Pair, order: Order) -> list[tuple[str, str]]:
        masking, one = self.endpoint.masking, self.criterion
        first, second = self._shown(pair, order)
        values = {
            "criterion": one_line(f"{one.name}: {one.definition}", 1_200), "language": self.language,
            "input": quoted(shortened(pair.input, LETTERS, masking)), "first": quoted(first), "second": quoted(second),
        }  # fmt: skip
        return self.prompt.filled(values)

    def judge(self, pair: Pair, order: Order, meter: ModelMeter) -> Verdict:
        """Which version's answer is better: ``first``, ``second`` or ``tie``, by the names of the criterion.

        Raises:
            ModelFailed: the model cannot be asked.
        """
        try:
            answer = ask(self.endpoint, meter, f"judge {self.criterion.name}", self.messages(pair, order), Comparison)
        except ModelFailed as failure:
            unscored = ABOUT_THE_TRACE.get(failure.reason)
            if unscored is None:
                raise
            return self._verdict(pair, order, None, unscored)
        if not is_quote(answer.quote, "\n".join(f"answer: {text}" for text in self._shown(pair, order))):
            return self._verdict(pair, order, None, "no_quote", answer)
        turned = {"first": "second", "second": "first", "tie": "tie"}
        return self._verdict(pair, order, answer.better if order == "as_named" else turned[answer.better], "", answer)

    def _shown(self, pair: Pair, order: Order) -> Sequence[str]:
        shown = [shortened(text, LETTERS, self.endpoint.masking) for text in pair.answers]
        return shown if order == "as_named" else shown[::-1]

    def _verdict(
        self, pair: Pair, order: Order, value: str | None, unscored: str, answer: Comparison | None = None
    ) -> Verdict:
        return Verdict(
            trace_id=f"{pair.first} {pair.second} {order}", criterion=self.criterion.name,
            version=self.criterion.version, value=value, unscored=unscored, judged_by=self.judged_by,
            quote=one_line(answer.quote, LONGEST_QUOTE) if answer and value else "",
            reason=one_line(answer.reason, LONGEST_REASON) if answer else "",
        )  # fmt: skip


@dataclass(frozen=True)
class Tally:
    """What the pairs of a criterion come to, and why others have no value."""

    pairwise: Pairwise
    reasons: dict[str, int]

    @classmethod
    def of(cls, verdicts: Sequence[tuple[Verdict | None, Verdict | None]], missing: str) -> Tally:
        """Counts pairs by their verdicts in both orders; None: it was not asked."""
        wins: dict[Any, int] = {"first": 0, "second": 0, "tie": 0}
        reasons: dict[str, int] = {}
        changed = 0
        places = [0, 0]
        for both in verdicts:
            bad = next((missing if one is None else one.unscored for one in both if one is None or one.unscored), "")
            values = {one.value for one in both if one is not None}
            if bad:
                reasons[bad] = reasons.get(bad, 0) + 1
            elif len(values) > 1:
                changed += 1
                given = tuple(one.value for one in both if one is not None)
                # In the second order the answer of the version that is named second is shown first.
                places[0] += given == ("first", "second")
                places[1] += given == ("second", "first")
            else:
                wins[values.pop()] += 1
        scored = sum(wins.values()) + changed
        if changed:
            reasons[ORDER_DEPENDENT] = changed
        told = Pairwise(
            pairs=len(verdicts),
            first=wins["first"],
            second=wins["second"],
            tie=wins["tie"],
            order_dependent=_share(changed, scored),
            first_place=_share(places[0], scored),
            second_place=_share(places[1], scored),
        )
        return cls(told, dict(sorted(reasons.items())))


def _share(count: int, n: int) -> Estimate | None:
    if not n:
        return None
    interval = wilson(count / n, n)
    return Estimate(value=interval.value, n=n, low=interval.low, high=interval.high)
