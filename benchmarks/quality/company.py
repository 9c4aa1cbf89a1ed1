"""Companies: what they run, how often, for whom. Everything follows from the seed."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from random import Random

from benchmarks.quality.texts import languages_of

PROJECT = "proj-scorecard"

_APPS = (
    "claims-desk", "trip-planner", "contract-review", "shop-assistant", "tutor", "lab-notes", "sql-helper",
    "ticket-triage", "music-finder", "tax-advisor", "clinic-intake", "code-review",
)  # fmt: skip
_TOOLS = (
    "get_account", "find_flights", "query_index", "send_mail", "read_calendar", "run_sql", "fetch_url", "convert_units",
    "lookup_price", "create_ticket", "geocode", "read_pdf", "check_stock", "translate_text",
)  # fmt: skip
_CALLS = ("decide", "draft", "rewrite", "classify", "extract", "reply", "grade", "outline", "compare")
_MODELS = (
    ("atlas-large", 3.0, 15.0), ("atlas-mini", 0.3, 1.2), ("boreal-2", 1.25, 10.0), ("cirrus-8b", 0.1, 0.4),
    ("delta-pro", 5.0, 25.0),
)  # fmt: skip
_PLANS = ("free", "team", "enterprise", "trial")
_REGIONS = ("eu-west", "us-east", "ap-south", "sa-east")
_SCORES = (("user_thumb", "BOOLEAN"), ("answer_grade", "NUMERIC"), ("resolved", "BOOLEAN"))
_ALIKE = 0.3
"""Correlation of what happens to calls of one trace (of the normal variables behind it)."""


@dataclass
class Step:
    """One kind of call within an app: the true parameters that its outcomes are drawn with. Faults change copies."""

    type: str
    name: str
    seconds: float
    """Median duration."""
    sigma: float
    calls: tuple[int, int] = (1, 1)
    model: str = ""
    prices: tuple[float, float] | None = None
    """US dollars per million input and output tokens; None: the model runs in the house and has no price."""
    tokens: tuple[float, float] = (0.0, 0.0)
    """Median input and output tokens of a call."""
    token_sigma: float = 0.5
    prompt: tuple[str, int] | None = None
    errors: float = 0.005
    message: str = "UpstreamError: the service did not answer"
    silent: float = 0.003
    bad_output: str = '{"error": "upstream gave no result", "data": null}'
    unfinished: float = 0.0005
    loops: float = 0.003
    """Share of the traces that use it in which one input is sent again and again."""
    hangs: float = 0.0
    """Share of calls that take eight times as long."""
    cut: float = 0.0
    """Share of calls that end at the limit on tokens; only companies with texts tell."""

    @property
    def mean_calls(self) -> float:
        return (self.calls[0] + self.calls[1]) / 2

    @property
    def design_effect(self) -> float:
        """By how much calls of one trace being alike widens an interval (Kish)."""
        return 1 + max(0.0, self.mean_calls - 1) * _ALIKE**2


@dataclass
class Score:
    """A score that traces of an app get: of type BOOLEAN with probability `level`, else around `level`."""

    name: str
    type: str
    share: float
    level: float
    spread: float = 0.15
    lower_is_better: bool = False


@dataclass
class App:
    name: str
    share: float
    steps: list[Step]
    scores: list[Score]
    release: str
    runaways: float
    """Share of traces that go on and on."""
    staging: float
    weekend: float
    """Traffic of a Saturday or Sunday relative to a weekday."""
    misses: float = 0.0
    """Share of the questions that are answered in another language; only companies with texts tell."""


@dataclass
class Company:
    """One project with its traffic. `size` counts traces of the window and the baseline together."""

    seed: int
    schema: str
    size: int
    window_days: int
    baseline_days: int
    history_days: int
    end_hour: int
    apps: list[App]
    user_weights: list[float] = field(repr=False)
    plans: dict[str, float] = field(default_factory=dict)
    """Tag of a trace → its share. One for each trace."""
    regions: dict[str, float] = field(default_factory=dict)
    """Value of the metadata key `region` → its share."""
    languages: dict[str, float] = field(default_factory=dict)
    """Language of a question → its share. Empty: questions, answers and why calls ended are not recorded."""
    peak_hour: float = 13.0
    peakedness: float = 0.8
    day_noise: float = 0.03
    """Standard deviation of a day's traffic (of its logarithm) beyond chance and weekday."""

    @property
    def pairs(self) -> list[tuple[App, Step]]:
        return [(app, step) for app in self.apps for step in app.steps]


