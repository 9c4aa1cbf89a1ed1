"""The faults that can be planted. A new one is an entry in `FAULTS`: where, how large, and what it changes.

A fault changes the *parameters* that a visit's outcomes are drawn with, so the true value of every figure stays known.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import Literal

from benchmarks.quality import strengths
from benchmarks.quality.company import Company, Score, Step
from benchmarks.quality.strengths import Sample, Strength
from benchmarks.quality.visits import Visit

from hansei.contracts import Direction, Kind

Rows = Literal["observations", "uses", "traces", "scores"]
"""What a fault's figure is taken over. Uses: traces that call the step."""
Deploys = Literal["", "prompt", "release"]


@dataclass(frozen=True)
class Spot:
    """Where a fault sits; None: any."""

    app: str | None = None
    step: str | None = None
    model: str | None = None
    score: str | None = None
    deploys: Deploys = ""
    """What was brought at the onset: everything after it carries the new version."""
    only: tuple[str, str] | None = None
    """What the visit must carry: `user`, `plan`, `region`, `language` or `arm` with its value, or `hours` such as 09-12
    (UTC)."""

    def has(self, visit: Visit, step: Step | None = None) -> bool:
        """Whether the visit (and the step) is in the spot."""
        return (
            self.app in (None, visit.app)
            and (step is None or (self.step in (None, step.name) and self.model in (None, step.model)))
            and (self.only is None or self._is_carried(visit))
        )

    def _is_carried(self, visit: Visit) -> bool:
        name, value = self.only or ("", "")
        if name != "hours":
            return bool(getattr(visit, name) == value)
        start, end = map(int, value.split("-"))
        return (visit.at.hour - start) % 24 < (end - start) % 24


Place = Callable[[Company, Random], Spot | None]
Size = Callable[[Sample, Strength, Step], float]
Change = Callable[[Step, float], None]
ScoreSize = Callable[[Sample, Strength, Score], float]


@dataclass(frozen=True)
class Fault:
    """One kind of thing that can go wrong (or get better).

    `kinds` are the names under which it may be reported, the best first. `ended`: it was there before the onset and is
    gone since. `always`: it is there in the baseline too. `most`: a larger change would be absurd; another place is
    sought then.
    """

    id: str
    kinds: tuple[Kind, ...]
    rows: Rows
    place: Place
    size: Size | None = None
    change: Change | None = None
    direction: Direction = "regression"
    ended: bool = False
    always: bool = False
    most: float = math.inf
    score: int = 0
    """Direction in which a score moves; 0: it is not about scores."""
    traffic: int = 0
    """-1: the app loses visits, 1: it gains some."""
    runaways: bool = False
    misses: bool = False
    """Its answers are in another language than its questions."""
    metric: str = ""
    """The only metric that tells it; '': any of its kinds that is not another fault's own."""


# Where


def a_step(*types: str, priced: bool | None = None, seconds: float = 0.0, deploys: Deploys = "") -> Place:
    """A step of one of these types."""

    def place(company: Company, rng: Random) -> Spot | None:
        fitting = [
            (app, step)
            for app, step in company.pairs
            if step.type in types and step.seconds >= seconds and (deploys != "prompt" or step.prompt)
            and (priced is None or (step.prices is not None) == priced)
        ]  # fmt: skip
        if not fitting:
            return None
        app, step = rng.choice(fitting)
        return Spot(app.name, step.name, deploys=deploys)

    return place


def only_with(name: str, place: Place) -> Place:
    """A part of another place: the calls of one frequent user, of a plan, a region, a language, some hours or an
    experiment's new arm."""

    def narrower(company: Company, rng: Random) -> Spot | None:
        spot = place(company, rng)
        if name == "user":
            value = f"u{rng.randrange(3):04d}"
        elif name == "hours":
            start = round(company.peak_hour) + rng.randrange(-6, 4)
            value = f"{start % 24:02d}-{(start + rng.randint(2, 4)) % 24:02d}"
        elif name == "arm":
            value = "B"
        else:
            carried = {"plan": company.plans, "region": company.regions, "language": company.languages}[name]
            value = rng.choice(sorted(set(carried) - {""}))
        return None if spot is None else replace(spot, only=(name, value))

    return narrower


def a_model(company: Company, rng: Random) -> Spot | None:
    """All calls of one model, of several."""
    models = sorted({step.model for _, step in company.pairs if step.model and step.prices})
    return Spot(model=rng.choice(models)) if len(models) > 1 else None


def an_app(company: Company, rng: Random) -> Spot | None:
    """All of one app."""
    return Spot(rng.choice(company.apps).name)


def a_score(*types: str, lower_is_better: bool = False, deploys: Deploys = "") -> Place:
    """A score of one app."""

    def place(company: Company, rng: Random) -> Spot | None:
        fitting = [
            (app, score)
            for app in company.apps
            for score in app.scores
            if score.type in types and score.lower_is_better == lower_is_better
        ]
        if not fitting:
            return None
        app, score = rng.choice(fitting)
        prompted = [step.name for step in app.steps if step.prompt]
        if deploys == "prompt" and not prompted:
            return None
        return Spot(app.name, prompted[0] if deploys == "prompt" else None, score=score.name, deploys=deploys)

    return place


