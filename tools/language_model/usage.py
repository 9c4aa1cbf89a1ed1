"""What a run has asked of the model, counted per node over all its threads, and the bounds on it."""

from __future__ import annotations

import functools
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from hansei.context import ModelBudget, ModelPrices
from hansei.contracts.spent import Usage
from hansei.errors import ModelFailed

LETTERS_PER_TOKEN = 3
"""For estimates before a call: English has about four letters to a token, Japanese one or two."""

SILENCES = 4
"""Questions in a row that the model left without an answer, after which a run does not ask it any more."""

USUAL_ANSWER = 400
"""Tokens of an answer, for estimates: a few sentences as JSON."""


Keep = Callable[[str, Usage], None]
"""(node, its usage so far): notes it where another process finds it."""


def used_in(stored: dict[str, Any]) -> Usage:
    """The usage of all nodes together, from a run's state: node → `Usage` as JSON."""
    return functools.reduce(Usage.plus, map(Usage.model_validate, stored.values()), Usage())


def by_node(used: Mapping[str, Usage]) -> dict[str, Usage]:
    """The usage of each node. A key may name a task behind its node: ``analyst q1``."""
    nodes: dict[str, Usage] = {}
    for key, usage in used.items():
        node = key.partition(" ")[0]
        nodes[node] = nodes.get(node, Usage()).plus(usage)
    return nodes


