"""Traffic and outcomes: visits with their true parameters, then the rows that are drawn from them."""

from __future__ import annotations

import math
from copy import copy
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from itertools import accumulate
from random import Random
from statistics import NormalDist

from benchmarks.quality.company import PROJECT, App, Company, Score, Step
from benchmarks.quality.texts import CUT, ENDED, conversation

from hansei.contracts import Periods
from hansei.demo.rows import ObservationRow, Rows, ScoreRow, TraceRow

_MONDAY = datetime(2026, 9, 7, tzinfo=UTC)
_ALIKE, _APART = 0.3, math.sqrt(1 - 0.3**2)
HANG = 8.0


@dataclass
class Visit:
    """One trace to be: its place in time, and the parameters of everything that will happen in it."""

    id: str
    app: str
    at: datetime
    day: int
    """Days of 24 hours since the window's start; negative before."""
    user: str
    environment: str
    release: str
    steps: list[Step]
    scores: list[Score]
    runaways: float
    plan: str = ""
    region: str = ""
    arm: str = "A"
    """Of an experiment that splits the traffic in two, if there is one."""
    language: str = ""
    """Of its question; '': none that can be told."""
    misses: float = 0.0
    """How likely its answer is in another one."""
    marks: set[int] = field(default_factory=set)
    """Numbers of the faults that the trace is exposed to."""


@dataclass(frozen=True)
class Expected:
    """The true parameters of one observation."""

    errors: float
    silent: float
    unfinished: float
    seconds: float
    sigma: float
    hangs: float
    tokens: float
    cost: float
    loops: float
    cut: float = 0.0


@dataclass
class Drawn:
    """Rows as they count, with the true parameters beside them."""

    rows: Rows
    expected: dict[str, Expected]
    """By observation id."""
    expected_score: dict[str, float]
    expected_runaway: dict[str, float]
    exposed: dict[int, set[str]]
    """Fault → ids of the rows (observations, traces or scores, as the fault says) that it touched."""
    expected_miss: dict[str, float] = field(default_factory=dict)


def periods_of(company: Company) -> Periods:
    """The window and the baseline: they end at another moment for each company."""
    end = _MONDAY + timedelta(days=40 + Random(company.seed).randrange(14), hours=company.end_hour)
    return Periods.ending(end, timedelta(days=company.window_days), timedelta(days=company.baseline_days))


def make_visits(company: Company, periods: Periods, draw: int) -> list[Visit]:
    """The traffic as it would be without any fault or trap."""
    rng, carried = Random(f"visits {company.seed} {draw}"), Random(f"carried {company.seed} {draw}")
    spoken, languages = Random(f"spoken {company.seed} {draw}"), list(company.languages)
    per_day = company.size / (company.window_days + company.baseline_days)
    hours = [
        1 + company.peakedness * math.cos((hour - company.peak_hour) / 24 * 2 * math.pi) for hour in range(24)
    ]  # fmt: skip
    weights = list(accumulate(company.user_weights))
    users = [f"u{number:04d}" for number in range(len(weights))]
    visits: list[Visit] = []
    for app in company.apps:
        usual = 5 + 2 * app.weekend
        for day in range(-company.baseline_days - company.history_days, company.window_days):
            start = periods.window.start + timedelta(days=day)
            weekday = app.weekend if (start + timedelta(hours=12)).weekday() >= 5 else 1.0
            mean = per_day * app.share * weekday * 7 / usual * math.exp(rng.gauss(0, company.day_noise))
            count = max(0, round(rng.gauss(mean, math.sqrt(mean))))
            moments = rng.choices(range(24), weights=hours, k=count)
            for number, user in enumerate(rng.choices(users, cum_weights=weights, k=count)):
                into = (moments[number] - start.hour) % 24 * 3600 + rng.randrange(3600)
                at = start + timedelta(seconds=into, milliseconds=rng.randrange(1000))
                environment = "staging" if rng.random() < app.staging else "production"
                visit = _visit(f"{draw}-{app.name}-{day + 60}-{number}", app, at, day, user, environment)
                (visit.plan,) = carried.choices(list(company.plans), list(company.plans.values()))
                (visit.region,) = carried.choices(list(company.regions), list(company.regions.values()))
                visit.arm = carried.choice("AB")
                if languages:
                    (visit.language,) = spoken.choices(languages, list(company.languages.values()))
                    visit.misses = app.misses
                visits.append(visit)
    return visits


def _visit(id: str, app: App, at: datetime, day: int, user: str, environment: str) -> Visit:
    return Visit(
        id, app.name, at, day, user, environment, app.release, [copy(step) for step in app.steps],
        [copy(score) for score in app.scores], app.runaways,
    )  # fmt: skip


@lru_cache(maxsize=100_000)
def _threshold(share: float) -> float:
    if share <= 0:
        return math.inf
    return -math.inf if share >= 1 else NormalDist().inv_cdf(1 - share)


def draw_rows(company: Company, visits: list[Visit], draw: int) -> Drawn:
    """Draws what happens in each visit. The same visit has the same luck whatever its parameters are."""
    drawn = Drawn(Rows(), {}, {}, {}, {})
    for visit in visits:
        _draw(drawn, visit, Random(f"luck {company.seed} {draw} {visit.id}"))
        if company.languages:
            _say(drawn, visit, company.languages, Random(f"said {company.seed} {draw} {visit.id}"))
    return drawn


