"""The planted problems: what each is called, where it is, and how its figures are counted."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from hansei.contracts import Kind
from hansei.demo import calendar
from hansei.demo.calendar import PERIODS, to_datetime
from hansei.demo.planted_answers import AnswersTally
from hansei.demo.rows import ObservationRow, ScoreRow, TraceRow
from hansei.demo.tally import LOOP_CALLS, RUNAWAY_STEPS, Series, period_of, repeats_of, seconds_of
from hansei.demo.truth import Change, Measured, Place, Planted

_SLOW_MODEL = "claude-sonnet-4-5"


class PlantedTally:
    """Counts what the planted problems do; `report` then states them all."""

    def __init__(self) -> None:
        def since(onset: int) -> datetime:
            return to_datetime(onset)

        self._lookup = Series("error_rate", "ratio", "rate", since(calendar.LOOKUP_ORDER_TIMEOUTS))
        self._answers = AnswersTally()
        onset = since(calendar.SUMMARISE_V4)
        self._summarise = {
            "cost": Series("cost_per_call", "usd", "mean", onset),
            "input_tokens": Series("input_tokens_per_call", "tokens", "mean", onset),
            "cached": Series("cached_tokens_per_call", "tokens", "mean", onset),
        }
        self._write_sql = Series("latency_p95", "s", "p95", since(calendar.WRITE_SQL_SLOWER))
        self._search_docs = Series("latency_p95", "s", "p95", since(calendar.SEARCH_DOCS_FASTER))
        self._search_docs_mean = Series("latency_mean", "s", "mean", since(calendar.SEARCH_DOCS_FASTER))
        self._loops = Series("looping_traces", "ratio", "rate", since(calendar.WEB_SEARCH_LOOPS))
        self._run_query = Series("silent_failure_rate", "ratio", "rate", since(calendar.RUN_QUERY_EMPTY_HANDED))
        self._runaways = Series("runaway_traces", "ratio", "rate", since(calendar.RUNAWAYS))
        self._all_cost = {"window": 0.0, "baseline": 0.0}
        self._runaway_cost = {"window": 0.0, "baseline": 0.0}
        self._runaway_traces = {"window": 0, "baseline": 0}
        self._fetch_page = Series("unfinished_rate", "ratio", "rate", since(calendar.FETCH_PAGE_HANGS))
        self._copilot = {"window": 0, "baseline": 0, "since_onset": 0}
        self._staging = Series("error_rate", "ratio", "rate")
        self._production = Series("error_rate", "ratio", "rate")

    def add(self, trace: TraceRow, observations: Sequence[ObservationRow], scores: Sequence[ScoreRow]) -> None:
        """Counts one trace with the last versions of its rows."""
        for row in observations:
            self._add_observation(row)
        self._answers.add(trace, observations, scores)
        period = period_of(trace.timestamp)
        cost = float(sum(row.cost_details.get("total", 0) for row in observations))
        if period is not None:
            self._all_cost[period] += cost
        if trace.name == "research-agent":
            self._loops.add(trace.timestamp, repeats_of(observations, "web_search") >= LOOP_CALLS)
            runs_away = len(observations) > RUNAWAY_STEPS
            self._runaways.add(trace.timestamp, runs_away)
            if runs_away and period is not None:
                self._runaway_cost[period] += cost
                self._runaway_traces[period] += 1
        if trace.name == "sql-copilot" and trace.environment == "production" and period is not None:
            self._copilot[period] += 1
            self._copilot["since_onset"] += trace.timestamp >= to_datetime(calendar.COPILOT_LEFT)

    def _add_observation(self, row: ObservationRow) -> None:
        at = row.start_time
        match row.name:
            case "lookup_order":
                self._lookup.add(at, row.level == "ERROR")
            case "fetch_page":
                self._fetch_page.add(at, row.end_time is None)
            case "run_query":
                if row.output is not None:
                    self._run_query.add(at, row.level == "DEFAULT" and '"error"' in row.output)
            case "answer":
                (self._staging if row.environment == "staging" else self._production).add(at, row.level == "ERROR")
            case "summarise":
                if row.usage_details:
                    self._summarise["cost"].add(at, float(row.cost_details["total"]))
                    cached = row.usage_details.get("input_cached_tokens", 0)
                    self._summarise["input_tokens"].add(at, row.usage_details["input"] + cached)
                    self._summarise["cached"].add(at, cached)
            case "write_sql":
                seconds = seconds_of(row)
                if row.model == _SLOW_MODEL and seconds is not None:
                    self._write_sql.add(at, seconds)
            case "search_docs":
                seconds = seconds_of(row)
                if seconds is not None:
                    self._search_docs.add(at, seconds)
                    self._search_docs_mean.add(at, seconds)

    def report(self) -> list[Planted]:
        """All planted problems with their figures."""
        return [
            self._lookup_order(), *self._answers.report(), self._summarise_prefix(), self._slow_sql(),
            self._web_search(), self._silent(), self._runaway(), self._hanging(), self._fewer(), self._faster_docs(),
            self._hotspot(),
        ]  # fmt: skip

    def _lookup_order(self) -> Planted:
        return Planted(
            id="lookup_order_timeouts",
            kinds=["error"],
            direction="regression",
            segment={"observation_name": "lookup_order", "release": "2.4.0"},
            accepted_segments=_tool("lookup_order"),
            onset=self._lookup.onset,
            cause="Since release 2.4.0 of the support agent, calls of the order service run into a timeout of 8 s.",
            changes=[self._lookup.change()],
            echoes=[
                *_anywhere({"observation_name": "lookup_order"}),
                *_anywhere({"tool_name": "lookup_order"}),
                *_anywhere({"release": "2.4.0"}),
                Place(kind="error", segment={"trace_name": "support-agent"}),
                Place(kind="error", segment={"observation_type": "TOOL"}),
                *_slower("support-agent"),
            ],
            visible_from_traces=4_000,
        )

    def _summarise_prefix(self) -> Planted:
        return Planted(
            id="summarise_v4_lost_cache",
            kinds=["cost", "token_usage", "cache"],
            direction="regression",
            segment={"prompt_name": "summarise", "prompt_version": "4"},
            accepted_segments=[
                {"prompt_name": "summarise"},
                {"observation_name": "summarise"},
                {"observation_name": "summarise", "prompt_version": "4"},
            ],
            onset=to_datetime(calendar.SUMMARISE_V4),
            cause="Version 4 puts the changing part first: nothing is read from the prompt cache, and it is longer.",
            changes=[series.change() for series in self._summarise.values()],
            compared_with={"prompt_name": "summarise", "prompt_version": "3"},
            echoes=[
                Place(kind=kind, segment=segment)
                for kind in _SPENDING
                for segment in ({"trace_name": "research-agent"}, {"model": "gpt-5-mini"}, {"release": "1.9.0"})
            ],
            visible_from_traces=2_000,
        )

    def _slow_sql(self) -> Planted:
        return Planted(
            id="write_sql_slow",
            kinds=["latency", "first_token_latency"],
            direction="regression",
            segment={"observation_name": "write_sql", "model": _SLOW_MODEL},
            accepted_segments=[
                {"observation_name": "write_sql"},
                {"prompt_name": "write-sql", "model": _SLOW_MODEL},
            ],
            onset=self._write_sql.onset,
            cause="The model answers this call more slowly, to the first token and after it; the other model does not.",
            changes=[self._write_sql.change()],
            echoes=[
                Place(kind=kind, segment=segment)
                for kind in ("latency", "first_token_latency")
                for segment in ({"model": _SLOW_MODEL}, {"prompt_name": "write-sql"})
            ]
            + _slower("sql-copilot"),
            visible_from_traces=4_000,
        )

    def _web_search(self) -> Planted:
        return Planted(
            id="web_search_loops",
            kinds=["loop"],
            direction="regression",
            segment={"trace_name": "research-agent", "observation_name": "web_search"},
            accepted_segments=[{"trace_name": "research-agent"}, *_tool("web_search")],
            onset=self._loops.onset,
            cause="The agent sends the same search again and again, a dozen times and more.",
            changes=[self._loops.change()],
            echoes=[
                *_anywhere({"observation_name": "web_search"}),
                *_anywhere({"trace_name": "research-agent"}),
                *_slower("research-agent"),
                *_slower("research-step"),
            ],
            visible_from_traces=16_000,
        )

    def _silent(self) -> Planted:
        return Planted(
            id="run_query_silent_failure",
            kinds=["silent_failure"],
            direction="regression",
            segment={"observation_name": "run_query"},
            accepted_segments=[*_tool("run_query"), {"observation_name": "run_query", "trace_name": "sql-copilot"}],
            onset=self._run_query.onset,
            cause="The query names a table that was renamed; the tool returns the error as a normal result.",
            changes=[self._run_query.change()],
            echoes=[Place(kind="silent_failure", segment={"trace_name": "sql-copilot"})],
            visible_from_traces=8_000,
        )

    def _runaway(self) -> Planted:
        def share(period: str) -> Measured:
            cost = self._all_cost[period]
            value = self._runaway_cost[period] / cost if cost else None
            return Measured(value=value, n=self._runaway_traces[period])

        cost_share = Change(metric="share_of_cost", unit="ratio", window=share("window"), baseline=share("baseline"))
        return Planted(
            id="research_runaways",
            kinds=["runaway"],
            direction="regression",
            segment={"trace_name": "research-agent"},
            accepted_segments=[{"trace_name": "research-agent", "observation_name": "plan"}],
            onset=self._runaways.onset,
            cause="A few runs never find that they are done: over eighty steps, each with a longer context.",
            changes=[self._runaways.change(), cost_share],
            echoes=[
                *_anywhere({"trace_name": "research-agent"}),
                *_anywhere({"observation_name": "plan"}),
                *_anywhere({"prompt_name": "plan"}),
                *_slower("research-agent"),
                *(Place(kind=kind, segment=segment) for kind in _SPENDING for segment in ({"model": "gpt-5"}, {})),
            ],
            visible_from_traces=2_000,
        )

    def _hanging(self) -> Planted:
        return Planted(
            id="fetch_page_unfinished",
            kinds=["unfinished"],
            direction="regression",
            segment={"observation_name": "fetch_page"},
            accepted_segments=[
                *_tool("fetch_page"),
                {"observation_name": "fetch_page", "trace_name": "research-agent"},
            ],
            onset=self._fetch_page.onset,
            cause="The fetcher has no timeout: pages that never answer leave a call without an end.",
            changes=[self._fetch_page.change()],
            echoes=[Place(kind="unfinished", segment={"trace_name": "research-agent"})],
            visible_from_traces=4_000,
        )

    def _fewer(self) -> Planted:
        window, baseline, since = (self._copilot[span] for span in ("window", "baseline", "since_onset"))
        days = (PERIODS.window.end - to_datetime(calendar.COPILOT_LEFT)).days
        segment = {"trace_name": "sql-copilot", "environment": "production"}
        return Planted(
            id="copilot_traffic_fell",
            kinds=["traffic"],
            direction="regression",
            segment=segment,
            accepted_segments=[{"trace_name": "sql-copilot"}],
            onset=to_datetime(calendar.COPILOT_LEFT),
            cause="In production, 45 % fewer questions reach the copilot than on the same days of other weeks.",
            changes=[
                Change(
                    metric="traces_per_day",
                    unit="traces/day",
                    window=Measured(value=window / 7, n=7, events=window),
                    baseline=Measured(value=baseline / 7, n=7, events=baseline),
                    since_onset=Measured(value=since / days, n=days, events=since),
                )
            ],
            echoes=[Place(kind="traffic", segment={"release": "0.14.2"}), Place(kind="traffic", segment={})],
            visible_from_traces=16_000,
        )

    def _faster_docs(self) -> Planted:
        return Planted(
            id="search_docs_faster",
            kinds=["latency"],
            direction="improvement",
            segment={"observation_name": "search_docs"},
            accepted_segments=[
                {"observation_name": "search_docs", "release": release} for release in ("2.3.2", "2.4.0")
            ],
            onset=self._search_docs.onset,
            cause="Release 2.3.2 of the support agent uses a new index: the search takes 40 % less time.",
            changes=[self._search_docs.change(), self._search_docs_mean.change()],
            echoes=[Place(kind="latency", segment={"observation_type": "RETRIEVER"})],
            visible_from_traces=2_000,
        )

    def _hotspot(self) -> Planted:
        return Planted(
            id="staging_rate_limits",
            kinds=["error"],
            direction="hotspot",
            segment={"observation_name": "answer", "environment": "staging"},
            accepted_segments=[
                {"environment": "staging"},
                {"prompt_name": "answer", "environment": "staging"},
            ],
            onset=None,
            cause="Staging shares a small quota of the model provider and is refused in every week.",
            changes=[self._staging.change()],
            compared_with={"observation_name": "answer", "environment": "production"},
            reference=[self._production.change()],
            echoes=[
                Place(kind="error", segment={"prompt_name": "answer"}),
                Place(kind="error", segment={"observation_name": "answer"}),
                Place(kind="error", segment={"trace_name": "support-agent", "environment": "staging"}),
            ],
            visible_from_traces=4_000,
        )


_SPENDING: tuple[Kind, ...] = ("cost", "token_usage", "cache")


def _tool(name: str) -> list[dict[str, str]]:
    return [{"observation_name": name}, {"tool_name": name}]


def _anywhere(segment: dict[str, str]) -> list[Place]:
    """Any kind of finding on that segment."""
    return [Place(kind=None, segment=segment)]


def _slower(app: str) -> list[Place]:
    """An app's traces, and their root observations, take longer."""
    return [Place(kind="latency", segment=segment) for segment in ({"trace_name": app}, {"observation_name": app})]
