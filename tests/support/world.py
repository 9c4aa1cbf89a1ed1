"""A small made-up project for tests: two apps, a few steps, steady from day to day, with faults to order.

Everything follows from the seed. The window is the last seven days, the baseline the seven before.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from hansei.contracts import Periods
from hansei.demo.rows import ObservationRow, Rows, ScoreRow, TraceRow

END = datetime(2026, 11, 16, tzinfo=UTC)
PERIODS = Periods.ending(END, timedelta(days=7), timedelta(days=7))
PROJECT = "acme"


@dataclass
class Step:
    """One observation to be written; faults change it before it is."""

    type: str
    name: str
    seconds: float
    level: str = "DEFAULT"
    model: str | None = None
    cost: float = 0.0
    tokens: tuple[int, int] = (0, 0)
    prompt: tuple[str, int] | None = None
    input: str = ""
    output: str = "ok"
    finished: bool = True
    status: str | None = None
    first_token: float | None = None
    """Seconds until a streamed answer began."""
    cached: int = 0
    """Of the input tokens, those read from the cache."""
    parameters: str | None = None
    """What the model was called with, as JSON."""
    metadata: dict[str, str] = field(default_factory=dict)
    tools: dict[str, str] = field(default_factory=dict)
    """The tools that a model was offered: name → definition."""
    priced: bool = True
    counted: bool = True


@dataclass
class Visit:
    """One trace to be written; faults change it before it is."""

    app: str
    at: datetime
    day: int
    """Days since the window's start; negative in the baseline."""
    user: str
    release: str
    steps: list[Step]
    random: random.Random
    environment: str = "production"
    scores: list[tuple[str, float, str]] = field(default_factory=list)
    judged: list[tuple[str, float, str]] = field(default_factory=list)
    """Scores that evaluators gave."""
    tags: list[str] = field(default_factory=list)
    metadata: dict[str, str] = field(default_factory=dict)
    input: str = ""
    output: str = ""
    session: str | None = None
    """Default: one of its own."""


Fault = Callable[[Visit], None]


def make_world(
    *faults: Fault,
    seed: int = 1,
    per_day: int = 60,
    days: int = 14,
    share_of_research: Callable[[int], float] = lambda day: 0.3,
    volume: Callable[[int, str], float] = lambda day, app: 1.0,
    comes: Callable[[Visit], bool] = lambda visit: True,
) -> Rows:
    """Builds the rows: about `per_day` traces a day over the `days` before `END`, each changed by the faults.

    Args:
        comes: whether a visit, as the faults left it, takes place at all.
    """
    source = random.Random(seed)
    rows = Rows()
    for day in range(-days + 7, 7):
        for app, share in (("support", 1 - share_of_research(day)), ("research", share_of_research(day))):
            for i in range(round(per_day * share * volume(day, app))):
                at = PERIODS.window.start + timedelta(days=day, seconds=source.uniform(0, 86_000))
                visit = Visit(app, at.replace(microsecond=0), day, f"user-{source.randrange(80)}", "1.0", [], source)
                visit.steps = _support(source) if app == "support" else _research(source)
                visit.scores = [("helpful", float(source.random() < 0.8), "BOOLEAN")] if i % 2 else []
                for fault in faults:
                    fault(visit)
                if comes(visit):
                    _write(rows, visit, f"{app}-{day + 30}-{i}")
    return rows


def _seconds(source: random.Random, median: float) -> float:
    return round(median * source.lognormvariate(0, 0.4), 3)


def _support(source: random.Random) -> list[Step]:
    tokens = (source.randrange(800, 1200), source.randrange(100, 300))
    return [
        Step("RETRIEVER", "search_docs", _seconds(source, 0.3)),
        Step("TOOL", "lookup_order", _seconds(source, 0.5), input=f'{{"order": {source.randrange(10**6)}}}'),
        Step(
            "GENERATION", "answer", _seconds(source, 2.0), model="large-1", tokens=tokens,
            cost=(tokens[0] * 2 + tokens[1] * 8) / 1e6, prompt=("answer", 6),
        ),
    ]  # fmt: skip


def _research(source: random.Random) -> list[Step]:
    steps = [Step("GENERATION", "plan", _seconds(source, 1.5), model="small-1", tokens=(500, 100), cost=0.0004)]
    for _ in range(source.randrange(2, 5)):
        steps.append(Step("TOOL", "web_search", _seconds(source, 0.8), input=f'{{"q": "{source.randrange(10**9)}"}}'))
    tokens = (source.randrange(4000, 6000), source.randrange(300, 600))
    steps.append(
        Step(
            "GENERATION", "summarise", _seconds(source, 4.0), model="large-1", tokens=tokens,
            cost=(tokens[0] * 2 + tokens[1] * 8) / 1e6, prompt=("summarise", 3),
        )
    )  # fmt: skip
    return steps


def _write(rows: Rows, visit: Visit, trace_id: str) -> None:
    rows.traces.append(
        TraceRow(
            id=trace_id, timestamp=visit.at, name=visit.app, project_id=PROJECT, user_id=visit.user,
            release=visit.release, environment=visit.environment,
            session_id=f"s-{trace_id}" if visit.session is None else visit.session,
            tags=visit.tags, metadata=visit.metadata, input=visit.input, output=visit.output,
        )
    )  # fmt: skip
    at = visit.at
    for n, step in enumerate(visit.steps):
        end = at + timedelta(milliseconds=round(step.seconds * 1000))
        cost = Decimal(str(round(step.cost, 9)))
        rows.observations.append(
            ObservationRow(
                id=f"{trace_id}-o{n}", trace_id=trace_id, start_time=at, end_time=end if step.finished else None,
                type=step.type, name=step.name, project_id=PROJECT, environment=visit.environment, level=step.level,
                status_message=step.status, input=step.input, output=step.output, model=step.model,
                usage_details=_usage(step), cost_details={"total": cost} if step.model and step.priced else {},
                total_cost=cost if step.model and step.priced else None, metadata=step.metadata,
                model_parameters=step.parameters, tool_definitions=step.tools,
                completion_start_time=None if step.first_token is None
                else at + timedelta(milliseconds=round(step.first_token * 1000)),
                prompt_name=step.prompt[0] if step.prompt else None,
                prompt_version=step.prompt[1] if step.prompt else None,
            )
        )  # fmt: skip
        at = end
    for source, scores in (("API", visit.scores), ("EVAL", visit.judged)):
        for name, value, kind in scores:
            rows.scores.append(
                ScoreRow(
                    id=f"{trace_id}-{name}" + ("" if source == "API" else f"-{source}"), timestamp=at, name=name,
                    project_id=PROJECT, trace_id=trace_id,
                    environment=visit.environment, value=value, data_type=kind, source=source,
                    string_value=str(bool(value)) if kind == "BOOLEAN" else None,
                )
            )  # fmt: skip


def _usage(step: Step) -> dict[str, int]:
    if not step.model or not step.counted:
        return {}
    usage = {"input": step.tokens[0] - step.cached, "output": step.tokens[1], "total": sum(step.tokens)}
    return {**usage, "input_cached_tokens": step.cached} if step.cached else usage