def _say(drawn: Drawn, visit: Visit, languages: dict[str, float], rng: Random) -> None:
    """What was asked and answered in the trace that was drawn last, and why its model calls ended."""
    trace, luck = drawn.rows.traces[-1], _Luck(rng)
    trace.input, trace.output = conversation(visit.language, visit.misses, languages, rng)
    drawn.expected_miss[visit.id] = visit.misses
    cut = {step.name: step.cut for step in visit.steps}
    for call in reversed(drawn.rows.observations):
        if call.trace_id != visit.id:
            break
        if call.type == "GENERATION":
            call.metadata = CUT if luck.happens("cut", cut[call.name]) else ENDED
            drawn.expected[call.id] = replace(drawn.expected[call.id], cut=cut[call.name])


class _Luck:
    """Outcomes of one trace: alike within the trace, independent between kinds of outcome."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._own: dict[str, float] = {}

    def normal(self, kind: str) -> float:
        own = self._own.setdefault(kind, self._rng.gauss(0, 1))
        return _ALIKE * own + _APART * self._rng.gauss(0, 1)

    def happens(self, kind: str, share: float) -> bool:
        return self.normal(kind) > _threshold(share)


def _draw(drawn: Drawn, visit: Visit, rng: Random) -> None:
    rows, luck = drawn.rows, _Luck(rng)
    rows.traces.append(
        TraceRow(
            id=visit.id, timestamp=visit.at, name=visit.app, project_id=PROJECT, user_id=visit.user,
            environment=visit.environment, release=visit.release, session_id=f"{visit.user}-{visit.day}",
            tags=(visit.plan,), metadata={"region": visit.region},
        )
    )  # fmt: skip
    drawn.expected_runaway[visit.id] = visit.runaways
    moment, number = visit.at, 0
    runs_away = rng.random() < visit.runaways
    wanderer = next((step for step in visit.steps if step.type == "TOOL"), visit.steps[0])
    for step in visit.steps:
        inputs = [f'{{"q": "{rng.randrange(10**12):x}"}}' for _ in range(rng.randint(*step.calls))]
        if step.type == "TOOL" and rng.random() < step.loops:
            inputs += [inputs[0]] * rng.randint(5, 9)
        if runs_away and step is wanderer:
            inputs += [f'{{"q": "{rng.randrange(10**12):x}"}}' for _ in range(rng.randint(60, 120))]
        for text in inputs:
            moment = _call(drawn, visit, step, text, moment, f"{visit.id}-{number}", luck, rng)
            number += 1
    for score in visit.scores:
        if rng.random() < score.share:
            _score(drawn, visit, score, rng)


def _call(
    drawn: Drawn, visit: Visit, step: Step, text: str, at: datetime, id: str, luck: _Luck, rng: Random
) -> datetime:
    fails, is_open = luck.happens("error", step.errors), luck.happens("open", step.unfinished)
    bad = luck.happens("silent", step.silent)
    seconds = step.seconds * math.exp(step.sigma * luck.normal("seconds")) * (
        HANG if rng.random() < step.hangs else 1.0
    )  # fmt: skip
    grown = math.exp(step.token_sigma * luck.normal("tokens"))
    tokens = (round(step.tokens[0] * grown), round(step.tokens[1] * grown))
    mean = math.exp(step.token_sigma**2 / 2)
    cost = expected_cost = None
    if step.model and step.prices is not None:
        cost = (Decimal(tokens[0]) * Decimal(str(round(step.prices[0], 6)))
                + Decimal(tokens[1]) * Decimal(str(round(step.prices[1], 6)))) / 1_000_000  # fmt: skip
        expected_cost = (step.tokens[0] * step.prices[0] + step.tokens[1] * step.prices[1]) * mean / 1e6
    duration = timedelta(milliseconds=max(1, round(seconds * 1000)))
    drawn.rows.observations.append(
        ObservationRow(
            id=id, trace_id=visit.id, start_time=at, end_time=None if is_open else at + duration, type=step.type,
            name=step.name, project_id=PROJECT, environment=visit.environment, level="ERROR" if fails else "DEFAULT",
            status_message=step.message if fails else None, input=text,
            output=step.bad_output if bad else '{"data": "as asked for"}', model=step.model or None,
            usage_details={"input": tokens[0], "output": tokens[1], "total": sum(tokens)} if step.model else {},
            cost_details={"total": cost} if cost is not None else {}, total_cost=cost,
            prompt_name=step.prompt[0] if step.prompt else None,
            prompt_version=step.prompt[1] if step.prompt else None,
            event_ts=at + duration,
        )
    )  # fmt: skip
    drawn.expected[id] = Expected(
        step.errors, step.silent, step.unfinished, step.seconds, step.sigma, step.hangs,
        sum(step.tokens) * mean if step.model else math.nan, math.nan if expected_cost is None else expected_cost,
        step.loops,
    )  # fmt: skip
    return at + duration


def _score(drawn: Drawn, visit: Visit, score: Score, rng: Random) -> None:
    value = rng.random() < score.level if score.type == "BOOLEAN" else rng.gauss(score.level, score.spread)
    id = f"{visit.id}-{score.name}"
    drawn.rows.scores.append(
        ScoreRow(
            id=id, timestamp=visit.at + timedelta(seconds=30), name=score.name, project_id=PROJECT, trace_id=visit.id,
            environment=visit.environment, value=round(float(value), 6), data_type=score.type,
            string_value=str(bool(value)) if score.type == "BOOLEAN" else None,
        )
    )  # fmt: skip
    drawn.expected_score[id] = score.level
