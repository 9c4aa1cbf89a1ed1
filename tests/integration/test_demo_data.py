"""The sample data in both schemas: plain queries over Langfuse's tables give the figures that the truth states."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client

from hansei.demo import PROJECT_ID, SCHEMAS, Made, Schema, Truth, create_tables, make_demo
from hansei.demo.feedback import HOSTILE_NAME, MIXED_NAME
from hansei.demo.phrases import HOSTILE
from hansei.demo.tally import LOOP_CALLS, RUNAWAY_STEPS
from hansei.demo.traps import CANARY, HOSTILE_USER, JUDGE_ENVIRONMENT, OTHER_PROJECT, PAYLOAD_CHARACTERS
from hansei.demo.truth import Measured
from hansei.tools.clickhouse import close_readers, open_writer

TRACES = 2_500

# One relation for both schemas: the observations that count, then the traces that count.
_LIVE = f"project_id = '{PROJECT_ID}' AND NOT startsWith(environment, 'langfuse-')"
_OBSERVATIONS = {
    "v3": f"""SELECT o.id AS id, o.trace_id AS trace_id, o.type AS type, o.name AS name, o.environment AS environment,
        o.start_time AS start_time, o.end_time AS end_time, o.level AS level, ifNull(o.status_message, '') AS status,
        ifNull(o.input, '') AS input, ifNull(o.output, '') AS output, ifNull(o.provided_model_name, '') AS model,
        o.usage_details AS usage, o.cost_details['total'] AS cost, ifNull(o.prompt_name, '') AS prompt_name,
        o.prompt_version AS prompt_version, o.completion_start_time AS first_token, ifNull(o.version, '') AS version,
        ifNull(o.parent_observation_id, '') AS parent, t.name AS trace_name, ifNull(t.release, '') AS release
        FROM (SELECT * FROM v3.observations FINAL WHERE {_LIVE}) AS o
        LEFT JOIN (SELECT * FROM v3.traces FINAL WHERE {_LIVE}) AS t ON t.id = o.trace_id""",
    "v4": f"""SELECT span_id AS id, trace_id, type, name, environment, start_time, end_time, level,
        status_message AS status, input, output, provided_model_name AS model, usage_details AS usage,
        total_cost AS cost, prompt_name, prompt_version, completion_start_time AS first_token, version,
        if(parent_span_id = concat('t-', trace_id), '', parent_span_id) AS parent, trace_name, release
        FROM v4.events_full FINAL WHERE {_LIVE} AND span_id != concat('t-', trace_id)""",
}
_TRACES = {
    "v3": f"""SELECT id, timestamp, name, ifNull(user_id, '') AS user, ifNull(session_id, '') AS session,
        ifNull(release, '') AS release, tags, environment, metadata['language'] AS language
        FROM v3.traces FINAL WHERE {_LIVE}""",
    "v4": f"""SELECT trace_id AS id, min(start_time) AS timestamp, any(trace_name) AS name, any(user_id) AS user,
        any(session_id) AS session, any(release) AS release, any(tags) AS tags, any(environment) AS environment,
        anyIf(metadata_values[indexOf(metadata_names, 'language')], parent_span_id = '') AS language
        FROM (SELECT * FROM v4.events_full FINAL WHERE {_LIVE}) GROUP BY trace_id""",
}


@dataclass(frozen=True)
class Demo:
    """The data of one schema, and its truth."""

    client: Client
    schema: Schema
    truth: Truth

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Runs a query over `{observations}`, `{traces}`, `{scores}` with the periods as `{w}`, `{b}` and `{end}`."""
        text = sql.format(
            observations=f"({_OBSERVATIONS[self.schema]})",
            traces=f"({_TRACES[self.schema]})",
            scores=f"(SELECT * FROM {self.schema}.scores FINAL WHERE {_LIVE})",
            raw="v3.observations" if self.schema == "v3" else "v4.events_full",
            w=_instant(self.truth.window.start),
            b=_instant(self.truth.baseline.start),
            end=_instant(self.truth.window.end),
        )
        return list(self.client.query(text, query_tz="UTC").result_rows)

    def row(self, sql: str) -> tuple[Any, ...]:
        [found] = self.rows(sql)
        return found