def make_company(seed: int, *, small: bool = False) -> Company:
    """A company of its own for each seed; `small` bounds its size for quick runs."""
    rng = Random(f"company {seed}")
    size = round(math.exp(rng.uniform(math.log(1_500), math.log(3_000 if small else 30_000))))
    spans = rng.choice(((7, 7, 0), (7, 7, 14), (7, 14, 14), (5, 5, 0), (3, 7, 14), (7, 7, 14)))
    users = round(math.exp(rng.uniform(math.log(40), math.log(2_000))))
    steepness = rng.uniform(0.4, 1.1)
    models = rng.sample(_MODELS, rng.randint(2, 4))
    tools = rng.sample(_TOOLS, len(_TOOLS))
    names = rng.sample(_APPS, rng.randint(2, 5))
    shares = [rng.uniform(0.3, 1.0) for _ in names]
    shared = _tool(rng, tools.pop())
    apps = [
        _app(rng, name, share / sum(shares), models, tools, shared if rng.random() < 0.5 else None)
        for name, share in zip(names, shares, strict=True)
    ]
    carried = Random(f"carried {seed}")
    return Company(
        plans=_shares(carried, _PLANS),
        regions=_shares(carried, _REGIONS),
        seed=seed,
        schema="v3" if seed % 2 else "v4",
        size=size,
        window_days=spans[0],
        baseline_days=spans[1],
        history_days=spans[2] if size < 10_000 else 0,
        end_hour=rng.choice((0, 0, 9, 17)),
        apps=apps,
        user_weights=[1 / (rank + 1) ** steepness for rank in range(users)],
        peak_hour=rng.uniform(9, 20),
        peakedness=rng.uniform(0.2, 0.95),
        day_noise=rng.uniform(0.0, 0.06),
    )


def add_texts(company: Company) -> None:
    """From now on the company records questions, answers, and why its model calls end."""
    rng = Random(f"texts {company.seed}")
    company.languages = languages_of(rng)
    for app in company.apps:
        app.misses = rng.uniform(0.002, 0.01)
    for _, step in company.pairs:
        if step.type == "GENERATION":
            step.cut = rng.uniform(0.002, 0.01)


def _shares(rng: Random, names: tuple[str, ...]) -> dict[str, float]:
    weights = {name: rng.uniform(0.2, 1.0) for name in rng.sample(names, rng.randint(2, len(names)))}
    return {name: weight / sum(weights.values()) for name, weight in weights.items()}


def _app(
    rng: Random, name: str, share: float, models: list[tuple[str, float, float]], tools: list[str], shared: Step | None
) -> App:
    steps = [_tool(rng, tools.pop()) for _ in range(rng.randint(1, 2)) if tools]
    if rng.random() < 0.5:
        steps.append(replace(_tool(rng, f"search_{name.split('-')[0]}"), type="RETRIEVER"))
    if shared is not None:
        steps.append(replace(shared))
    for call in rng.sample(_CALLS, rng.randint(1, 3)):
        model, price_in, price_out = rng.choice(models)
        steps.append(
            Step(
                "GENERATION", call, rng.uniform(0.9, 6.0), rng.uniform(0.3, 0.6), calls=(1, rng.choice((1, 1, 2))),
                model=model, prices=None if model == "cirrus-8b" else (price_in, price_out),
                tokens=(math.exp(rng.uniform(math.log(300), math.log(8_000))), rng.uniform(60, 900)),
                token_sigma=rng.uniform(0.2, 0.9),
                prompt=(f"{name}/{call}", rng.randint(1, 12)) if rng.random() < 0.7 else None,
                errors=rng.uniform(0.001, 0.015), message="ModelError: overloaded", loops=0.0, silent=0.0,
            )
        )  # fmt: skip
    rng.shuffle(steps)
    scores = [
        Score(score, kind, rng.uniform(0.3, 0.9), rng.uniform(0.6, 0.9))
        for score, kind in rng.sample(_SCORES, rng.randint(1, 2))
    ]
    if rng.random() < 0.4:
        scores.append(Score("hallucination", "BOOLEAN", rng.uniform(0.4, 1.0), rng.uniform(0.03, 0.1), 0.0, True))
    return App(
        name, share, steps, scores, f"{rng.randint(1, 9)}.{rng.randint(0, 9)}", rng.uniform(0.0, 0.002),
        rng.choice((0.0, 0.0, 0.08, 0.15)), rng.uniform(0.3, 1.2),
    )  # fmt: skip


def _tool(rng: Random, name: str) -> Step:
    return Step(
        "TOOL", name, math.exp(rng.uniform(math.log(0.15), math.log(4.0))), rng.uniform(0.3, 0.7),
        calls=rng.choice(((1, 1), (1, 1), (1, 3), (2, 4))), errors=rng.uniform(0.002, 0.02),
        silent=rng.uniform(0.001, 0.01), loops=rng.uniform(0.0, 0.004),
    )  # fmt: skip
