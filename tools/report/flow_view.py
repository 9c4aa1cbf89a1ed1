"""How the steps of one trace name ran, ready to be drawn: what differs from the baseline, and what is left out."""

from __future__ import annotations

import math
from dataclasses import dataclass

from hansei.contracts import Flow, Flows, Passes
from hansei.tools.report import formats
from hansei.tools.report.catalogue import Catalogue, catalogue
from hansei.tools.report.text import excerpt, one_line

LONGEST_NAME = 60
LONGEST_NODE = 26
MOST_NAMED = 6

_SURE = 3.29
"""Standard errors beyond which two shares count as different: few of the many steps of a report do so by chance."""

_LEAST_RATE = 0.01
_SLOWER = 1.25
_TIMES = 3.0
_RARE = 0.004
"""Transitions taken by fewer than this share of the traces, in either period, are left out of graphs with many."""
_MANY = 40


@dataclass(frozen=True)
class StepView:
    """A step. `state` is new, gone, worse, better or same, against the baseline."""

    name: str
    short: str
    """The name as it fits into a node."""
    count: str
    per_trace: str
    errors: str
    errors_before: str
    seconds: str
    seconds_before: str
    state: str
    state_label: str
    fails: bool
    """Whether one call in a hundred fails, now."""


@dataclass(frozen=True)
class MoveView:
    """A transition between two places of `FlowView.steps`; None is the begin or the end of the trace."""

    source: int | None
    target: int | None
    count: str
    before: str
    weight: float
    """Times a trace takes it, now or before."""
    state: str
    """new, gone, more, less or same."""
    back: bool
    """Whether it goes back to a step that came before, or to itself."""
    mark: str
    """What to say of the change; empty when there is none."""


@dataclass(frozen=True)
class FlowView:
    name: str
    traces: str
    baseline: str
    steps: list[StepView]
    moves: list[MoveView]
    differs: str
    """Which steps and transitions differ from the baseline, in words; may be empty."""
    notes: list[str]


def flow_views(flows: Flows, language: str) -> list[FlowView]:
    """The flows in words of `language`; where there is but one kind of step there is no flow."""
    return [_flow(flow, catalogue(language)) for flow in flows.flows if len(flow.steps) > 1]


def flow_note(flows: Flows, language: str) -> str:
    """What the counts are of."""
    words = catalogue(language)
    if not flows.days:
        return words.text("flow.all")
    days = [formats.format_date(day, language) for day in flows.days]
    return words.text("flow.days", window=days[0], baseline=days[-1])


def _flow(flow: Flow, words: Catalogue) -> FlowView:
    language = words.language
    place = {step.name: i for i, step in enumerate(flow.steps)}
    steps = [_step(step.name, step.window, step.baseline, flow, words) for step in flow.steps]
    least = _RARE if len(flow.transitions) > _MANY else 0.0
    moves, hidden = [], 0
    order = _first_seen(flow)
    for move in flow.transitions:
        now, before = _share(move.window, flow.window), _share(move.baseline, flow.baseline)
        if max(now, before) < least:
            hidden += 1
            continue
        state = _moved(move.window, move.baseline, flow)
        moves.append(
            MoveView(
                source=place.get(move.source),
                target=place.get(move.target),
                count=formats.format_count(move.window, language),
                before=formats.format_count(move.baseline, language),
                weight=max(now, before),
                state=state,
                back=bool(move.source and move.target) and order[move.target] <= order[move.source],
                mark=_mark(state, move.window, move.baseline, flow, words),
            )
        )
    return FlowView(
        name=excerpt(one_line(flow.trace_name), LONGEST_NAME) or words.text("segment.blank"),
        traces=formats.format_count(flow.window, language),
        baseline=formats.format_count(flow.baseline, language),
        steps=steps,
        moves=moves,
        differs=", ".join([*_changed_steps(steps), *_changed_moves(steps, moves)][:MOST_NAMED]),
        notes=[words.text("flow.hidden", count=hidden)] if hidden else [],
    )


def _changed_steps(steps: list[StepView]) -> list[str]:
    return [f"{step.name} ({step.state_label})" for step in steps if step.state != "same"]


