"""Hand-made health, flows and excerpts for tests of the renderers; `sample_report` puts them into its reports."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from hansei.contracts import (
    Change,
    DayValue,
    Estimate,
    Evidence,
    Excerpt,
    ExcerptLine,
    Flow,
    Flows,
    Health,
    Passes,
    Sign,
    Step,
    Transition,
)

START = datetime(2026, 11, 2, tzinfo=UTC)


def sign(name: str, unit: str, before: float, now: float, *, worse: int = 1, subject: str = "") -> Sign:
    """A vital sign whose level changed on the window's third day; its intervals are 5 % wide to either side."""

    def estimate(value: float) -> Estimate:
        return Estimate(value=value, n=7_000, low=value * 0.95, high=value * 1.05)

    days = [
        DayValue(start=START + timedelta(days=i), value=(before if i < 9 else now) * (1 + 0.04 * math.sin(3 * i)))
        for i in range(14)
    ]
    fields: dict[str, Any] = {"name": name, "unit": unit, "worse": worse, "subject": subject}
    return Sign.model_validate(fields | {"window": estimate(now), "baseline": estimate(before), "days": days})


def health(evidence: list[Evidence]) -> Health:
    """Six signs: two worse, one better, one changed, one the same, and a score."""
    return Health(
        signs=[
            sign("traces", "traces/day", 1_019, 1_240, worse=0),
            sign("failing_traces", "ratio", 0.021, 0.094),
            sign("latency_median", "s", 2.31, 2.33),
            sign("latency_tail", "s", 24.1, 12.2),
            sign("cost_per_trace", "usd", 0.122, 0.168),
            sign("score", "score", 0.84, 0.71, worse=-1, subject="helpfulness"),
        ],
        changes=[
            Change(
                segment={"trace_name": "support-agent", "release": "2026.11.11"},
                first_seen=START + timedelta(days=9, hours=10), share=0.6,
            )
        ],
        evidence=evidence,
    )  # fmt: skip


def flow(steps: int = 4, name: str = "support-agent") -> Flow:
    """A chain of steps with a loop at each third, a way back at each fifth, and short cuts; the last step is new."""
    names = [f"step_{i:02}" for i in range(steps)]
    told = [
        Step(
            name=one,
            window=Passes(count=1_000 - i, errors=120 if i == 1 else 2, seconds=0.2 + 0.3 * (i % 5)),
            baseline=Passes(count=0 if i == steps - 1 else 990 - i, errors=2, seconds=0.2 + 0.3 * (i % 5)),
        )
        for i, one in enumerate(names)
    ]
    moves = [("", names[0], 1_000, 990), (names[-1], "", 1_000, 0)]
    moves += [(a, b, 900 - i, 890 - i) for i, (a, b) in enumerate(pairwise(names))]
    moves += [(one, one, 400, 12) for one in names[2::3]]
    moves += [(names[i], names[i - 2], 150, 160) for i in range(3, steps, 5)]
    moves += [(names[i], names[i + 4], 90, 85) for i in range(0, steps - 4, 6)]
    return Flow(
        trace_name=name,
        window=1_000,
        baseline=990,
        steps=told,
        transitions=[Transition(source=a, target=b, window=now, baseline=before) for a, b, now, before in moves],
    )


def flows(evidence: list[Evidence], *sizes: int) -> Flows:
    """A flow of each size."""
    return Flows(flows=[flow(size, f"agent of {size}") for size in sizes or (4,)], evidence=evidence)


def excerpt(trace_id: str) -> Excerpt:
    """A trace of three steps, of which the second fails."""
    return Excerpt(
        trace_id=trace_id,
        lines=[
            ExcerptLine(kind="trace", text=f"trace {trace_id} · support-agent · 3 steps, 1 failed"),
            ExcerptLine(kind="step", text="#1 AGENT support-agent · at 0 ms · 9.1 s", depth=1),
            ExcerptLine(kind="step", text="#2 TOOL search_kb · at 120 ms · 8.0 s · ERROR", depth=2, failing=True),
            ExcerptLine(kind="text", text="status: connection pool exhausted", depth=3, failing=True),
            ExcerptLine(kind="gap", text="… 1 step not shown", depth=1),
        ],
    )


def hostile_overview(text: str, evidence: list[Evidence]) -> dict[str, Any]:
    """The fields of a report's overview with `text` wherever there is free text."""
    told = health(evidence)
    signs = [one.model_copy(update={"subject": text}) for one in told.signs]
    changes = [one.model_copy(update={"segment": {"trace_name": text, "release": text}}) for one in told.changes]
    steps = [
        Step(name=name, window=Passes(count=40, errors=9), baseline=Passes(count=30)) for name in (text, f"{text} 2")
    ]
    moves = [("", text), (text, text), (text, f"{text} 2"), (f"{text} 2", "")]
    hostile_flow = Flow(
        trace_name=text, window=40, baseline=30, steps=steps,
        transitions=[Transition(source=a, target=b, window=40, baseline=1) for a, b in moves],
    )  # fmt: skip
    lines = [ExcerptLine(kind="step", text=text, depth=i, failing=i == 1) for i in range(20)]
    return {
        "health": told.model_copy(update={"signs": signs, "changes": changes}),
        "flows": Flows(flows=[hostile_flow], evidence=evidence),
        "excerpts": [Excerpt(trace_id=text, lines=lines)],
    }
