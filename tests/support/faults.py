"""Faults to order for the made-up project: each changes the visits of one app from one day of the window on."""

from __future__ import annotations

from collections.abc import Callable

from tests.support.world import Fault, Step, Visit

StepFault = Callable[[Visit, Step], None]


def on_step(app: str, name: str, change: StepFault, *, day: int = 0, share: float = 1.0) -> Fault:
    """Changes that share of the app's steps of that name, from that day of the window on."""

    def fault(visit: Visit) -> None:
        for step in visit.steps:
            if visit.app == app and visit.day >= day and step.name == name and visit.random.random() < share:
                change(visit, step)

    return fault


def fails(message: str) -> StepFault:
    """The step ends at level ERROR."""

    def change(visit: Visit, step: Step) -> None:
        step.level, step.status = "ERROR", message

    return change


def answers(output: str) -> StepFault:
    """The step gives that output and calls it a success."""

    def change(visit: Visit, step: Step) -> None:
        step.output = output

    return change


def takes(times: float) -> StepFault:
    """The step takes that many times as long."""

    def change(visit: Visit, step: Step) -> None:
        step.seconds = round(step.seconds * times, 3)

    return change


def costs(times: float) -> StepFault:
    """The call costs that many times as much, with the same tokens: a dearer price."""

    def change(visit: Visit, step: Step) -> None:
        step.cost *= times

    return change


def reads(tokens: int) -> StepFault:
    """The call has that many more input tokens, at no cost."""

    def change(visit: Visit, step: Step) -> None:
        step.tokens = (step.tokens[0] + tokens, step.tokens[1])

    return change


def starts_after(seconds: float) -> StepFault:
    """The answer streams, and begins that much later than usual; it also ends as much later."""

    def change(visit: Visit, step: Step) -> None:
        step.first_token = round((step.first_token or 0) + seconds, 3)
        step.seconds = round(step.seconds + seconds, 3)

    return change


def reads_from_cache(share: float) -> StepFault:
    """That share of the input is read from the cache, at a tenth of the price."""

    def change(visit: Visit, step: Step) -> None:
        cached = round(step.tokens[0] * share)
        step.cost += (step.cached - cached) * 1.8 / 1e6
        step.cached = cached

    return change


def ends_with(reason: str) -> StepFault:
    """The SDK notes why the model stopped."""

    def change(visit: Visit, step: Step) -> None:
        step.metadata = {"finish_reason": reason}

    return change


def fills(most: int) -> StepFault:
    """The answer takes all the tokens that it may have."""

    def change(visit: Visit, step: Step) -> None:
        step.parameters, step.tokens = f'{{"max_tokens": {most}}}', (step.tokens[0], most)

    return change


def streams(visit: Visit, step: Step) -> None:
    """The answer begins after a quarter of its time."""
    step.first_token = round(step.seconds / 4, 3)


def unpriced(visit: Visit, step: Step) -> None:
    """The call has usage, but no cost."""
    step.priced = False


def uncounted(visit: Visit, step: Step) -> None:
    """The call has neither usage nor cost."""
    step.priced = step.counted = False


def never_ends(visit: Visit, step: Step) -> None:
    """The step has no end."""
    step.finished = False


def rated(app: str, share: float, *, day: int = 0) -> Fault:
    """That share of the app's ratings are good."""

    def fault(visit: Visit) -> None:
        if visit.app == app and visit.day >= day:
            visit.scores = [(name, float(visit.random.random() < share), kind) for name, _, kind in visit.scores]

    return fault


def repeats(app: str, name: str, times: int, *, day: int = 0, share: float = 1.0) -> Fault:
    """The first call of that name is sent `times` more, each time the same."""

    def fault(visit: Visit) -> None:
        if visit.app != app or visit.day < day or visit.random.random() >= share:
            return
        at = next(i for i, step in enumerate(visit.steps) if step.name == name)
        call = visit.steps[at]
        visit.steps[at:at] = [Step(call.type, name, call.seconds, input=call.input) for _ in range(times)]

    return fault


def wanders(app: str, name: str, times: int, *, day: int = 0, share: float = 1.0) -> Fault:
    """The trace goes on with `times` more calls of that name, each with an input of its own and no time of its own."""

    def fault(visit: Visit) -> None:
        if visit.app != app or visit.day < day or visit.random.random() >= share:
            return
        at = next(i for i, step in enumerate(visit.steps) if step.name == name)
        call = visit.steps[at]
        for n in range(times):
            seconds = round(call.seconds * visit.random.lognormvariate(0, 0.4), 3)
            visit.steps.insert(at, Step(call.type, name, seconds, input=f"{call.input} page {n}"))

    return fault


def on_visits(which: Callable[[Visit], bool], fault: Fault) -> Fault:
    """The fault, for those visits alone."""

    def chosen(visit: Visit) -> None:
        if which(visit):
            fault(visit)

    return chosen


def carrying(visit: Visit) -> None:
    """What visits carry: a plan and a region (whatever happens to them), a tag for some, a request's own number."""
    source = visit.random
    visit.metadata = {
        "plan": source.choice(["free", "pro", "team"]), "region": source.choice(["eu", "us"]),
        "request": f"r{source.randrange(10**9)}",
    }  # fmt: skip
    visit.tags = ["beta"] if source.random() < 0.25 else ["web"] if source.random() < 0.5 else []
    visit.session = f"s{source.randrange(250)}"
