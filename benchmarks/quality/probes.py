"""Intervals of slices that nobody chose for being remarkable: findings are chosen for being large, which bends them."""

from __future__ import annotations

from random import Random

from benchmarks.quality.figures import Figures
from benchmarks.quality.session import Session
from benchmarks.quality.world import World

from hansei.contracts import Comparison, Segment
from hansei.tools.playbook.assess import measure_numbers
from hansei.tools.playbook.catalogue import detector_of
from hansei.tools.playbook.drafting import measure_candidate
from hansei.tools.playbook.model import Candidate

LEAST = 200
"""Rows that a probe's segment must have in either period."""

_METRICS = (
    "error_rate", "silent_failure_rate", "step_latency_p95", "step_latency_p50", "tokens_per_call", "cost_per_call",
    "score_rate", "score_mean",
)  # fmt: skip


def probe(world: World, session: Session, wanted: int) -> list[dict[str, object]]:
    """Measures slices at random; for each side, whether its 95 % interval covers the simulator's parameter."""
    rng = Random(f"probes {world.seed}")
    figures = Figures(world.drawn, world.periods)
    places: list[tuple[str, Segment]] = []
    for app in world.company.apps:
        for step in app.steps:
            places += [
                (metric, {"trace_name": app.name, "observation_name": step.name})
                for metric in _METRICS if not metric.startswith("score")
            ]  # fmt: skip
        for score in app.scores:
            if not score.lower_is_better:
                metric = "score_rate" if score.type == "BOOLEAN" else "score_mean"
                places.append((metric, {"trace_name": app.name, "score_name": score.name}))
    rng.shuffle(places)
    out: list[dict[str, object]] = []
    for metric, segment in places:
        if len(out) >= 2 * wanted:
            break
        out += _measured(world, session, figures, metric, segment)
    return out


def _measured(
    world: World, session: Session, figures: Figures, metric: str, segment: Segment
) -> list[dict[str, object]]:
    sides = [figures.select(metric, segment, span) for span in (world.periods.window, world.periods.baseline)]
    parameters = [figures.parameter(metric, rows) for rows in sides]
    if min(map(len, sides)) < LEAST or None in parameters:
        return []
    detector, definition = detector_of(metric)
    candidate = Candidate(
        detector=detector.name, metric=metric, direction="regression", segment=segment,
        comparison=Comparison(against="baseline", segment=segment),
    )  # fmt: skip
    draft = measure_candidate(session.dataset, candidate)
    numbers = measure_numbers(definition, draft.candidate, draft.evidence, session.facts)
    if numbers is None or numbers.reference is None:
        return []
    return [
        {"metric": metric, "segment": segment, "n": estimate.n, "low": estimate.low, "high": estimate.high,
         "true": true, "covered": estimate.low <= true <= estimate.high}
        for estimate, true in zip((numbers.current, numbers.reference), parameters, strict=True) if true is not None
    ]  # fmt: skip
