"""How the application's steps really ran: which followed which, how often, how often they failed, how long they took.

A step is an observation with no other below it: what calls a model, a tool or a retriever rather than what wraps them.
Within a trace the steps stand in the order of their starts; each pair of neighbours is a transition.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from hansei.contracts import Evidence, Flow, Flows, Passes, Step, Transition, parse_instant
from hansei.tools.langfuse.dataset import Dataset
from hansei.tools.langfuse.relations import Needs
from hansei.tools.playbook.assess import DAY

MOST_FLOWS = 4
"""Trace names that are shown: those with most traces."""

MOST_STEPS = 60
"""Steps of a trace name that keep their name; rarer ones are shown as one."""

OTHER = "…"
"""Stands for all rarer steps."""

ENOUGH = 400_000
"""Observations that are enough for the picture; of more, one day of each period is taken."""

_LONGEST = 500
_MOST_ROWS = 300

_SQL = f"""
WITH
  spans AS (
    SELECT trace_name, trace_id,
      groupArraySorted({_LONGEST})((start_time, sipHash64(id), sipHash64(parent_id), name, level = 'ERROR',
        latency_ms)) AS all_spans,
      arrayMap(s -> s.3, all_spans) AS parents,
      arrayFilter(s -> NOT has(parents, s.2), all_spans) AS steps,
      all_spans[1].1 >= {{window_start:DateTime64(6, 'UTC')}} AS now
    FROM observations
    WHERE type != 'EVENT'
    GROUP BY trace_name, trace_id
  ),
  moves AS (
    SELECT trace_name, now, move.1 AS source, move.2.4 AS step, move.2.5 AS failed, move.2.6 AS ms, move.3 AS ended
    FROM spans
    ARRAY JOIN arrayConcat(
      arrayMap((s, i) -> (if(i = 1, '', steps[i - 1].4), s, 0), steps, arrayEnumerate(steps)),
      [(steps[-1].4, steps[-1], 1)]) AS move
  ),
  counted AS (
    SELECT trace_name, if(grouping(source) = 1, 'step', 'transition') AS what, source, if(ended, '', step) AS target,
      countIf(now) AS window, countIf(NOT now) AS baseline, countIf(failed AND now) AS window_errors,
      countIf(failed AND NOT now) AS baseline_errors, round(quantileExactIf(0.5)(ms, now) / 1000, 3) AS window_seconds,
      round(quantileExactIf(0.5)(ms, NOT now) / 1000, 3) AS baseline_seconds
    FROM moves
    GROUP BY GROUPING SETS ((trace_name, source, step, ended), (trace_name, step, ended))
  ),
  sized AS (
    SELECT *, sumIf(window + baseline, what = 'transition' AND target = '') OVER (PARTITION BY trace_name) AS traces
    FROM counted
  ),
  ranked AS (SELECT *, dense_rank() OVER (ORDER BY traces DESC, trace_name) AS place FROM sized)
SELECT place, trace_name, what, source, target, window, baseline, window_errors, baseline_errors, window_seconds,
  baseline_seconds
FROM ranked
WHERE place <= {MOST_FLOWS} AND NOT (what = 'step' AND target = '')
ORDER BY place, what, window + baseline DESC, source, target
LIMIT {_MOST_ROWS} BY place, what"""


def read_flows(dataset: Dataset, observations: int) -> list[Evidence]:
    """Asks how the steps of the busiest trace names ran.

    Columns: place (1: most traces), trace_name, what (step or transition), source and target (empty: the
    trace's begin or end), and for both periods how often, errors of the target, and its median seconds.

    Args:
        observations: how many there are in both periods. Of more than `ENOUGH` only the last day of the window and the
            same weekday of the baseline are read, where both are there.
    """
    bound = dataset.bind(_SQL, ("observations",), Needs(trace=True))
    window, baseline = dataset.periods.window, dataset.periods.baseline
    starts = [window.end - DAY, window.end - DAY - timedelta(days=7 * math.ceil(window.days / 7))]
    if observations <= ENOUGH or starts[0] < window.start or starts[1] < baseline.start:
        return [dataset.ask("flows", "flows", bound)]
    spans = [{"range_start": start, "range_end": start + DAY} for start in starts]
    return [dataset.ask(f"flows.{i}", "flows", bound, span) for i, span in enumerate(spans, start=1)]


def flows_of(evidence: Sequence[Evidence]) -> Flows:
    """The flows, computed from the answers of `read_flows`."""
    read: dict[str, _Read] = {}
    for item in evidence:
        for row in item.records():
            read.setdefault(str(row["trace_name"]), _Read()).add(row)
    days = [parse_instant(str(item.parameters["range_start"])) for item in evidence] if len(evidence) > 1 else []
    flows = [one.flow(name) for name, one in read.items()]
    flows.sort(key=lambda flow: (-flow.window, flow.trace_name))
    return Flows(days=days, flows=flows[:MOST_FLOWS], evidence=list(evidence))


@dataclass
class _Read:
    steps: dict[str, Step] = field(default_factory=dict)
    moves: list[tuple[str, str, int, int]] = field(default_factory=list)

    def add(self, row: dict[str, Any]) -> None:
        window, baseline = int(row["window"]), int(row["baseline"])
        if row["what"] == "transition":
            self.moves.append((str(row["source"]), str(row["target"]), window, baseline))
            return
        name = str(row["target"])
        known = self.steps.get(name, Step(name=name, window=Passes(count=0), baseline=Passes(count=0)))
        taken = {
            period: Passes(
                count=int(row[period]), errors=int(row[f"{period}_errors"]), seconds=row[f"{period}_seconds"]
            )
            for period in ("window", "baseline")
            if row[period]
        }
        self.steps[name] = known.model_copy(update=taken)

    def flow(self, name: str) -> Flow:
        steps = sorted(self.steps.values(), key=lambda step: (-step.window.count - step.baseline.count, step.name))
        shown, rare = steps[:MOST_STEPS], steps[MOST_STEPS:]
        known = {step.name for step in shown} | {""}
        if rare:
            shown.append(Step(name=OTHER, window=_sum(rare, "window"), baseline=_sum(rare, "baseline")))
        counts: dict[tuple[str, str], tuple[int, int]] = defaultdict(lambda: (0, 0))
        for source, target, window, baseline in self.moves:
            key = (source if source in known else OTHER, target if target in known else OTHER)
            counts[key] = counts[key][0] + window, counts[key][1] + baseline
        order = sorted(counts.items(), key=lambda item: (-sum(item[1]), item[0]))
        moves = [Transition(source=a, target=b, window=now, baseline=before) for (a, b), (now, before) in order]
        return Flow(
            trace_name=name,
            window=sum(move.window for move in moves if not move.source),
            baseline=sum(move.baseline for move in moves if not move.source),
            steps=shown,
            transitions=moves,
        )


def _sum(steps: Sequence[Step], period: str) -> Passes:
    passes: list[Passes] = [getattr(step, period) for step in steps]
    return Passes(count=sum(one.count for one in passes), errors=sum(one.errors for one in passes), seconds=None)
