"""Scores: what users, judges and annotators say about a run, on the fraction of runs that get any."""

from __future__ import annotations

from random import Random
from typing import Any

from hansei.demo.calendar import END, MINUTE, SECOND, to_datetime
from hansei.demo.rows import ObservationRow, ScoreRow, TraceRow
from hansei.demo.run import Run

HOSTILE_NAME = 'was it "good"?\n-- it\'s a `test`; {name:String} %s \\'
MIXED_NAME = "rating"

_LIKED = 0.87
_LIKED_V7 = 0.72
_LIKED_V7_JAPANESE = 0.45


def feedback(run: Run) -> list[ScoreRow]:
    """The scores of one run. A score that would come after the end of the data is left out."""
    press = _Press(run)
    rng = run.rng
    match run.trace.name:
        case "support-agent":
            answer = next((row for row in run.observations if row.name == "answer" and row.level == "DEFAULT"), None)
            if answer is not None:
                _on_answer(press, answer)
            if run.visit.turn == 0 and rng.random() < 0.05:
                press.add("session_csat", rng.choice((3, 4, 4, 5, 5)), on_session=True)
        case "research-agent":
            if rng.random() < 0.15:
                press.add("helpfulness", rng.choices((1, 2, 3, 4, 5), (3, 7, 20, 40, 30))[0])
        case "sql-copilot":
            if rng.random() < 0.2:
                press.add_boolean("sql_valid", rng.random() < 0.96, source="EVAL")
        case "quick-answer":
            _on_quick_answer(press)
    return press.scores


def _on_answer(press: _Press, answer: ObservationRow) -> None:
    rng, trace = press.rng, press.trace
    is_v7 = answer.prompt_version == 7
    if rng.random() < 0.28:
        liked = _LIKED
        if is_v7:
            liked = _LIKED_V7_JAPANESE if trace.metadata.get("language") == "ja" else _LIKED_V7
        press.add_boolean("user_feedback", rng.random() < liked)
    if rng.random() < 0.12:
        grade = rng.gauss(0.76 if is_v7 else 0.84, 0.1)
        press.add(
            "correctness",
            round(min(1.0, max(0.0, grade)), 3),
            source="EVAL",
            observation_id=answer.id,
            comment="The answer agrees with the articles that were retrieved.",
            execution_trace_id=f"{rng.getrandbits(128):032x}",
        )
    if rng.random() < 0.08:
        verdict = rng.choices(("resolved", "escalated", "abandoned"), (70, 18, 12))[0]
        press.add_category("resolution", verdict, source="EVAL")
    if rng.random() < 0.01:
        tone = rng.choices(("friendly", "neutral", "curt"), (60, 32, 8))[0]
        press.add_category("tone", tone, source="ANNOTATION", queue_id="queue-tone", author_user_id="annotator-1")


def _on_quick_answer(press: _Press) -> None:
    rng = press.rng
    if rng.random() < 0.05:
        kind = rng.randrange(3)
        if kind == 0:
            press.add(MIXED_NAME, rng.choice((0.0, 0.5, 1.0)))
        elif kind == 1:
            press.add_boolean(MIXED_NAME, rng.random() < 0.8)
        else:
            press.add_category(MIXED_NAME, rng.choice(("good", "bad", "")))
    if rng.random() < 0.02:
        press.add(HOSTILE_NAME, round(rng.random(), 2), comment="<b onclick=alert(1)>ok</b>")


class _Press:
    """Makes score rows that belong to one run."""

    def __init__(self, run: Run) -> None:
        self.rng: Random = run.rng
        self.trace: TraceRow = run.trace
        self.scores: list[ScoreRow] = []
        self._end = run.now

    def add(self, name: str, value: float, *, on_session: bool = False, **fields: Any) -> None:
        """Adds a numeric score, or with `data_type` among the fields one of another type."""
        delay = MINUTE * self.rng.expovariate(1 / 6) if fields.get("source", "API") == "API" else 30 * SECOND
        at = self._end + round(delay)
        if at >= END:
            return
        self.scores.append(
            ScoreRow(
                id=f"{self.rng.getrandbits(96):024x}",
                timestamp=to_datetime(at),
                name=name,
                project_id=self.trace.project_id,
                environment=self.trace.environment,
                trace_id=None if on_session else self.trace.id,
                session_id=self.trace.session_id if on_session else None,
                value=float(value),
                **fields,
            )
        )

    def add_boolean(self, name: str, value: bool, **fields: Any) -> None:
        """Adds a yes or no."""
        self.add(name, float(value), data_type="BOOLEAN", string_value=str(value), **fields)

    def add_category(self, name: str, value: str, **fields: Any) -> None:
        """Adds one of several words."""
        self.add(name, 0.0, data_type="CATEGORICAL", string_value=value, **fields)