def _instant(moment: datetime) -> str:
    return f"toDateTime64('{moment:%Y-%m-%d %H:%M:%S}', 3, 'UTC')"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[Schema, Demo]]:
    close_readers()
    with open_writer(f"chdb://{tmp_path_factory.mktemp('demo') / 'clickhouse'}") as client:
        demos: dict[Schema, Demo] = {}
        for schema in SCHEMAS:
            client.command(f"CREATE DATABASE {schema}")
            client.database = schema
            create_tables(client, schema, schema)
            # A merge in the background would take some of the row versions away.
            client.command("SYSTEM STOP MERGES")
            demos[schema] = Demo(client, schema, make_demo(client, schema=schema, traces=TRACES))
        yield demos


@pytest.fixture(params=SCHEMAS)
def demo(made: dict[Schema, Demo], request: pytest.FixtureRequest) -> Demo:
    return made[request.param]


def test_truth_does_not_depend_on_the_schema(made: dict[Schema, Demo]) -> None:
    assert made["v3"].truth == made["v4"].truth


@pytest.mark.parametrize("relation", ["observations", "traces", "scores"])
def test_both_schemas_hold_the_same_rows(made: dict[Schema, Demo], relation: str) -> None:
    digests, counts = set(), set()
    for demo in made.values():
        rows = demo.rows(f"SELECT * FROM {{{relation}}} ORDER BY id")
        counts.add(len(rows))
        digests.add(hashlib.sha256(repr([_plain(row) for row in rows]).encode()).hexdigest())
    assert min(counts) > 500
    assert len(digests) == len(counts) == 1


def _plain(row: tuple[Any, ...]) -> list[Any]:
    """Maps in the order of their keys, other values as they are."""
    return [sorted(value.items()) if isinstance(value, dict) else value for value in row]


def test_coverage_is_exact(demo: Demo) -> None:
    coverage = demo.truth.coverage
    for period, start, end in (("window", "{w}", "{end}"), ("baseline", "{b}", "{w}")):
        within = f"start_time >= {start} AND start_time < {end}"
        observations, errors, cost = demo.row(
            f"SELECT count(), countIf(level = 'ERROR'), sum(cost) FROM {{observations}} WHERE {within}"
        )
        at = f"timestamp >= {start} AND timestamp < {end}"
        [traces] = demo.row(f"SELECT count() FROM {{traces}} WHERE {at}")
        [scores] = demo.row(f"SELECT count() FROM {{scores}} WHERE {at}")
        assert observations == getattr(coverage.observations, period)
        assert errors == getattr(coverage.errors, period)
        assert float(cost) == getattr(coverage.total_cost, period)
        assert traces == getattr(coverage.traces, period)
        assert scores == getattr(coverage.scores, period)


def test_totals_are_exact(demo: Demo) -> None:
    assert demo.row("SELECT count() FROM {traces}") == (demo.truth.traces,) == (TRACES,)
    assert demo.row("SELECT count() FROM {observations}") == (demo.truth.observations,)
    assert demo.row("SELECT count() FROM {scores}") == (demo.truth.scores,)


def same(stated: Measured, value: float | None, n: int) -> None:
    assert stated.n == n
    if stated.value is None:
        assert n == 0
    else:
        assert value == pytest.approx(stated.value, rel=1e-9)


# planted problem, number of its figure, value of a call, which calls
_PER_CALL = [
    ("lookup_order_timeouts", 0, "avg(level = 'ERROR')", "name = 'lookup_order'"),
    ("summarise_v4_lost_cache", 0, "avg(toFloat64(cost))", "name = 'summarise' AND notEmpty(usage)"),
    (
        "summarise_v4_lost_cache",
        1,
        "avg(usage['input'] + usage['input_cached_tokens'])",
        "name = 'summarise' AND notEmpty(usage)",
    ),
    ("summarise_v4_lost_cache", 2, "avg(usage['input_cached_tokens'])", "name = 'summarise' AND notEmpty(usage)"),
    (
        "write_sql_slow",
        0,
        "quantileExactInclusive(0.95)(seconds)",
        "name = 'write_sql' AND model = 'claude-sonnet-4-5' AND end_time IS NOT NULL",
    ),
    ("run_query_silent_failure", 0, "avg(position(output, '\"error\"') > 0)", "name = 'run_query' AND output != ''"),
    ("fetch_page_unfinished", 0, "avg(end_time IS NULL)", "name = 'fetch_page'"),
    (
        "search_docs_faster",
        0,
        "quantileExactInclusive(0.95)(seconds)",
        "name = 'search_docs' AND end_time IS NOT NULL",
    ),
    ("search_docs_faster", 1, "avg(seconds)", "name = 'search_docs' AND end_time IS NOT NULL"),
    ("staging_rate_limits", 0, "avg(level = 'ERROR')", "name = 'answer' AND environment = 'staging'"),
]