class ModelMeter:
    """Counts what the model was asked for in one run, by node, and refuses what goes beyond the bounds."""

    def __init__(self, budget: ModelBudget, prices: ModelPrices | None = None) -> None:
        self.budget = budget
        self.prices = prices
        self._by_node: dict[str, Usage] = {}
        self._before = Usage()
        self._keep: Keep | None = None
        self._under_way: list[int] = []
        self._silences = 0
        self._waiting = 0
        self._waited = 0.0
        self._since = 0.0
        """Since when somebody has been waiting, by the monotonic clock."""
        self._lock = threading.Lock()

    @property
    def used(self) -> Usage:
        """Of all nodes together."""
        return functools.reduce(Usage.plus, self.by_node.values(), Usage())

    @property
    def by_node(self) -> dict[str, Usage]:
        """Of each node that asked."""
        with self._lock:
            return dict(self._by_node)

    @property
    def stored(self) -> dict[str, Any]:
        """`by_node` as JSON, for a run's state."""
        return {node: usage.model_dump() for node, usage in self.by_node.items()}

    @property
    def before(self) -> Usage:
        """What counts for the bounds and was spent before this run."""
        with self._lock:
            return self._before

    def goes_on(self, before: Usage, keep: Keep) -> None:
        """The run goes on with another one, and is to be gone on with.

        Args:
            before: what was spent before: the bounds count it as well.
            keep: is told the usage of a node, all of the run's, after each of its calls.
        """
        with self._lock:
            self._before, self._keep = before, keep

    def admit(self, letters: int) -> None:
        """Refuses a call when a bound is reached, or would be by only reading this many letters.

        What is admitted counts as under way until `done` is called, so that calls side by side keep to the bounds too.

        Raises:
            ModelFailed: with the reason ``budget``.
        """
        with self._lock:
            self._admit(letters)
            self._under_way.append(letters)

    def done(self, letters: int) -> None:
        """A call that was admitted with so many letters was answered, or has failed."""
        with self._lock:
            self._under_way.remove(letters)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """While somebody waits for the model, pauses between two attempts included."""
        with self._lock:
            if not self._waiting:
                self._since = time.monotonic()
            self._waiting += 1
        try:
            yield
        finally:
            with self._lock:
                self._waiting -= 1
                if not self._waiting:
                    self._waited += time.monotonic() - self._since

    @property
    def seconds_left(self) -> float:
        """How long the run may still wait for the model."""
        with self._lock:
            return self._left()

    def _left(self) -> float:
        running = time.monotonic() - self._since if self._waiting else 0.0
        return max(0.0, self.budget.seconds - self._waited - running)

    def heard(self, answered: bool) -> None:
        """Whether the model said anything at all to a question, be it no."""
        with self._lock:
            self._silences = 0 if answered else self._silences + 1

    def _admit(self, letters: int) -> None:
        if self._silences >= SILENCES:
            raise ModelFailed(
                f"The model was not asked: it gave no answer {SILENCES} times in a row.", "Try again later.",
                reason="budget",
            )  # fmt: skip
        self._check_time()
        used, may = functools.reduce(Usage.plus, self._by_node.values(), self._before), self.budget
        read = sum(asked // LETTERS_PER_TOKEN for asked in (*self._under_way, letters))
        for spent, bound, unit in (
            (used.calls + len(self._under_way) + 1, may.calls, "calls"),
            (used.tokens + read, may.tokens, "tokens"),
        ):
            if spent > bound:
                raise ModelFailed(
                    f"The model was not asked: the run may use {bound:,} {unit}.",
                    f"Raise --max-{unit} (Context.model_budget.{unit}).",
                    reason="budget",
                )
        if used.usd >= may.usd:
            raise ModelFailed(
                f"The model was not asked: the run may spend {may.usd:,.2f} US dollars.",
                "Raise --max-cost (Context.model_budget.usd).",
                reason="budget",
            )

    def check_time(self) -> None:
        """Refuses a call when the run may wait for the model no longer.

        Raises:
            ModelFailed: with the reason ``budget``.
        """
        with self._lock:
            self._check_time()

    def _check_time(self) -> None:
        if self._left() <= 0:
            raise ModelFailed(
                f"The model was not asked: the run may wait for it {self.budget.seconds:g} s.",
                "Raise --max-seconds (Context.model_budget.seconds).", reason="budget",
            )  # fmt: skip

    def add(
        self, node: str, tokens: dict[str, Any] | None, usd: float | None = None, *, letters: tuple[int, int] = (0, 0)
    ) -> None:
        """Counts a call.

        Args:
            node: who asked.
            tokens: the answer's usage metadata; None: the call was answered without.
            usd: what the endpoint says that it cost; None: it is computed from the prices, if there are any.
            letters: read and written; where no usage is told, tokens are guessed from them, so that bounds hold.
        """
        if tokens is None:
            read, written = (count // LETTERS_PER_TOKEN for count in letters)
        else:
            read, written = (max(0, int(tokens.get(key) or 0)) for key in ("input_tokens", "output_tokens"))
        if usd is None:
            usd = (read * self.prices.input + written * self.prices.output) / 1e6 if self.prices else 0.0
        one = Usage(calls=1, input_tokens=read, output_tokens=written, usd=round(usd, 9))
        with self._lock:
            total = self._by_node[node] = self._by_node.get(node, Usage()).plus(one)
            keep = self._keep
        if keep is not None:
            keep(node, total)

    def add_estimate(self, node: str, letters: int) -> None:
        """Counts a call of a dry run: what it would read, and what an answer usually takes."""
        self.add(node, {"input_tokens": letters // LETTERS_PER_TOKEN, "output_tokens": USUAL_ANSWER})

    def add_cached(self, node: str) -> None:
        """Counts an answer that cost nothing, since it was kept from another time."""
        with self._lock:
            self._by_node[node] = self._by_node.get(node, Usage()).plus(Usage(cached=1))

    def at_least(self, known: dict[str, Any]) -> None:
        """Counts what the run is known to have used before, in another process: node → `Usage` as JSON."""
        with self._lock:
            for node, dumped in known.items():
                stored, here = Usage.model_validate(dumped), self._by_node.get(node, Usage())
                self._by_node[node] = max(stored, here, key=lambda usage: usage.calls + usage.cached)


KEPT = 256
"""Runs whose meters are kept; the one that was used longest ago goes first."""

_meters: OrderedDict[str, ModelMeter] = OrderedDict()
_meters_lock = threading.Lock()


def model_meter_of(
    run_id: str, budget: ModelBudget, prices: ModelPrices | None = None, known: dict[str, Any] | None = None
) -> ModelMeter:
    """The meter of a run in this process, shared by all its steps.

    Args:
        run_id: the run.
        budget: its bounds; they count when the meter is made, as do the prices.
        prices: of tokens, when they are known.
        known: what its stored state knows to be used, by node.
    """
    with _meters_lock:
        meter = _meters.setdefault(run_id, ModelMeter(budget, prices))
        _meters.move_to_end(run_id)
        while len(_meters) > KEPT:
            _meters.popitem(last=False)
    meter.at_least(known or {})
    return meter
