"""Made-up findings, handed to the critic as an analyst would hand in his drafts; and true ones, which must stand.

A finding is a pure function of its evidence, so a lie can only lie in the evidence, or in what a candidate claims. The
critic sees whatever it asks for itself; it cannot see numbers that are typed into a finding, because there is no place
for them: they would be computed anew from the evidence, and `hansei verify` asks the evidence's queries again.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from random import Random
from typing import Any

from benchmarks.quality.figures import Figures
from benchmarks.quality.session import Session
from benchmarks.quality.world import World

from hansei.contracts import Comparison, Direction, Evidence, Finding, Segment, hash_result
from hansei.demo.rows import ObservationRow
from hansei.tools.playbook.assess import candidate_of
from hansei.tools.playbook.catalogue import detector_of
from hansei.tools.playbook.conclude import Draft
from hansei.tools.playbook.drafting import measure_candidate
from hansei.tools.playbook.model import Candidate

MOST = 2
"""Findings of a world that lies are made from, and that are handed in again as they are."""


def hand_in(world: World, session: Session, true_ids: set[str]) -> list[dict[str, Any]]:
    """Each lie and each truth by itself, with the critic's verdict.

    Args:
        true_ids: findings of the report that name a planted fault at its right segment.
    """
    rng = Random(f"lies {world.seed}")
    true = [found for found in session.report.findings if found.id in true_ids]
    rng.shuffle(true)
    drafts: list[tuple[str, Draft]] = []
    for found in true[:MOST]:
        honest = _own_draft(session, found)
        drafts += [("true", honest), ("wrong_number", _inflated(honest))]
        drafts += [("wrong_segment", lie) for lie in _elsewhere(world, session, honest, rng)]
    drafts += [("mix_shift", lie) for lie in _mix_told_as_change(world, session)]
    drafts += [("duplicates", lie) for lie in _counted_twice(world, session, rng)]
    out = []
    for what, draft in drafts:
        verdict, failed = session.verdict(draft)
        candidate = draft.candidate
        out.append(
            {
                "what": what,
                "metric": candidate.metric,
                "segment": candidate.segment,
                "verdict": verdict,
                "failed": failed,
            }
        )
    return out


def _own_draft(session: Session, found: Finding) -> Draft:
    """The analyst's draft of a finding, as it was before the critic added to it."""
    detector, _ = detector_of(found.metric)
    kept = [item for item in found.evidence if item.purpose in ("measure", "quantiles")]
    return Draft(candidate=candidate_of(found, detector.name), evidence=kept)


def _changed(item: Evidence, rows: list[dict[str, Any]]) -> Evidence:
    table = [[row[name] for name in item.columns] for row in rows]
    update = {"rows": table, "row_count": len(table), "result_hash": hash_result(item.columns, table)}
    return item.model_copy(update=update)


def _inflated(draft: Draft) -> Draft:
    """Half as much again as there was, or little more than half where that would exceed what there can be."""
    _, metric = detector_of(draft.candidate.metric)
    share = metric.shape in ("share", "quantile")
    window = [row for item in draft.evidence if item.purpose == "measure" for row in item.records()]
    now = [row for row in window if row["period"] == "window"]
    full = share and 1.5 * sum(row["y"] for row in now) > sum(row["x"] for row in now)
    factor = 0.6 if full else 1.5
    evidence = []
    for item in draft.evidence:
        rows = item.records()
        for row in rows:
            if row["period"] != "window":
                continue
            if item.purpose == "quantiles":
                row["seconds"] = [value * factor for value in row["seconds"]]
            else:
                most = row["x"] if share else math.inf
                row |= {"y": min(most, row["y"] * factor), "xy": row["xy"] * factor, "yy": row["yy"] * factor**2}
                row["affected"] = min(row["traces"], round(row["affected"] * factor))
        evidence.append(_changed(item, rows))
    return Draft(candidate=draft.candidate, evidence=evidence)


def _elsewhere(world: World, session: Session, draft: Draft, rng: Random) -> Iterator[Draft]:
    """The finding told of an innocent step: once with the guilty one's evidence, once with the innocent one's own."""
    key = next((key for key in ("tool_name", "observation_name") if key in draft.candidate.segment), None)
    if key is None or draft.candidate.comparison.against != "baseline":
        return
    guilty = {one.spot.step for one in world.planted}
    models = {one.spot.model for one in world.planted if one.spot.model}
    whole = any(
        one.spot.step is None and one.spot.model is None and one.rows == "observations" for one in world.planted
    )
    kind = {step.name: step.type for _, step in world.company.pairs}
    wanted = kind.get(draft.candidate.segment[key])
    innocent = sorted(
        {step.name for _, step in world.company.pairs
         if step.type == wanted and step.name not in guilty and step.model not in models}
    )  # fmt: skip
    if whole or not innocent:
        return
    place: Segment = {key: rng.choice(innocent)}
    candidate = draft.candidate.model_copy(
        update={"segment": place, "comparison": Comparison(against="baseline", segment=place)}
    )
    yield Draft(candidate=candidate, evidence=draft.evidence)
    yield measure_candidate(session.dataset, candidate)


def _mix_told_as_change(world: World, session: Session) -> Iterator[Draft]:
    """An average over everything that moved only because the traffic's composition did."""
    if not any(trap.id.startswith("mix_of") for trap in world.traps):
        return
    figures = Figures(world.drawn, world.periods)
    for metric in ("cost_per_trace", "tokens_per_call", "error_rate"):
        now, before = (
            figures.value(metric, figures.select(metric, {}, span), {}, span)
            for span in (world.periods.window, world.periods.baseline)
        )
        if now is None or before is None:
            continue
        direction: Direction = "regression" if now[0] > before[0] else "improvement"
        yield measure_candidate(session.dataset, _candidate(metric, direction, {}))


def _candidate(metric: str, direction: Direction, segment: Segment) -> Candidate:
    return Candidate(
        detector=detector_of(metric)[0].name, metric=metric, direction=direction, segment=segment,
        comparison=Comparison(against="baseline", segment=segment),
    )  # fmt: skip


def _counted_twice(world: World, session: Session, rng: Random) -> Iterator[Draft]:
    """Errors as an analyst counts them who reads superseded versions of rows as rows."""
    older = [row for row in world.extra.observations if row.level == "ERROR" and row.id.endswith(tuple("0123456789"))]
    steps = Counter(row.name for row in older if row.project_id == world.drawn.rows.traces[0].project_id)
    guilty = {one.spot.step for one in world.planted}
    if not any(trap.id == "older_versions" for trap in world.traps):
        return
    for name, _ in [(name, count) for name, count in steps.most_common() if name not in guilty][:2]:
        draft = measure_candidate(session.dataset, _candidate("error_rate", "regression", {"observation_name": name}))
        mine = [row for row in older if row.name == name and row.environment != "langfuse-llm-as-a-judge"]
        yield Draft(candidate=draft.candidate, evidence=[_with_older(world, draft.evidence[0], mine)])


def _with_older(world: World, item: Evidence, older: list[ObservationRow]) -> Evidence:
    start = world.periods.window.start
    more = Counter(f"{start + timedelta(days=(row.start_time - start).days):%Y-%m-%dT%H:%M:%SZ}" for row in older)
    rows = item.records()
    for row in rows:
        count = more[str(row["day"])]
        row |= {"x": row["x"] + count, "y": row["y"] + count, "xx": row["xx"] + 3 * count, "xy": row["xy"] + 2 * count,
                "yy": row["yy"] + count, "affected": min(row["traces"], row["affected"] + count)}  # fmt: skip
    return _changed(item, rows)
