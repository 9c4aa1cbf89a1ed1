"""What is planted about answers: version 7 of the prompt "answer", and apps whose users nobody asks."""

from __future__ import annotations

from collections.abc import Sequence

from hansei.demo import calendar
from hansei.demo.calendar import PERIODS, to_datetime
from hansei.demo.rows import ObservationRow, ScoreRow, TraceRow
from hansei.demo.tally import Series
from hansei.demo.truth import Place, Planted

_SINCE = to_datetime(calendar.ANSWER_V7)
_VERSION_6, _VERSION_7 = ({"prompt_name": "answer", "prompt_version": version} for version in "67")
_NEVER_ASKED = ("sql-copilot", "deep-research-brief")


class AnswersTally:
    """Counts them; `report` then states them."""

    def __init__(self) -> None:
        self._liked = {
            (version, language): Series("user_feedback", "score", "rate", _SINCE)
            for version in (6, 7)
            for language in ("all", "ja")
        }
        self._foreign = Series("answers_in_another_language", "ratio", "rate", _SINCE)
        self._unasked = {app: Series("traces_without_feedback", "ratio", "rate") for app in _NEVER_ASKED}

    def add(self, trace: TraceRow, observations: Sequence[ObservationRow], scores: Sequence[ScoreRow]) -> None:
        """Counts one trace with the last versions of its rows."""
        self._add_scores(trace, observations, scores)
        self._add_answer(trace, observations)
        if trace.name in self._unasked:
            self._unasked[trace.name].add(trace.timestamp, not any(score.source == "API" for score in scores))

    def _add_scores(self, trace: TraceRow, observations: Sequence[ObservationRow], scores: Sequence[ScoreRow]) -> None:
        version = next((row.prompt_version for row in observations if row.prompt_name == "answer"), None)
        for score in scores:
            if score.name == "user_feedback" and version in (6, 7):
                self._liked[version, "all"].add(score.timestamp, score.value)
                if trace.metadata.get("language") == "ja":
                    self._liked[version, "ja"].add(score.timestamp, score.value)

    def _add_answer(self, trace: TraceRow, observations: Sequence[ObservationRow]) -> None:
        answer = next((row for row in observations if row.prompt_name == "answer"), None)
        if answer is None or not trace.output:
            return
        # Version 6 answers in the customer's language, so the baseline has none.
        if answer.prompt_version == 7 or trace.timestamp < PERIODS.window.start:
            in_english = answer.prompt_version == 7 and trace.metadata.get("language") != "en"
            self._foreign.add(trace.timestamp, in_english)

    def report(self) -> list[Planted]:
        """The planted problems with their figures."""
        return [self._disliked(), self._in_english(), *map(self._never_asked, _NEVER_ASKED)]

    def _disliked(self) -> Planted:
        japanese = self._liked[7, "ja"].change().model_copy(update={"metric": "user_feedback, Japanese"})
        old_japanese = self._liked[6, "ja"].change().model_copy(update={"metric": "user_feedback, Japanese"})
        return Planted(
            id="answer_v7_disliked",
            kinds=["quality"],
            direction="regression",
            segment=_VERSION_7,
            accepted_segments=[
                {**_VERSION_7, "score_name": "user_feedback"},
                {**_VERSION_7, "score_name": "correctness"},
                {**_VERSION_7, "language": "ja"},
                {**_VERSION_7, "metadata.language": "ja"},
            ],
            onset=_SINCE,
            cause="Version 7 answers tersely, and in English whatever the customer speaks. Half of the calls got it.",
            changes=[self._liked[7, "all"].change(), japanese],
            compared_with=_VERSION_6,
            reference=[self._liked[6, "all"].change(), old_japanese],
            echoes=[
                Place(kind="quality", segment={"prompt_name": "answer"}),
                Place(kind="quality", segment={"score_name": "user_feedback"}),
                Place(kind="quality", segment={"score_name": "correctness"}),
                Place(kind="quality", segment={"trace_name": "support-agent"}),
                Place(kind="quality", segment={"language": "ja"}),
            ],
            visible_from_traces=16_000,
        )

    def _in_english(self) -> Planted:
        return Planted(
            id="answer_v7_in_english",
            kinds=["silent_failure"],
            direction="regression",
            segment=_VERSION_7,
            accepted_segments=[],
            onset=_SINCE,
            cause="Version 7 lost the line that asks for the customer's language: it answers everybody in English.",
            changes=[self._foreign.change()],
            compared_with=_VERSION_6,
            echoes=[
                Place(kind="silent_failure", segment=segment)
                for segment in (
                    {"prompt_name": "answer"}, {"trace_name": "support-agent"},
                    *({"language": language} for language in ("ja", "de", "fr", "es")),
                )
            ],
            visible_from_traces=2_000,
        )  # fmt: skip

    def _never_asked(self, app: str) -> Planted:
        return Planted(
            id=f"{app}_without_feedback",
            kinds=["instrumentation_gap"],
            direction="hotspot",
            segment={"trace_name": app},
            accepted_segments=[],
            onset=None,
            cause="Nobody asks its users what they think of its answers: no score comes from the application.",
            changes=[self._unasked[app].change()],
            visible_from_traces=16_000,
        )