# How large, and what changes


def of_share(name: str) -> Size:
    """The change of a step's share of that name."""
    return lambda sample, strength, step: strengths.share_change(sample, getattr(step, name), strength)


def raises(name: str, **also: object) -> Change:
    """Adds points to a share."""

    def change(step: Step, by: float) -> None:
        setattr(step, name, min(0.97, getattr(step, name) + by))
        for other, value in also.items():
            setattr(step, other, value)

    return change


def _longer(sample: Sample, strength: Strength, step: Step) -> float:
    return strengths.times_longer(sample, step.sigma, strength)


def _slower(step: Step, by: float) -> None:
    step.seconds *= by


def _dearer(sample: Sample, strength: Strength, step: Step) -> float:
    return strengths.relative_change(sample, step.token_sigma, strength)


def _price(step: Step, by: float) -> None:
    if step.prices is not None:
        step.prices = (step.prices[0] * (1 + by), step.prices[1] * (1 + by))


def _tokens(step: Step, by: float) -> None:
    step.tokens = (step.tokens[0] * (1 + by), step.tokens[1] * (1 + by))


def _times_out(step: Step, by: float) -> None:
    step.errors = min(0.97, step.errors + by)
    step.message = "TimeoutError: no answer after 30 s"
    step.seconds *= 1 + 3 * by


_RATE = "RateLimitError: 429 too many requests"
_PARSE = "ValidationError: the answer is no JSON"
_ALWAYS = 0.15

FAULTS: tuple[Fault, ...] = (
    Fault("tool_errors", ("error",), "observations", a_step("TOOL"), of_share("errors"), raises("errors"), most=0.8),
    Fault("retriever_errors", ("error",), "observations", a_step("RETRIEVER"), of_share("errors"), raises("errors"),
          most=0.8),
    Fault("call_errors", ("error",), "observations", a_step("GENERATION"), of_share("errors"),
          raises("errors", message=_RATE), most=0.8),
    Fault("model_outage", ("error",), "observations", a_model, of_share("errors"), raises("errors", message=_RATE),
          most=0.8),
    Fault("prompt_breaks_json", ("error",), "observations", a_step("GENERATION", deploys="prompt"), of_share("errors"),
          raises("errors", message=_PARSE), most=0.8),
    Fault("release_breaks_tool", ("error",), "observations", a_step("TOOL", deploys="release"), of_share("errors"),
          raises("errors", message="TypeError: no attribute"), most=0.8),
    Fault("app_fails", ("error",), "observations", an_app, of_share("errors"), raises("errors", message="OutOfMemory"),
          most=0.8),
    Fault("tool_times_out", ("error", "latency"), "observations", a_step("TOOL", seconds=0.5), of_share("errors"),
          _times_out, most=0.8),
    Fault("errors_ended", ("error",), "observations", a_step("TOOL", "GENERATION"), of_share("errors"),
          raises("errors"), "improvement", ended=True, most=0.8),
    Fault("always_fails", ("error",), "observations", a_step("TOOL"), lambda *_: _ALWAYS, raises("errors"), "hotspot",
          always=True),
    Fault("slow_tool", ("latency",), "observations", a_step("TOOL", "RETRIEVER", seconds=0.7), _longer, _slower,
          most=12),
    Fault("slow_call", ("latency",), "observations", a_step("GENERATION"), _longer, _slower, most=12),
    Fault("slow_model", ("latency",), "observations", a_model, _longer, _slower, most=12),
    Fault("slow_prompt", ("latency",), "observations", a_step("GENERATION", deploys="prompt"), _longer, _slower,
          most=12),
    Fault("hanging_tool", ("latency",), "observations", a_step("TOOL", seconds=0.7),
          lambda sample, strength, step: max(0.07, strengths.share_change(sample, 0.05, strength)), raises("hangs"),
          most=0.6),
    Fault("slowness_ended", ("latency",), "observations", a_step("TOOL", "GENERATION", seconds=1.0), _longer, _slower,
          "improvement", ended=True, most=12),
    Fault("dearer_model", ("cost",), "observations", a_model, _dearer, _price, most=12),
    Fault("longer_prompt", ("cost", "token_usage"), "observations", a_step("GENERATION", priced=True, deploys="prompt"),
          _dearer, _tokens, most=12),
    Fault("longer_calls", ("cost", "token_usage"), "observations", a_step("GENERATION", priced=True), _dearer, _tokens,
          most=12),
    Fault("waste_ended", ("cost", "token_usage"), "observations", a_step("GENERATION", priced=True), _dearer, _tokens,
          "improvement", ended=True, most=12),
    Fault("more_tokens", ("token_usage",), "observations", a_step("GENERATION", priced=False), _dearer, _tokens,
          most=12),
    Fault("worse_answers", ("quality",), "scores", a_score("BOOLEAN"), score=-1, most=0.6),
    Fault("worse_grades", ("quality",), "scores", a_score("NUMERIC"), score=-1, most=0.6),
    Fault("prompt_worse", ("quality",), "scores", a_score("BOOLEAN", "NUMERIC", deploys="prompt"), score=-1, most=0.6),
    Fault("hallucinates", ("quality",), "scores", a_score("BOOLEAN", lower_is_better=True), score=1, most=0.6),
    Fault("quality_recovered", ("quality",), "scores", a_score("BOOLEAN"), score=-1, direction="improvement",
          ended=True, most=0.5),
    Fault("tool_loops", ("loop",), "uses", a_step("TOOL"), of_share("loops"), raises("loops"), most=0.6),
    Fault("silent_errors", ("silent_failure",), "observations", a_step("TOOL"), of_share("silent"), raises("silent"),
          most=0.8),
    Fault("empty_results", ("silent_failure", "empty_retrieval"), "observations", a_step("RETRIEVER"),
          of_share("silent"), raises("silent", bad_output="[]"), most=0.8),
    Fault("never_ends", ("unfinished",), "observations", a_step("TOOL", "GENERATION"), of_share("unfinished"),
          raises("unfinished"), most=0.8),
    Fault("release_never_ends", ("unfinished",), "observations", a_step("TOOL", "GENERATION", deploys="release"),
          of_share("unfinished"), raises("unfinished"), most=0.8),
    Fault("traffic_falls", ("traffic",), "traces", an_app, traffic=-1, most=0.95),
    Fault("traffic_grows", ("traffic",), "traces", an_app, traffic=1, direction="hotspot", most=4),
    Fault("user_errors", ("error",), "observations", only_with("user", a_step("TOOL")), of_share("errors"),
          raises("errors", message="QuotaError: used up"), most=0.8),
    Fault("plan_errors", ("error",), "observations", only_with("plan", a_step("TOOL", "GENERATION")),
          of_share("errors"), raises("errors", message="PermissionError: not in this plan"), most=0.8),
    Fault("region_errors", ("error",), "observations", only_with("region", a_step("TOOL")), of_share("errors"),
          raises("errors", message="ConnectError: no route"), most=0.8),
    Fault("region_slow", ("latency",), "observations", only_with("region", a_step("TOOL", "GENERATION", seconds=0.7)),
          _longer, _slower, most=12),
    Fault("hour_errors", ("error",), "observations", only_with("hours", a_step("TOOL", "GENERATION")),
          of_share("errors"), raises("errors", message=_RATE), most=0.8),
    Fault("experiment_errors", ("error",), "observations",
          only_with("arm", a_step("GENERATION", deploys="prompt")), of_share("errors"),
          raises("errors", message=_PARSE), "hotspot", always=True, most=0.8),
    Fault("experiment_slow", ("latency",), "observations",
          only_with("arm", a_step("GENERATION", seconds=1.0, deploys="prompt")), _longer, _slower, "hotspot",
          always=True, most=12),
    Fault("runs_away", ("runaway",), "traces", an_app, runaways=True, most=0.3),
)  # fmt: skip
"""All that can be planted. Adding one: an entry here; the scorer needs to know nothing else."""

