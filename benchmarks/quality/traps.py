"""What looks like a problem and is none. Some traps change the traffic, some add rows that must not count."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from random import Random

from benchmarks.quality.company import Company
from benchmarks.quality.texts import HOSTILE
from benchmarks.quality.visits import Drawn, Expected, Visit

from hansei.contracts import Kind, Periods, Segment
from hansei.demo.rows import ObservationRow, Rows, ScoreRow, TraceRow

OTHER_PROJECT = "proj-neighbour"
_NAN = float("nan")


@dataclass
class Trap:
    """A trap that can be set. `traffic`: it changes who visits what, or how."""

    id: str
    traffic: bool = False


DILUTING = frozenset({"parents_repeat_cost", "events_never_end"})
"""Traps that bring steps which never fail: an app's share of failing steps would fall for no fault of its own."""


@dataclass
class Trapped:
    """A trap that is set, in which app, and what would be true to say about it."""

    id: str
    app: str = ""
    tolerated: list[tuple[Kind, Segment]] = field(default_factory=list)
    """A finding of the kind whose segment holds these values is true. An empty segment: anywhere."""


TRAPS = (
    Trap("older_versions"), Trap("deleted_traces"), Trap("other_project"), Trap("internal_environment"),
    Trap("late_rows"), Trap("parents_repeat_cost"), Trap("tiny_segment"), Trap("mixed_score_types"),
    Trap("one_huge_bill"), Trap("hostile_text"), Trap("events_never_end"), Trap("mix_of_apps", True),
    Trap("mix_of_environments", True), Trap("noisy_user", True), Trap("renamed_prompt", True),
    Trap("renamed_step", True), Trap("renamed_release", True),
)  # fmt: skip


def choose_traps(company: Company, rng: Random, *, changing_traffic: bool) -> list[Trapped]:
    """Six or so of the traps, one app for each that changes the traffic."""
    apps = rng.sample(company.apps, len(company.apps))
    out: list[Trapped] = []
    for trap in rng.sample(TRAPS, 8):
        if not trap.traffic:
            out.append(Trapped(trap.id))
        elif changing_traffic and apps:
            app = apps.pop()
            tolerated: list[tuple[Kind, Segment]] = [("traffic", {})] if trap.id.startswith("mix_of") else []
            if trap.id == "noisy_user":
                tolerated = [(kind, {"user_id": "u-noisy"}) for kind in ("error", "traffic")]
            if trap.id == "mix_of_environments" and not app.staging:
                app.staging = 0.08
            out.append(Trapped(trap.id, app.name, tolerated))
    return out


# Traffic


def alter_visits(company: Company, visits: list[Visit], trapped: list[Trapped], rng: Random) -> list[Visit]:
    """The visits after the traps that change the traffic."""
    for trap in trapped:
        if trap.app:
            visits = _alter(company, visits, trap, rng)
    return visits


def _alter(company: Company, visits: list[Visit], trap: Trapped, rng: Random) -> list[Visit]:
    mine = [visit for visit in visits if visit.app == trap.app]
    now = [visit for visit in mine if visit.day >= 0]
    if trap.id == "mix_of_apps":
        return visits + [_again(visit, "m") for visit in now]
    if trap.id == "mix_of_environments":
        for visit in mine:
            if visit.day >= 0 and visit.environment == "production" and rng.random() < 0.2:
                visit.environment = "staging"
            if visit.environment == "staging":
                for step in visit.steps:
                    step.seconds *= 1.6
                for score in visit.scores:
                    score.level *= 0.9
        return visits
    if trap.id == "noisy_user":
        loud = [_again(visit, "n") for visit in now if rng.random() < 0.12]
        for visit in loud:
            visit.user = "u-noisy"
            visit.steps[0].errors = 0.5
        return visits + loud
    day = rng.randrange(0, max(1, company.window_days - 1))
    for visit in mine:
        if visit.day >= day:
            _rename(trap.id, visit)
    return visits