@pytest.mark.parametrize(("planted_id", "number", "value", "calls"), _PER_CALL)
def test_figures_of_planted_calls_are_exact(demo: Demo, planted_id: str, number: int, value: str, calls: str) -> None:
    planted = demo.truth.find(planted_id)
    stated = planted.changes[number]
    spans = [(stated.window, "{w}", "{end}"), (stated.baseline, "{b}", "{w}")]
    if stated.since_onset is not None:
        assert planted.onset is not None
        spans.append((stated.since_onset, _instant(planted.onset), "{end}"))
    for measured, start, end in spans:
        found = demo.row(
            f"SELECT {value}, count() FROM (SELECT *, dateDiff('millisecond', start_time, end_time) / 1000 AS seconds "
            f"FROM {{observations}}) WHERE {calls} AND start_time >= {start} AND start_time < {end}"
        )
        same(measured, *found)


@pytest.mark.parametrize("version", [6, 7])
@pytest.mark.parametrize("language", ["all", "ja"])
def test_figures_of_the_answers_are_exact(demo: Demo, version: int, language: str) -> None:
    planted = demo.truth.find("answer_v7_disliked")
    stated = (planted.changes if version == 7 else planted.reference)[language == "ja"]
    only = "AND language = 'ja'" if language == "ja" else ""
    for measured, start, end in ((stated.window, "{w}", "{end}"), (stated.baseline, "{b}", "{w}")):
        found = demo.row(
            "SELECT avg(value), count() FROM {scores} AS s "
            "JOIN {traces} AS t ON t.id = s.trace_id "
            "JOIN (SELECT trace_id, any(prompt_version) AS version FROM {observations} "
            "WHERE prompt_name = 'answer' GROUP BY trace_id) AS o ON o.trace_id = s.trace_id "
            f"WHERE s.name = 'user_feedback' AND version = {version} {only} "
            f"AND s.timestamp >= {start} AND s.timestamp < {end}"
        )
        same(measured, *found)


@pytest.mark.parametrize("planted_id", ["web_search_loops", "research_runaways"])
def test_figures_of_planted_traces_are_exact(demo: Demo, planted_id: str) -> None:
    per_trace = (
        "SELECT t.id AS id, any(t.timestamp) AS at, count() AS steps, "
        "maxOrDefault(repeats) AS most FROM {traces} AS t LEFT JOIN "
        "(SELECT trace_id, if(name = 'web_search', count() OVER (PARTITION BY trace_id, name, input), 0) AS repeats "
        "FROM {observations}) AS o ON o.trace_id = t.id WHERE t.name = 'research-agent' GROUP BY id"
    )
    hit = f"most >= {LOOP_CALLS}" if planted_id == "web_search_loops" else f"steps > {RUNAWAY_STEPS}"
    stated = demo.truth.find(planted_id).changes[0]
    for measured, start, end in ((stated.window, "{w}", "{end}"), (stated.baseline, "{b}", "{w}")):
        value, n, hits = demo.row(
            f"SELECT avg({hit}), count(), countIf({hit}) FROM ({per_trace}) WHERE at >= {start} AND at < {end}"
        )
        same(measured, value, n)
        assert measured.events == hits
    assert (stated.window.events or 0) >= 1


