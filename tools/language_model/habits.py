"""What an endpoint turned out to want, found out by its refusals and kept in this process.

Models that think choose their own temperature, count their thoughts as written, and name the limit in another way;
some servers do not stream; in a small window the room for the answer must be small, too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from hansei.tools.language_model.endpoint import LONGEST_ANSWER, LONGEST_THOUGHT, SHORT_ANSWER, Endpoint
from hansei.tools.language_model.statuses import names

LIMITS = ("max_tokens", "max_completion_tokens")
"""The two names of the limit on an answer."""


@dataclass
class Habits:
    """How one model at one place is asked. Each habit changes once at most."""

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

    def think_longer(self) -> bool:
        """Lets an answer be longer, once: it was cut off while the model thought."""
        longer = self.longest < LONGEST_THOUGHT
        self.longest = LONGEST_THOUGHT
        return longer


_known: dict[tuple[str, str | None], Habits] = {}


def habits_of(endpoint: Endpoint) -> Habits:
    """What is known of an endpoint so far."""
    return _known.setdefault(endpoint.place, Habits(LIMITS[0] if endpoint.foreign else LIMITS[1]))
