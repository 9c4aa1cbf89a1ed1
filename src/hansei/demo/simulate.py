"""Simulates four weeks of the company's LLM apps, in the order of time, and counts what it makes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from random import Random

from hansei.demo import traps
from hansei.demo.assistants import deep_research_brief, quick_answer
from hansei.demo.calendar import BASE_TIME, PERIODS, WINDOW_START
from hansei.demo.copilot import sql_copilot
from hansei.demo.feedback import HOSTILE_NAME, MIXED_NAME, feedback
from hansei.demo.phrases import HOSTILE
from hansei.demo.planted import PlantedTally
from hansei.demo.research import ResearchAgent
from hansei.demo.rows import Rows
from hansei.demo.run import Run
from hansei.demo.support import support_agent
from hansei.demo.tally import Totals
from hansei.demo.truth import Place, Trap, Truth
from hansei.demo.visits import Visit, plan_visits
from hansei.errors import UsageError

PROJECT_ID = "tanuki-outdoor"
TRACES = 24_000
SEED = 7

_BATCH = 1_500  # traces per set of rows
_RUNAWAYS_AT_LEAST = 3
_RESEARCH_RUNS = 0.16 * 0.2  # research runs after they began to run away, as a share of all traces


class Simulation:
    """The data of one seed.

    Iterate over `batches` once, to the end; `truth` then knows what was made. The same seed and number of traces give
    the same rows.

    Args:
        seed: any integer.
        traces: how many traces the project has; at least 500.

    Raises:
        UsageError: for fewer.
    """

    def __init__(self, seed: int = SEED, traces: int = TRACES) -> None:
        if traces < 500:
            raise UsageError(f"{traces} traces are too few for the sample data.", "Ask for 500 or more.")
        self.seed = seed
        self.traces = traces
        self._rng = Random(seed)
        self._totals = Totals()
        self._planted = PlantedTally()
        self._trapped: Counter[str] = Counter()
        research = ResearchAgent(runaway_share=max(0.008, _RUNAWAYS_AT_LEAST / (traces * _RESEARCH_RUNS)))
        self._apps: dict[str, Callable[[Run], None]] = {
            "support-agent": support_agent,
            "research-agent": research,
            "sql-copilot": sql_copilot,
            "quick-answer": quick_answer,
            "deep-research-brief": deep_research_brief,
        }
        # A research agent of its own, so that the traps take nothing of what is planted.
        self._decoys: dict[str, Callable[[Run], None]] = {**self._apps, "research-agent": ResearchAgent()}

    @property
    def made(self) -> int:
        """The project's traces so far."""
        return self._totals.traces

    @property
    def observations(self) -> int:
        """The project's observations so far."""
        return self._totals.observations

    def batches(self) -> Iterator[Rows]:
        """The rows, about 1,500 traces at a time. Of several versions of a row the oldest comes first."""
        visits = plan_visits(self._rng, self.traces)
        special = self._choose(visits)
        rows = Rows()
        for number, visit in enumerate(visits):
            self._visit(rows, visit, special.get(number))
            if len(rows.traces) >= _BATCH:
                yield rows
                rows = Rows()
        yield rows

    def _choose(self, visits: list[Visit]) -> dict[int, str]:
        """Which visits, by their number, become a trap."""
        rng = self._rng

        def pick(app: str, count: int, *, in_window: bool = False) -> list[int]:
            fitting = [
                number
                for number, visit in enumerate(visits[:-1])
                if visit.app == app and number not in special and (not in_window or visit.at >= WINDOW_START)
            ]
            return rng.sample(fitting, min(count, len(fitting)))

        special: dict[int, str] = {}
        special.update(dict.fromkeys(pick("quick-answer", 3, in_window=True), "tiny"))
        special.update(dict.fromkeys(pick("deep-research-brief", 1, in_window=True), "huge"))
        special.update(dict.fromkeys(pick("quick-answer", max(4, self.traces // 600)), "bare"))
        special.update(dict.fromkeys(pick("support-agent", max(6, self.traces // 1500), in_window=True), "hostile"))
        special.update(dict.fromkeys(pick("deep-research-brief", 6), "hostile"))
        return special

    def _visit(self, rows: Rows, visit: Visit, special: str | None) -> None:
        rng = self._rng
        run = Run(rng, PROJECT_ID, visit, opentelemetry=visit.app == "sql-copilot")
        self._apps[visit.app](run)
        if special is not None:
            self._spring(run, special)
        trace = run.trace
        run.observations, late = traps.not_yet_arrived(rng, run.observations)
        self._trapped["late"] += late
        scores = [] if special == "bare" else feedback(run)
        self._totals.add(trace, run.observations, scores)
        self._planted.add(trace, run.observations, scores)
        earlier = traps.drafts(rng, trace, run.observations, scores)
        self._trapped["versions"] += len(earlier.traces) + len(earlier.observations) + len(earlier.scores)
        self._trapped["mixed"] += sum(score.name == MIXED_NAME for score in scores)
        self._trapped["hostile_score"] += sum(score.name == HOSTILE_NAME for score in scores)
        rows.extend(earlier)
        rows.extend(Rows([trace], run.observations, scores))
        for score in scores:
            if score.execution_trace_id:
                self._hide(rows, "internal", traps.judge_trace(rng, score))
        if rng.random() < 0.004:
            self._hide(rows, "internal", self._experiment(visit))
        if rng.random() < 0.012:
            self._hide(rows, "deleted", traps.deleted(self._decoy(PROJECT_ID, visit)))
        if rng.random() < 0.03:
            self._hide(rows, "foreign", self._decoy(traps.OTHER_PROJECT, visit))

    def _spring(self, run: Run, special: str) -> None:
        self._trapped[special] += 1
        match special:
            case "tiny":
                traps.add_tiny_segment(run)
            case "huge":
                traps.make_huge(run)
            case "bare":
                traps.make_bare(run)
            case "hostile":
                traps.make_hostile(run, self._trapped[special])

    def _hide(self, rows: Rows, trap: str, hidden: Rows) -> None:
        """Adds rows that must not count."""
        self._trapped[trap] += len({trace.id for trace in hidden.traces})
        rows.extend(hidden)

    def _decoy(self, project_id: str, visit: Visit) -> Rows:
        """An alarming run that does not count: deleted, or of another project."""
        run = Run(self._rng, project_id, visit, opentelemetry=visit.app == "sql-copilot")
        self._decoys[visit.app](run)
        traps.make_alarming(self._rng, run)
        if project_id == traps.OTHER_PROJECT:
            traps.mark_as_foreign(run)
        observations, _ = traps.not_yet_arrived(self._rng, run.observations)
        return Rows([run.trace], observations, feedback(run))

    def _experiment(self, visit: Visit) -> Rows:
        """A run of a prompt experiment, which Langfuse puts into an environment of its own."""
        run = Run(self._rng, PROJECT_ID, replace(visit, environment=traps.EXPERIMENT_ENVIRONMENT))
        self._decoys[visit.app](run)
        observations, _ = traps.not_yet_arrived(self._rng, run.observations)
        return Rows([run.trace], observations)

    def truth(self) -> Truth:
        """What was made, after `batches` came to its end."""
        return Truth(
            seed=self.seed,
            project_id=PROJECT_ID,
            base_time=BASE_TIME,
            window=PERIODS.window,
            baseline=PERIODS.baseline,
            traces=self._totals.traces,
            observations=self._totals.observations,
            scores=self._totals.scores,
            coverage=self._totals.coverage(),
            planted=self._planted.report(),
            traps=self._traps(),
        )

    def _traps(self) -> list[Trap]:
        rows = self._trapped
        mix = [{"trace_name": "quick-answer"}, {"trace_name": "deep-research-brief"}]
        return [
            Trap(
                id="row_versions",
                description="Earlier versions of rows, many at level ERROR and unfinished, not merged yet.",
                rows=rows["versions"],
            ),
            Trap(id="deleted_rows", description="Alarming traces that were deleted.", rows=rows["deleted"]),
            Trap(
                id="other_project",
                description="Alarming traces of another project in the same tables.",
                rows=rows["foreign"],
                texts=[traps.CANARY],
            ),
            Trap(
                id="langfuse_environments",
                description="Traces of Langfuse's own evaluators and experiments; evaluators fail in the window.",
                rows=rows["internal"],
                segments=[{"environment": traps.JUDGE_ENVIRONMENT}, {"environment": traps.EXPERIMENT_ENVIRONMENT}],
            ),
            Trap(
                id="mix_shift",
                description="The expensive brief takes a larger share of the traffic, the cheap answer a smaller one; "
                "neither changed, but their common averages of cost, tokens and latency did.",
                rows=0,
                segments=[{"release": "3.0.0"}, *mix],
                tolerated=[
                    *(Place(kind="traffic", segment=segment) for segment in mix),
                    Place(kind="traffic", segment={"release": "3.0.0"}),
                ],
            ),
            Trap(
                id="tiny_segment",
                description="Three errors in three calls.",
                rows=rows["tiny"],
                segments=[{"observation_name": "export_pdf"}, {"tool_name": "export_pdf"}],
            ),
            Trap(
                id="weekly_rhythm",
                description="Nights and weekends are quiet.",
                rows=0,
            ),
            Trap(
                id="late_arrivals",
                description="Calls of the last half hour whose end has not arrived yet.",
                rows=rows["late"],
            ),
            Trap(
                id="bare_traces",
                description="Traces without name, user, session, text and observations.",
                rows=rows["bare"],
                segments=[{"trace_name": ""}],
            ),
            Trap(id="huge_payload", description="One output of two million characters.", rows=rows["huge"]),
            Trap(
                id="hostile_texts",
                description="Texts that give orders to a model, or carry scripts, images and links.",
                rows=rows["hostile"],
                texts=[*HOSTILE, traps.HOSTILE_USER],
            ),
            Trap(
                id="hostile_score_name",
                description="A score whose name holds quotes, a line break and SQL.",
                rows=rows["hostile_score"],
                segments=[{"score_name": HOSTILE_NAME}],
                texts=[HOSTILE_NAME],
            ),
            Trap(
                id="mixed_score",
                description="One score name with numbers, yes or no, and words.",
                rows=rows["mixed"],
                segments=[{"score_name": MIXED_NAME}],
            ),
        ]