def _rename(id: str, visit: Visit) -> None:
    if id == "renamed_release":
        visit.release += ".9"
    for number, step in enumerate(visit.steps):
        if id == "renamed_step" and number == 0:
            step.name += "_v2"
        if id == "renamed_prompt" and step.prompt:
            step.prompt = (step.prompt[0], step.prompt[1] + 1)


def _again(visit: Visit, mark: str) -> Visit:
    other = deepcopy(visit)
    other.id = f"{visit.id}{mark}"
    return other


# Rows


def rows_of_traps(company: Company, periods: Periods, drawn: Drawn, trapped: list[Trapped], rng: Random) -> Rows:
    """Changes the rows that count where a trap says so, and returns rows that must not count."""
    extra = Rows()
    for trap in trapped:
        if trap.id in _MAKERS:
            _MAKERS[trap.id](drawn, extra, periods, rng)
    return extra


def _older_versions(drawn: Drawn, extra: Rows, periods: Periods, rng: Random) -> None:
    """Calls that were at level ERROR while they ran, more of them in the window."""
    for row in drawn.rows.observations:
        share = 0.06 if row.start_time >= periods.window.start else 0.01
        if row.end_time is not None and rng.random() < share:
            extra.observations.append(
                replace(row, level="ERROR", status_message="interrupted", end_time=None, output=None, usage_details={},
                        cost_details={}, total_cost=None, event_ts=row.start_time - timedelta(milliseconds=1))
            )  # fmt: skip


def _deleted(drawn: Drawn, extra: Rows, periods: Periods, rng: Random) -> None:
    gone = periods.window.end
    for trace in drawn.rows.traces:
        if trace.timestamp >= periods.window.start and rng.random() < 0.06:
            one = replace(trace, id=f"{trace.id}-gone")
            call = _call(one, f"{one.id}-0", "TOOL", "get_account", level="ERROR")
            extra.traces += [one, replace(one, is_deleted=True, event_ts=gone)]
            extra.observations += [call, replace(call, is_deleted=True, event_ts=gone)]


def _other_project(drawn: Drawn, extra: Rows, periods: Periods, rng: Random) -> None:
    for trace in drawn.rows.traces:
        if rng.random() < 0.2:
            one = replace(trace, id=f"{trace.id}-other", project_id=OTHER_PROJECT)
            late = trace.timestamp >= periods.window.start
            extra.traces.append(one)
            extra.observations.append(
                _call(one, f"{one.id}-0", "TOOL", "get_account", level="ERROR" if late else "DEFAULT")
            )


def _internal(drawn: Drawn, extra: Rows, periods: Periods, rng: Random) -> None:
    for trace in drawn.rows.traces:
        if rng.random() < 0.2:
            one = replace(trace, id=f"{trace.id}-judge", environment="langfuse-llm-as-a-judge", name="evaluator")
            late = trace.timestamp >= periods.window.start
            call = _call(one, f"{one.id}-0", "GENERATION", "judge", level="ERROR" if late else "DEFAULT")
            extra.traces.append(one)
            extra.observations.append(replace(call, model="atlas-large", cost_details={"total": Decimal("0.2")}))


def _late(drawn: Drawn, extra: Rows, periods: Periods, rng: Random) -> None:
    """What began in the last 40 minutes has half arrived."""
    for row in drawn.rows.observations:
        if row.start_time >= periods.window.end - timedelta(minutes=40) and rng.random() < 0.5:
            row.end_time = row.output = row.total_cost = None
            row.usage_details, row.cost_details = {}, {}