def test_share_of_cost_of_the_runaways_is_exact(demo: Demo) -> None:
    stated = demo.truth.find("research_runaways").changes[1]
    share, n = demo.row(
        f"SELECT sumIf(cost, steps > {RUNAWAY_STEPS}) / sum(cost), countIf(steps > {RUNAWAY_STEPS}) FROM "
        "(SELECT o.trace_id, sum(toFloat64(cost)) AS cost, count() AS steps FROM {observations} AS o "
        "JOIN {traces} AS t ON t.id = o.trace_id WHERE t.timestamp >= {w} GROUP BY trace_id)"
    )
    same(stated.window, share, n)
    assert share > 0.3


def test_figures_of_the_traffic_are_exact(demo: Demo) -> None:
    planted = demo.truth.find("copilot_traffic_fell")
    [stated] = planted.changes
    assert planted.onset is not None
    assert stated.since_onset is not None
    which = "FROM {traces} WHERE name = 'sql-copilot' AND environment = 'production'"
    window, baseline, since = demo.row(
        "SELECT countIf(timestamp >= {w}), countIf(timestamp >= {b} AND timestamp < {w}), "
        f"countIf(timestamp >= {_instant(planted.onset)}) {which}"
    )
    assert (window, baseline, since) == (stated.window.events, stated.baseline.events, stated.since_onset.events)
    assert stated.since_onset.value == since / 4


def trap(demo: Demo, trap_id: str) -> int:
    """How many rows the truth says a trap has."""
    [found] = [trap.rows for trap in demo.truth.traps if trap.id == trap_id]
    return found


def test_row_versions_lie_side_by_side(demo: Demo) -> None:
    key = "id" if demo.schema == "v3" else "span_id"
    same_key, shown, hidden = demo.row(
        f"SELECT count() - uniqExact({key}), countIf(level = 'ERROR'), "
        f"countIf(level = 'ERROR' AND status_message LIKE 'interrupted:%') FROM {{raw}} WHERE {_LIVE}"
    )
    assert same_key > 0
    assert hidden > 100
    [true_errors] = demo.row("SELECT countIf(level = 'ERROR') FROM {observations}")
    assert shown > 1.5 * true_errors
    assert demo.row("SELECT countIf(status LIKE 'interrupted:%') FROM {observations}") == (0,)
    assert trap(demo, "row_versions") >= hidden


def test_deleted_rows_and_other_projects_are_there_and_do_not_count(demo: Demo) -> None:
    deleted, foreign, fire = demo.row(
        f"SELECT uniqExactIf(trace_id, is_deleted = 1), uniqExactIf(trace_id, project_id = '{OTHER_PROJECT}'), "
        "countIf(status_message LIKE 'FatalError%') FROM {raw}"
    )
    assert deleted == trap(demo, "deleted_rows") > 10
    assert foreign == trap(demo, "other_project") > 30
    assert fire > 100
    assert demo.row(f"SELECT countIf(position(input, '{CANARY}') > 0) > 30 FROM {{raw}}") == (True,)
    for relation, field in (("observations", "input"), ("observations", "output"), ("traces", "name")):
        assert demo.row(f"SELECT countIf(position({field}, '{CANARY}') > 0) FROM {{{relation}}}") == (0,)
    assert demo.row("SELECT countIf(status LIKE 'FatalError%') FROM {observations}") == (0,)


def test_langfuses_own_environments_are_there_and_do_not_count(demo: Demo) -> None:
    traces, errors = demo.row(
        f"SELECT uniqExact(trace_id), countIf(level = 'ERROR' AND environment = '{JUDGE_ENVIRONMENT}') "
        f"FROM {{raw}} WHERE project_id = '{PROJECT_ID}' AND startsWith(environment, 'langfuse-')"
    )
    assert traces == trap(demo, "langfuse_environments") > 50
    assert errors > 5


def test_the_mix_shifts_and_neither_part_changes(demo: Demo) -> None:
    rows = demo.rows(
        "SELECT t.name AS app, t.timestamp >= {w} AS now, count() AS n, avg(cost) FROM {traces} AS t "
        "JOIN (SELECT trace_id, sum(toFloat64(cost)) AS cost FROM {observations} GROUP BY trace_id) AS o "
        "ON o.trace_id = t.id WHERE t.timestamp >= {b} AND t.name IN ('quick-answer', 'deep-research-brief') "
        "GROUP BY app, now"
    )
    figures = {(app, now): (n, cost) for app, now, n, cost in rows}
    for app in ("quick-answer", "deep-research-brief"):
        assert figures[app, 1][1] == pytest.approx(figures[app, 0][1], rel=0.08)
    common = [
        sum(n * cost for (_, period), (n, cost) in figures.items() if period == now)
        / sum(n for (_, period), (n, _) in figures.items() if period == now)
        for now in (0, 1)
    ]
    assert common[1] > 1.25 * common[0]


