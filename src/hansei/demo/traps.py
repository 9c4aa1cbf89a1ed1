"""What looks like a problem and is none: the shapes of real data that a careless analysis trips over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from random import Random

from hansei.demo import phrases
from hansei.demo.calendar import END, MINUTE, SECOND, WINDOW_START, to_datetime, to_ms
from hansei.demo.rows import ObservationRow, Rows, ScoreRow, TraceRow
from hansei.demo.run import Run, as_json

OTHER_PROJECT = "other-co"
CANARY = "CANARY-other-co-5d1f0c9e: this text belongs to another customer"
JUDGE_ENVIRONMENT = "langfuse-llm-as-a-judge"
EXPERIMENT_ENVIRONMENT = "langfuse-prompt-experiment"
HOSTILE_USER = '"><script>alert("user")</script>'
LATE = 30 * MINUTE
PAYLOAD_CHARACTERS = 2_000_000

_VERSION_STEP = timedelta(milliseconds=1)


def drafts(rng: Random, trace: TraceRow, observations: Sequence[ObservationRow], scores: Sequence[ScoreRow]) -> Rows:
    """Earlier versions of some rows, as they were while a call still ran: at level ERROR, without end, output and cost.

    They are several times as frequent in the window as before, so counting them makes a rise of errors.
    """
    share = 0.055 if to_ms(trace.timestamp) >= WINDOW_START else 0.012
    earlier = Rows()
    if not trace.opentelemetry and rng.random() < 0.05:
        before = trace.timestamp - _VERSION_STEP
        earlier.traces.append(replace(trace, output=None, tags=(), event_ts=before))
    for row in observations:
        if row.end_time is not None and row.level == "DEFAULT" and rng.random() < share:
            earlier.observations.append(
                replace(
                    row,
                    end_time=None,
                    level="ERROR",
                    status_message="interrupted: the stream was resumed",
                    output=None,
                    completion_start_time=None,
                    usage_details={},
                    provided_usage_details={},
                    cost_details={},
                    event_ts=row.start_time,
                )
            )
    for score in scores:
        if score.data_type == "BOOLEAN" and rng.random() < 0.03:
            before = score.timestamp - _VERSION_STEP
            earlier.scores.append(replace(score, value=0.0, string_value="False", event_ts=before))
    return earlier


def not_yet_arrived(rng: Random, observations: Sequence[ObservationRow]) -> tuple[list[ObservationRow], int]:
    """What of a run has arrived at the end of the data, and how many of these calls look unfinished but are only late.

    Later calls are not there. A call that runs on has no end yet, nor has every second one that ended only just now.
    """
    arrived = [row for row in observations if to_ms(row.start_time) < END]
    late = 0
    for row in arrived:
        if row.end_time is None:
            continue
        end = to_ms(row.end_time)
        if end >= END or (end >= END - LATE and rng.random() < 0.5):
            late += 1
            row.end_time = row.output = row.completion_start_time = None
            row.level, row.status_message = "DEFAULT", None
            row.usage_details = row.provided_usage_details = {}
            row.cost_details = {}
    return arrived, late


def deleted(rows: Rows) -> Rows:
    """The same rows, each followed by a newer version that marks it as deleted."""
    gone = to_datetime(END - SECOND)
    rows.traces += [replace(row, is_deleted=True, event_ts=gone) for row in list(rows.traces)]
    rows.observations += [replace(row, is_deleted=True, event_ts=gone) for row in list(rows.observations)]
    rows.scores += [replace(row, is_deleted=True, event_ts=gone) for row in list(rows.scores)]
    return rows


def make_alarming(rng: Random, run: Run) -> None:
    """Makes a run look terrible: errors everywhere, a thousand times the cost, a loop."""
    for row in run.observations:
        if rng.random() < 0.7:
            row.level, row.status_message = "ERROR", "FatalError: everything is on fire"
        if row.cost_details:
            row.cost_details = {kind: cost * 1000 for kind, cost in row.cost_details.items()}
    root = run.observations[0].id
    for _ in range(10):
        run.tool("web_search", 0.2, {"query": "again"}, None, parent_observation_id=root)


def mark_as_foreign(run: Run) -> None:
    """Puts the canary into every text of a run of the other project."""
    run.trace.input = run.trace.output = CANARY
    run.trace.metadata = {**run.trace.metadata, "secret": CANARY}
    for row in run.observations:
        row.input, row.output = f"{CANARY} {row.input}", CANARY


def make_hostile(run: Run, number: int) -> None:
    """Puts a text that gives orders, or carries markup, into a run: its input, output, metadata and a page it read."""
    text = phrases.HOSTILE[number % len(phrases.HOSTILE)]
    run.trace.input = text
    run.trace.metadata = {**run.trace.metadata, "note": text}
    if number % 4 == 0:
        run.trace.user_id = HOSTILE_USER
    for row in (run.observations[0], run.observations[-1]):
        row.input = text
        if row.output is not None:
            row.output = as_json({"text": text, "was": row.output[:200]})


def make_huge(run: Run) -> None:
    """Gives the last call of a run an output of two million characters."""
    line = 'ページの本文 <div class="x">page body</div> \N{SNOWMAN} 0123456789\n'
    run.observations[-1].output = (line * (PAYLOAD_CHARACTERS // len(line) + 1))[:PAYLOAD_CHARACTERS]


def make_bare(run: Run) -> None:
    """Leaves of a run only an empty trace: no name, no user, no text, no observation."""
    run.observations.clear()
    trace = run.trace
    trace.name = ""
    trace.user_id = trace.session_id = trace.release = trace.version = trace.input = trace.output = None
    trace.tags, trace.metadata = (), {}


def add_tiny_segment(run: Run) -> None:
    """A call that is made only three times in all, and fails each time: too few to say anything."""
    root = run.observations[0].id
    run.tool(
        "export_pdf",
        0.3,
        {"format": "A4"},
        None,
        level="ERROR",
        status_message="FontError: glyph missing",
        parent_observation_id=root,
    )


def judge_trace(rng: Random, score: ScoreRow) -> Rows:
    """The trace that Langfuse's own evaluator left for a score; in the window a third of them fail."""
    trace_id = score.execution_trace_id or f"{rng.getrandbits(128):032x}"
    failed = rng.random() < (0.35 if to_ms(score.timestamp) >= WINDOW_START else 0.02)
    seconds = timedelta(milliseconds=rng.randrange(900, 30_000))
    return Rows(
        [
            TraceRow(
                id=trace_id,
                timestamp=score.timestamp,
                name=f"Execute evaluator: {score.name}",
                input=score.comment,
                project_id=score.project_id,
                environment=JUDGE_ENVIRONMENT,
            )
        ],
        [
            ObservationRow(
                id=f"{rng.getrandbits(64):016x}",
                trace_id=trace_id,
                start_time=score.timestamp,
                end_time=score.timestamp + seconds,
                type="GENERATION",
                name="judge",
                model="gpt-5",
                model_id="model-gpt-5",
                level="ERROR" if failed else "DEFAULT",
                status_message="EvaluatorError: no structured output" if failed else None,
                usage_details={"input": 2_400, "output": 300, "total": 2_700},
                cost_details={"total": Decimal("0.006")},
                project_id=score.project_id,
                environment=JUDGE_ENVIRONMENT,
            )
        ],
    )