def _parents(drawn: Drawn, extra: Rows, periods: Periods, rng: Random) -> None:
    """A root step that repeats the cost of the others: in half of the traces before the window, in all of it."""
    cost: dict[str, Decimal] = {}
    end = {trace.id: trace.timestamp for trace in drawn.rows.traces}
    for row in drawn.rows.observations:
        cost[row.trace_id] = cost.get(row.trace_id, Decimal(0)) + (row.total_cost or Decimal(0))
        end[row.trace_id] = max(end[row.trace_id], row.end_time or row.start_time)
    wrapped = set()
    for trace in drawn.rows.traces:
        if trace.timestamp >= periods.window.start or rng.random() < 0.5:
            wrapped.add(trace.id)
            root = _call(trace, f"{trace.id}-root", "AGENT", "pipeline")
            total = cost.get(trace.id, Decimal(0))
            root.end_time, root.cost_details, root.total_cost = end[trace.id], {"total": total}, total
            drawn.rows.observations.append(root)
            drawn.expected[root.id] = Expected(0.0, 0.0, 0.0, _NAN, _NAN, 0.0, _NAN, _NAN, 0.0)
    for row in drawn.rows.observations:
        if row.trace_id in wrapped and row.type != "AGENT":
            row.parent_observation_id = f"{row.trace_id}-root"


def _tiny(drawn: Drawn, extra: Rows, periods: Periods, rng: Random) -> None:
    """Three failures of three calls."""
    now = [trace for trace in drawn.rows.traces if trace.timestamp >= periods.window.start]
    for trace in rng.sample(now, min(3, len(now))):
        row = _call(trace, f"{trace.id}-tiny", "TOOL", "export_sheet", level="ERROR")
        drawn.rows.observations.append(row)
        drawn.expected[row.id] = Expected(1.0, 0.0, 0.0, _NAN, _NAN, 0.0, _NAN, _NAN, 0.0)


def _mixed_scores(drawn: Drawn, extra: Rows, periods: Periods, rng: Random) -> None:
    """The same score's name with words in place of numbers, in the window: their value is 0."""
    for score in [score for score in drawn.rows.scores if score.timestamp >= periods.window.start]:
        if rng.random() < 0.3:
            drawn.rows.scores.append(
                ScoreRow(
                    id=f"{score.id}-words", timestamp=score.timestamp, name=score.name, project_id=score.project_id,
                    trace_id=score.trace_id, environment=score.environment, value=0.0, data_type="CATEGORICAL",
                    string_value="excellent",
                )
            )  # fmt: skip


def _huge_bill(drawn: Drawn, extra: Rows, periods: Periods, rng: Random) -> None:
    """One call that costs as much as thousands."""
    paid = [row for row in drawn.rows.observations if row.total_cost and row.start_time >= periods.window.start]
    if paid:
        row = rng.choice(paid)
        row.total_cost = (row.total_cost or Decimal(0)) * 2000
        row.cost_details = {"total": row.total_cost}


def _hostile(drawn: Drawn, extra: Rows, periods: Periods, rng: Random) -> None:
    for trace in drawn.rows.traces:
        if rng.random() < 0.01:
            trace.input, trace.output = HOSTILE


def _events(drawn: Drawn, extra: Rows, periods: Periods, rng: Random) -> None:
    """Events have no end; they come with the window."""
    for trace in drawn.rows.traces:
        if trace.timestamp >= periods.window.start and rng.random() < 0.5:
            row = _call(trace, f"{trace.id}-event", "EVENT", "button_pressed")
            row.end_time = None
            drawn.rows.observations.append(row)
            drawn.expected[row.id] = Expected(0.0, 0.0, 0.0, _NAN, _NAN, 0.0, _NAN, _NAN, 0.0)


def _call(trace: TraceRow, id: str, type: str, name: str, level: str = "DEFAULT") -> ObservationRow:
    return ObservationRow(
        id=id, trace_id=trace.id, start_time=trace.timestamp, end_time=trace.timestamp + timedelta(milliseconds=200),
        type=type, name=name, project_id=trace.project_id, environment=trace.environment, level=level,
        status_message="FatalError: on fire" if level == "ERROR" else None, input="", output='{"data": 1}',
    )  # fmt: skip


_MAKERS = {
    "older_versions": _older_versions, "deleted_traces": _deleted, "other_project": _other_project,
    "internal_environment": _internal, "late_rows": _late, "parents_repeat_cost": _parents, "tiny_segment": _tiny,
    "mixed_score_types": _mixed_scores, "one_huge_bill": _huge_bill, "hostile_text": _hostile,
    "events_never_end": _events,
}  # fmt: skip