def test_the_tiny_segment_fails_three_times_in_three(demo: Demo) -> None:
    found = demo.row("SELECT count(), countIf(level = 'ERROR' AND start_time >= {w}) FROM {observations} "
                     "WHERE name = 'export_pdf'")  # fmt: skip
    assert found == (3, 3)
    assert trap(demo, "tiny_segment") == 3


def test_late_calls_are_unfinished_only_at_the_very_end(demo: Demo) -> None:
    without_end = "name NOT IN ('fetch_page') AND end_time IS NULL"
    before, late = demo.row(
        f"SELECT countIf({without_end} AND start_time < {{end}} - toIntervalMinute(90)), countIf({without_end}) "
        "FROM {observations}"
    )
    assert before == 0
    assert 0 < late <= trap(demo, "late_arrivals")


def test_bare_traces_count(demo: Demo) -> None:
    found = demo.row(
        "SELECT count(), countIf(user = '' AND session = '' AND empty(tags)) FROM {traces} WHERE name = ''"
    )
    assert found == (trap(demo, "bare_traces"),) * 2
    assert found[0] >= 4


def test_the_huge_payload_is_whole(demo: Demo) -> None:
    assert demo.row(
        f"SELECT countIf(lengthUTF8(output) = {PAYLOAD_CHARACTERS}), max(length(output)) > 2000000 "
        "FROM {observations}"
    ) == (1, True)


def test_hostile_texts_are_really_there(demo: Demo) -> None:
    texts = {text for (text,) in demo.rows("SELECT DISTINCT input FROM {observations}")}
    assert set(HOSTILE) <= texts
    assert any("<script>" in text for text in texts)
    users = {user for (user,) in demo.rows("SELECT DISTINCT user FROM {traces}")}
    assert HOSTILE_USER in users


def test_scores_with_a_hostile_name_and_with_mixed_types_are_there(demo: Demo) -> None:
    counted = demo.client.query(
        f"SELECT count() FROM {demo.schema}.scores FINAL WHERE {_LIVE} AND name = {{wanted:String}}",
        parameters={"wanted": HOSTILE_NAME},
    )
    assert counted.first_row[0] == trap(demo, "hostile_score_name") > 0
    types = demo.rows(f"SELECT data_type, count() FROM {{scores}} WHERE name = '{MIXED_NAME}' GROUP BY data_type")
    assert {kind for kind, _ in types} == {"NUMERIC", "BOOLEAN", "CATEGORICAL"}
    assert sum(n for _, n in types) == trap(demo, "mixed_score")
    assert demo.row("SELECT uniqExact(source), countIf(trace_id IS NULL AND session_id IS NOT NULL) > 0, "
                    "countIf(observation_id IS NOT NULL) > 0 FROM {scores}") == (3, True, True)  # fmt: skip


def test_nights_and_weekends_are_quiet(demo: Demo) -> None:
    weekend, weekdays = demo.row(
        "SELECT countIf(toDayOfWeek(timestamp) > 5) / 2, countIf(toDayOfWeek(timestamp) <= 5) / 5 FROM {traces}"
    )
    assert weekend < 0.85 * weekdays


def test_progress_and_the_clients_own_database(made: dict[Schema, Demo]) -> None:
    client = made["v3"].client
    client.command("CREATE DATABASE again")
    client.database = "again"
    steps: list[Made] = []
    truth = make_demo(client, schema="v3", traces=500, seed=11, progress=steps.append)
    assert client.query(f"SELECT count() FROM again.traces FINAL WHERE {_LIVE}").first_row == (500,)
    assert (steps[-1].traces, steps[-1].of) == (500, 500)
    assert steps[-1].observations == truth.observations
