"""One judge's question about one trace: the prompt, the answer's schema, and what of the answer stands.

A verdict stands when the answer fits the schema and its quote is in what the judge was shown. Else the trace is
unscored, and counted as such.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

from hansei.contracts.evaluation import Criterion, Verdict
from hansei.errors import ModelFailed
from hansei.tools.evaluation.store import key_of
from hansei.tools.langfuse.trace_excerpt import excerpt
from hansei.tools.langfuse.trace_tree import TraceTree
from hansei.tools.langfuse.untrusted import LINE_END, one_line, quoted
from hansei.tools.language_model import Endpoint, ModelMeter, ask_fitting
from hansei.tools.language_model.prompt import Prompt

LETTERS = 8_000
"""Of a trace that a judge is shown."""

FEWEST_LETTERS = 1_000
LONGEST_QUOTE, LONGEST_REASON = 400, 400
SHORTEST_QUOTE = 4
"""Letters below which a quote points to nothing, unless it is a whole text."""

Unscored = Literal["unparseable", "no_quote", "refused", "out_of_range", "too_long"]


class _Answer(BaseModel):
    """A judgement of one trace."""

    model_config = ConfigDict(extra="forbid")

    reason: str
    quote: str


@dataclass(frozen=True)
class Judge:
    """A criterion's judge.

    Args:
        criterion: what is judged.
        prompt: the text of its prompt's file.
        endpoint: the model.
        language: of its reasons.
        project_id: of the traces.
    """

    criterion: Criterion
    prompt: Prompt
    endpoint: Endpoint
    language: str
    project_id: str

    @property
    def prompt_version(self) -> str:
        """Follows from the prompt's text and how much of a trace it is given."""
        text = json.dumps([self.prompt.system, self.prompt.user, LETTERS, self.language, self.endpoint.masked])
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def key(self, trace_id: str, shown: str) -> str:
        """Under which its verdict is kept; of two addresses of one model each has its own."""
        model, url = self.endpoint.place
        return key_of(
            self.project_id, trace_id, content_of(shown), self.criterion.name, self.criterion.version,
            self.prompt_version, model, url or "",
        )  # fmt: skip

    def messages(self, shown: str) -> list[tuple[str, str]]:
        one = self.criterion
        return self.prompt.filled(
            {
                "criterion": one_line(f"{one.name}: {one.definition}", 1_200), "examples": _examples(one),
                "question": _question(one), "trace": quoted(shown), "language": self.language,
            }
        )  # fmt: skip

    def judge(self, tree: TraceTree, shown: str, meter: ModelMeter, node: str) -> Verdict:
        """Asks for the verdict on a trace.

        Raises:
            ModelFailed: the model cannot be asked: it says nothing about this trace.
        """

        def messages(letters: int) -> list[tuple[str, str]]:
            return self.messages(shown if letters == LETTERS else shown_of(tree, self.endpoint, letters))

        try:
            answer = ask_fitting(self.endpoint, meter, node, messages, LETTERS, _schema(self.criterion))
        except ModelFailed as failure:
            unscored = ABOUT_THE_TRACE.get(failure.reason)
            if unscored is None:
                raise
            return self._verdict(tree.trace_id, None, unscored)
        return self.settle(tree.trace_id, shown, answer.model_dump())

    def settle(self, trace_id: str, shown: str, answer: dict[str, Any]) -> Verdict:
        """The verdict that an answer comes to."""
        reason, quote = one_line(str(answer["reason"]), LONGEST_REASON), str(answer["quote"])
        if not is_quote(quote, shown):
            return self._verdict(trace_id, None, "no_quote", reason=reason)
        value: Any = answer["verdict"]
        if self.criterion.type == "boolean":
            value = value == "pass"
        elif self.criterion.type == "numeric":
            assert self.criterion.lowest is not None
            assert self.criterion.highest is not None
            if not self.criterion.lowest <= value <= self.criterion.highest:
                return self._verdict(trace_id, None, "out_of_range", reason=reason)
        return self._verdict(trace_id, value, quote=one_line(quote, LONGEST_QUOTE), reason=reason)

    def _verdict(
        self, trace_id: str, value: bool | float | str | None, unscored: str = "", *, quote: str = "", reason: str = ""
    ) -> Verdict:
        return Verdict(
            trace_id=trace_id, criterion=self.criterion.name, version=self.criterion.version, value=value,
            unscored=unscored, quote=quote, reason=reason,
            judged_by=f"{self.endpoint.place[0]}, prompt {self.prompt_version[:6]}",
        )  # fmt: skip


ABOUT_THE_TRACE: dict[str, Unscored] = {
    "invalid": "unparseable", "empty": "unparseable", "truncated": "unparseable", "refusal": "refused",
    "too_long": "too_long",
}  # fmt: skip
"""Failures that another trace would not have met; all others say that the model cannot be asked."""


def shown_of(tree: TraceTree, endpoint: Endpoint, letters: int = LETTERS) -> str:
    """What a judge is shown of a trace. Scores are left out: a judge must not see what others said."""
    bare = TraceTree(**{**tree.__dict__, "scores": ()})
    return excerpt(bare, max(FEWEST_LETTERS, letters), masking=endpoint.masking).text


def content_of(shown: str) -> str:
    """A hash of what was shown."""
    return hashlib.sha256(shown.encode(errors="surrogatepass")).hexdigest()


def is_quote(quote: str, shown: str) -> bool:
    """Whether a quote stands in what was shown, but for white space, case of line ends and marks around it."""
    bare = _bare(quote)
    return bool(bare) and (bare in _bare(shown)) and (len(bare) >= SHORTEST_QUOTE or _is_whole(bare, shown))


def _is_whole(bare: str, shown: str) -> bool:
    return any(_bare(line.partition(": ")[2]) == bare for line in shown.splitlines())


def _bare(text: str) -> str:
    text = re.sub(rf"[\s{LINE_END}]+", " ", text).strip()
    return text.strip(" \"'“”‘’«»「」…")


def _question(criterion: Criterion) -> str:
    if criterion.type == "boolean":
        return "verdict: fail when what the definition describes is in the trace, else pass."
    if criterion.type == "numeric":
        return f"verdict: a number from {criterion.lowest:g} to {criterion.highest:g}, as the definition says."
    return "verdict: the one category that fits."


def _schema(criterion: Criterion) -> type[_Answer]:
    kind: Any
    if criterion.type == "boolean":
        kind = Literal["pass", "fail"]
    elif criterion.type == "numeric":
        kind = float
    else:
        kind = Literal[tuple(criterion.categories)]
    return create_model("Judgement", __base__=_Answer, __doc__=_Answer.__doc__, verdict=(kind, Field()))


def _examples(criterion: Criterion) -> str:
    """Quoted, since what stands in them came out of traces."""
    lines = [one_line(f"{example.verdict}: {example.why}", 1_200) for example in criterion.examples]
    return quoted("\n".join(lines)) if lines else "(none)"


def judges(
    criteria: Sequence[Criterion], prompt: Path, endpoint: Endpoint, language: str, project_id: str
) -> list[Judge]:
    """A judge for each judge criterion."""
    text = endpoint.prompts.read(prompt)
    return [Judge(one, text, endpoint, language, project_id) for one in criteria if one.kind == "judge"]