def _changed_moves(steps: list[StepView], moves: list[MoveView]) -> list[str]:
    shown = sorted((move for move in moves if move.state in ("new", "more")), key=lambda move: -move.weight)
    return [
        f"{steps[move.source].name} → {steps[move.target].name} ({move.mark})"
        for move in shown
        if move.source is not None and move.target is not None
    ]


def _step(name: str, now: Passes, before: Passes, flow: Flow, words: Catalogue) -> StepView:
    language = words.language
    state = _changed(now, before, flow)
    none = words.text("number.none")
    shown = [
        formats.format_ratio(passes.errors, passes.count, language) if passes.count else none
        for passes in (now, before)
    ]
    times = [
        formats.format_value(passes.seconds, "s", language) if passes.seconds is not None else none
        for passes in (now, before)
    ]
    text = one_line(name) or words.text("segment.blank")
    return StepView(
        name=excerpt(text, LONGEST_NAME),
        short=text if len(text) <= LONGEST_NODE else f"{text[: LONGEST_NODE - 1]}…",
        count=formats.format_count(now.count, language),
        per_trace=formats.format_value(round(_share(now.count, flow.window), 2), "count", language),
        errors=shown[0],
        errors_before=shown[1],
        seconds=times[0],
        seconds_before=times[1],
        state=state,
        state_label="" if state == "same" else words.text(f"flow.{state}"),
        fails=now.count > 0 and now.errors / now.count >= _LEAST_RATE,
    )


def _changed(now: Passes, before: Passes, flow: Flow) -> str:
    if not before.count and now.count and flow.baseline:
        return "new"
    if not now.count:
        return "gone"
    if _differ(now.errors, now.count, before.errors, before.count) and (
        abs(now.errors / now.count - before.errors / before.count) >= _LEAST_RATE
    ):
        return "worse" if now.errors / now.count > before.errors / before.count else "better"
    if now.seconds and before.seconds and min(now.count, before.count) >= 30 and max(now.seconds, before.seconds) > 0.1:
        if now.seconds > before.seconds * _SLOWER:
            return "slower"
        if before.seconds > now.seconds * _SLOWER:
            return "faster"
    return "same"


def _moved(now: int, before: int, flow: Flow) -> str:
    """Transitions may be taken several times a trace; their counts are compared as Poisson rates."""
    if not flow.window or not flow.baseline:
        return "same"
    if not before and now >= 5:
        return "new"
    if not now and before >= 5:
        return "gone"
    rates = now / flow.window, before / flow.baseline
    error = math.sqrt(now / flow.window**2 + before / flow.baseline**2)
    if abs(rates[0] - rates[1]) <= _SURE * error or abs(rates[0] - rates[1]) < 0.1 * max(rates):
        return "same"
    return "more" if rates[0] > rates[1] else "less"


def _mark(state: str, now: int, before: int, flow: Flow, words: Catalogue) -> str:
    if state in ("new", "gone"):
        return words.text(f"flow.{state}")
    if state == "same" or not before:
        return ""
    before_rate, rate = before / flow.baseline, now / flow.window
    if rate >= _TIMES * before_rate:
        return words.text(
            "flow.times", factor=formats.format_value(float(f"{rate / before_rate:.2g}"), "count", words.language)
        )
    return formats.format_relative(before_rate, rate, words.language)


def _differ(one: int, of_one: int, other: int, of_other: int) -> bool:
    if not of_one or not of_other:
        return False
    pooled = (one + other) / (of_one + of_other)
    error = math.sqrt(pooled * (1 - pooled) * (1 / of_one + 1 / of_other))
    return error > 0 and abs(one / of_one - other / of_other) > _SURE * error


def _share(count: int, of: int) -> float:
    return count / of if of else 0.0


def _first_seen(flow: Flow) -> dict[str, int]:
    """Steps in the order in which they are met when the most frequent transitions are followed from the begin."""
    following: dict[str, list[str]] = {}
    for move in flow.transitions:
        following.setdefault(move.source, []).append(move.target)
    order: dict[str, int] = {}
    queue = [""]
    while queue:
        for target in following.get(queue.pop(0), []):
            if target and target not in order:
                order[target] = len(order)
                queue.append(target)
    for step in flow.steps:
        order.setdefault(step.name, len(order))
    return order
