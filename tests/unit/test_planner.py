"""The planner's rules: which detectors a question calls for, and how many candidates are measured."""

from __future__ import annotations

import pytest

from hansei.contracts import Comparison
from hansei.nodes.planner import NAMES, called_for
from hansei.nodes.scope import MOST_CANDIDATES, strongest
from hansei.tools.playbook.catalogue import DETECTORS
from hansei.tools.playbook.model import Candidate


def test_every_detector_can_be_asked_for() -> None:
    assert {detector.name for detector in DETECTORS} == set(NAMES)


@pytest.mark.parametrize(
    ("question", "among", "not_among"),
    [
        ("Why did refunds get slower last week?", "latency", "cost"),
        ("What makes our bill so expensive?", "cost", "error"),
        ("Which tools fail?", "error", "latency"),
        ("Are users less satisfied?", "quality", "runaway"),
        ("Is something stuck in a loop?", "loop", "cost"),
    ],
)
def test_a_question_narrows_the_plan(question: str, among: str, not_among: str) -> None:
    named = called_for(question)
    assert among in named
    assert not_among not in named


@pytest.mark.parametrize("question", [None, "", "How are we doing?"])
def test_a_question_that_names_nothing_calls_for_nothing_in_particular(question: str | None) -> None:
    assert called_for(question) == frozenset()


def _candidate(strength: float, suspicion: bool = False) -> Candidate:
    segment = {"tool_name": f"t{strength}"}
    return Candidate(
        detector="error",
        metric="error_rate",
        direction="regression",
        segment=segment,
        comparison=Comparison(against="baseline", segment=segment),
        strength=strength,
        suspicion="mix_shift" if suspicion else "",
    )


def test_the_strongest_are_measured_and_the_rest_is_told() -> None:
    candidates = [_candidate(float(i)) for i in range(MOST_CANDIDATES + 3)]
    chosen, reason = strongest(candidates)
    assert [candidate.strength for candidate in chosen] == [float(i) for i in range(MOST_CANDIDATES + 2, 2, -1)]
    assert reason == "3 weaker candidates were not measured"


def test_averages_under_suspicion_are_always_measured() -> None:
    candidates = [*(_candidate(float(i + 1)) for i in range(MOST_CANDIDATES)), _candidate(0.0, suspicion=True)]
    chosen, _ = strongest(candidates)
    assert chosen[0].suspicion == "mix_shift"


def test_nothing_is_left_out_when_there_are_few() -> None:
    assert strongest([_candidate(1.0)]) == ([_candidate(1.0)], "")
