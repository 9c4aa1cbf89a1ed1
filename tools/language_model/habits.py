"""What an endpoint turned out to want, found out by its refusals or a probe, and kept: in this process, and on disk.

Models that think choose their own temperature, count their thoughts as written, and name the limit in another way;
some servers do not stream; in a small window the room for the answer must be small, too.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from typing import Any, Literal

from hansei.tools.language_model.endpoint import LONGEST_ANSWER, LONGEST_THOUGHT, SHORT_ANSWER, Endpoint
from hansei.tools.language_model.remembered import Kept, recall, remember
from hansei.tools.language_model.statuses import names
from hansei.tools.language_model.usage import LETTERS_PER_TOKEN

LIMITS = ("max_tokens", "max_completion_tokens")
"""The two names of the limit on an answer."""


Way = Literal["json_schema", "function", "prompt"]
"""How an endpoint gives structured answers: by a response format, a function that it must call, or as it is told."""

SMALL = 20_000
"""Tokens of a window below which the longest questions do not fit."""


@dataclass
class Habits:
    """How one model at one place is asked. What it refuses changes once at most."""

    limit: str
    """Name of the parameter that bounds an answer."""
    longest: int = LONGEST_ANSWER
    """Tokens of an answer."""
    cold: bool = True
    """Whether it takes a temperature."""
    streams: bool = True
    """Whether it may be asked to stream, where a host listens."""
    renamed: bool = False
    too_many: float = math.inf
    """Letters of a question that the model could not read, even with room for a short answer only."""
    way: Way | None = None
    """None: not probed yet."""
    tools: bool | None = None
    """Whether it calls tools; None: not known."""
    window: int | None = None
    """Tokens that it can hold; None: not told."""
    recalled: bool = False
    """Whether `way` was found out by an earlier process."""

    @property
    def is_small(self) -> bool:
        """Whether its window is told, and questions must be cut for it."""
        return self.window is not None and self.window < SMALL

    def keep_within(self, window: int | None) -> None:
        """Takes the window that its server tells: a quarter of a small one is for the answer."""
        self.window = window
        if window is not None and self.is_small:
            self.longest = min(self.longest, max(1, window // 4))
            self.too_many = min(self.too_many, LETTERS_PER_TOKEN * (window - self.longest))

    def body(self, *, short: bool = False) -> dict[str, Any]:
        """What each request says of it. In the body rather than as arguments: langchain-openai would choose itself.

        Args:
            short: that the answer may be short only, since room for a longer one did not fit into the model's window.
        """
        bounds: dict[str, Any] = {self.limit: min(self.longest, SHORT_ANSWER) if short else self.longest}
        return {**bounds, "temperature": 0} if self.cold else bounds

    def learn(self, error: Any) -> bool:
        """Takes a refusal (an `openai.APIStatusError`) for what it says; whether asking otherwise may help."""
        if self.cold and names(error, "temperature"):
            self.cold = False
        elif not self.renamed and names(error, self.limit):
            self.limit, self.renamed = LIMITS[self.limit == LIMITS[0]], True
        elif self.streams and (names(error, "stream") or names(error, "stream_options")):
            self.streams = False
        else:
            return False
        return True

    def be_brief(self) -> None:
        """Lets later answers be half as long: one did not come in time, and a slow server writes no faster."""
        self.longest = max(min(SHORT_ANSWER, self.longest), self.longest // 2)

    def think_longer(self) -> bool:
        """Lets an answer be longer, once: it was cut off while the model thought."""
        longer = self.longest < LONGEST_THOUGHT
        self.longest = LONGEST_THOUGHT
        return longer


_known: dict[tuple[str, str | None], Habits] = {}
_lock = threading.Lock()


def habits_of(endpoint: Endpoint) -> Habits:
    """What is known of an endpoint so far; what an earlier process has found out counts."""
    with _lock:
        if endpoint.place not in _known:
            _known[endpoint.place] = _recalled(endpoint) or Habits(LIMITS[0] if endpoint.foreign else LIMITS[1])
        return _known[endpoint.place]


def keep_habits(endpoint: Endpoint) -> None:
    """Keeps what is known of an endpoint for other processes, if its answers are kept."""
    habits = habits_of(endpoint)
    if habits.way is not None:
        known = {name: getattr(habits, name) for name in Kept.model_fields}
        remember(endpoint.cache, endpoint.place, Kept.model_validate(known))


def forget_habits(endpoint: Endpoint) -> None:
    """Lets all of it be found out again."""
    with _lock:
        _known.pop(endpoint.place, None)
    remember(endpoint.cache, endpoint.place, None)


def _recalled(endpoint: Endpoint) -> Habits | None:
    kept = recall(endpoint.cache, endpoint.place)
    if kept is None:
        return None
    habits = Habits(**kept.model_dump(), recalled=True)
    habits.keep_within(kept.window)
    return habits