_MISSES = Fault("wrong_language", ("silent_failure",), "traces", an_app, misses=True, most=0.5,
                metric="wrong_language_rate")  # fmt: skip

TEXT_FAULTS: tuple[Fault, ...] = (
    _MISSES,
    replace(_MISSES, id="prompt_wrong_language", place=a_step("GENERATION", deploys="prompt")),
    replace(_MISSES, id="language_missed", place=only_with("language", an_app)),
    Fault("calls_cut", ("truncation",), "observations", a_step("GENERATION"), of_share("cut"), raises("cut"), most=0.6),
    Fault("plan_cut", ("truncation",), "observations", only_with("plan", a_step("GENERATION")), of_share("cut"),
          raises("cut"), most=0.6),
    Fault("region_cut", ("truncation",), "observations", only_with("region", a_step("GENERATION")), of_share("cut"),
          raises("cut"), most=0.6),
    Fault("plan_loops", ("loop",), "uses", only_with("plan", a_step("TOOL")), of_share("loops"), raises("loops"),
          most=0.6),
    Fault("region_loops", ("loop",), "uses", only_with("region", a_step("TOOL")), of_share("loops"), raises("loops"),
          most=0.6),
)  # fmt: skip
"""What can be planted where texts are recorded. They are drawn apart, so that the other faults of a world stay."""

VISITOR_FAULTS: tuple[Fault, ...] = (
    Fault("plan_leaves", ("traffic",), "traces", only_with("plan", an_app), traffic=-1, most=0.97),
    Fault("region_leaves", ("traffic",), "traces", only_with("region", an_app), traffic=-1, most=0.97),
    Fault("plan_grows", ("traffic",), "traces", only_with("plan", an_app), traffic=1, direction="hotspot", most=4),
    Fault("plan_runs_away", ("runaway",), "traces", only_with("plan", an_app), runaways=True, most=0.4),
    Fault("region_runs_away", ("runaway",), "traces", only_with("region", an_app), runaways=True, most=0.4),
)
"""What some visitors of an app do. They are drawn apart as well, and first: they decide how many calls there are."""
