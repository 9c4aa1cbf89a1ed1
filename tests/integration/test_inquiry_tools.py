"""The tools of a model, over every engine and both schemas, on data that is not to be trusted."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import ToolMessage
from tests.support.faults import fails, on_step
from tests.support.inquiry import AT, CANARY, dataset_in, hard_traces, step, trace
from tests.support.job import writing
from tests.support.world import PERIODS, PROJECT, make_world

from hansei.contracts import Periods
from hansei.demo.rows import Rows, ScoreRow
from hansei.errors import QueryFailed
from hansei.tools.clickhouse import open_reader
from hansei.tools.inquiry.bounds import Bounds
from hansei.tools.inquiry.columns import MEANINGS, WIDE, RelationName
from hansei.tools.inquiry.kit import inquiry_tools
from hansei.tools.inquiry.notebook import Notebook
from hansei.tools.inquiry.sampling import METRICS
from hansei.tools.langfuse.dataset import Dataset
from hansei.tools.langfuse.untrusted import CLOSING, OPENING

CLASSES = ["describe_data", "run_sql", "read_trace", "sample_traces"]


class Kit:
    """The tools over a dataset, called as a model's tool calls are."""

    def __init__(self, dataset: Dataset, bounds: Bounds | None = None) -> None:
        self.dataset = dataset
        self.notebook = Notebook()
        self.tools = {tool.name: tool for tool in inquiry_tools(dataset, bounds, self.notebook)}

    def call(self, name: str, config: Any = None, **arguments: Any) -> ToolMessage:
        call = {"type": "tool_call", "id": "call-1", "name": name, "args": arguments}
        message = self.tools[name].invoke(call, config)
        assert isinstance(message, ToolMessage)
        assert isinstance(message.content, str)
        if message.status == "error":
            assert message.artifact is None
        else:
            assert all(self.notebook.get(id) is not None for id in message.artifact)
            assert message.artifact[0] in message.content
        return message

    def said(self, name: str, **arguments: Any) -> str:
        message = self.call(name, **arguments)
        assert message.status == "success", message.content
        return str(message.content)

    def refused(self, name: str, **arguments: Any) -> str:
        message = self.call(name, **arguments)
        assert message.status == "error", message.content
        assert "\n" not in message.content
        return str(message.content)


def world() -> Rows:
    """A quiet project in which a fifth of the look-ups fail, with a few hard traces and another project's."""
    rows = make_world(on_step("support", "lookup_order", fails("order service: 503"), share=0.2), per_day=20)
    for n, observation in enumerate(rows.observations):
        observation.metadata = {"tenant": "blue", "request": f"ann{n}"} if observation.type == "TOOL" else {}
    rows.extend(few_hard_ones())
    rows.scores += [
        ScoreRow(id=f"tone-{n}", timestamp=AT, name="tone", project_id=PROJECT, data_type="CATEGORICAL",
                 trace_id="told", string_value="rude" if n % 3 else "kind", source="EVAL") for n in range(30)
    ]  # fmt: skip
    for n in range(600):  # names that are users' texts rather than names
        rows.traces.append(trace(f"free-{n}", name=f"question {n} of ann{n}@example.com"))
    rows.traces += [trace("rare-1", release="secret-release"), trace("rare-2", release="secret-release")]
    return rows


def few_hard_ones() -> Rows:
    hard = hard_traces()
    small = {"nested", "orphan", "circle", "hostile", "versions", "told", "foreign", "judged"}
    return Rows(
        [row for row in hard.traces if row.id in small],
        [row for row in hard.observations if row.trace_id in small],
        hard.scores,
    )


@pytest.fixture(scope="module", params=["v3", "v4"])
def dataset(request: pytest.FixtureRequest, place: Any) -> Iterator[Dataset]:
    url = f"{place.url}_{request.param}"
    with writing(url) as client:
        yield dataset_in(client, reader := open_reader(url), request.param, world())
        reader.close()
        client.command(f"DROP DATABASE {client.database}")


@pytest.fixture
def kit(dataset: Dataset) -> Kit:
    return Kit(dataset)


# describe_data


@pytest.mark.parametrize("relation", ["traces", "observations", "scores"])
def test_every_column_of_a_relation_has_a_meaning_and_nothing_else_has(
    dataset: Dataset, relation: RelationName
) -> None:
    sql = dataset.bind(f"SELECT * FROM {relation} LIMIT 0", (relation,), WIDE[relation])
    columns = {str(row[0]) for row in dataset.ask("c", "c", f"DESCRIBE TABLE ({sql})").rows}
    known = set(MEANINGS[relation])
    # v4 has one more, which v3's scores get from elsewhere; both have all that is named.
    assert columns - known == set()
    described = Kit(dataset).said("describe_data", topic=relation)
    for column in columns:
        assert f"\n  {column} " in described


def test_a_description_tells_what_occurs_and_how_to_ask(kit: Kit) -> None:
    said = kit.said("describe_data")
    assert f"Langfuse's {kit.dataset.adapter.version} schema" in said
    assert "Window: 2026-11-09 00:00 to 2026-11-16 00:00 UTC" in said
    for line in (
        "observations: type: ", "observations: model: large-1 (", "score helpful: BOOLEAN, ", "share of 1: 0.",
        "score tone: CATEGORICAL, 30 rows, rude (20); kind (10)", "{window_start:DateTime64(6,'UTC')}",
    ):  # fmt: skip
        assert line in said
    assert "observations: metadata.tenant: blue (" in said
    assert "prompt_version: 6 (" in said


def test_a_description_shows_no_free_text_and_no_rare_value(kit: Kit) -> None:
    said = kit.said("describe_data")
    for hidden in ("503", "ann1", "example.com", "secret-release", "order service", "user-", CANARY, "card 4111"):
        assert hidden not in said
    assert "traces: name: 602 different values, none shown" in said
    assert re.search(r"observations: metadata.request: \d+ different values, none shown", said)


def test_rows_are_those_of_the_relations(kit: Kit) -> None:
    [[count]] = kit.dataset.ask(
        "n", "n", kit.dataset.bind("SELECT count() FROM observations", ("observations",)), since=PERIODS.window.start
    ).rows
    assert f"observations: {count:,} rows from 2026-11-09" in kit.said("describe_data", topic="observations")


# run_sql

BY_NAME = """SELECT name, count() AS calls, countIf(level = 'ERROR') AS errors FROM observations
WHERE type = {kind:String} GROUP BY name ORDER BY calls DESC, name"""


def test_sql_is_answered_by_a_table_and_an_evidence_id(kit: Kit) -> None:
    message = kit.call("run_sql", sql=BY_NAME, purpose="which tools fail", parameters={"kind": "TOOL"})
    evidence = kit.notebook.get(message.artifact[0])
    assert evidence is not None
    assert (evidence.purpose, evidence.columns) == ("which tools fail", ["name", "calls", "errors"])
    lines = str(message.content).splitlines()
    assert lines[0].startswith(f"Evidence {evidence.id}: {evidence.row_count} rows, all shown.")
    assert lines[1:3] == [OPENING, "name | calls | errors"]
    assert lines[-1] == CLOSING
    names = [str(row[0]) for row in evidence.rows]
    assert {"lookup_order", "web_search"} <= set(names)
    assert lines[3].split(" | ") == [str(value) for value in evidence.rows[0]]


def test_the_same_question_has_the_same_id(kit: Kit) -> None:
    ask = {"sql": BY_NAME, "purpose": "a", "parameters": {"kind": "TOOL"}}
    assert kit.call("run_sql", **ask).artifact == Kit(kit.dataset).call("run_sql", **{**ask, "purpose": "b"}).artifact
    assert (
        kit.call("run_sql", **ask).artifact != kit.call("run_sql", **{**ask, "parameters": {"kind": "SPAN"}}).artifact
    )


@pytest.mark.parametrize(
    ("sql", "hint"),
    [
        ("SELECT nam FROM traces", "Did you mean name?"),
        ("SELECT 1; DROP TABLE traces", "more than one statement"),
        ("SELECT * FROM system.tables", "Read from traces, observations, scores"),
        ("SELECT name FROM traces SETTINGS max_threads = 1", "SETTINGS"),
        ("SELECT sleep(3)", "sleep"),
        ("SELECT * FROM traces WHERE name = {x:String}", "parameter x"),
        ("SELECT trace_id + 1 FROM observations", "wrong type"),
        ("SELECT name, count() FROM traces", "GROUP BY"),
        ("", ""),
        ("DROP TABLE traces", ""),
    ],
)
def test_what_is_refused_says_what_to_change(kit: Kit, sql: str, hint: str) -> None:
    said = kit.refused("run_sql", sql=sql, purpose="x")
    assert hint in said
    assert CANARY not in said
    assert len(kit.notebook) == 0


def test_wide_cells_are_cut_with_their_length(dataset: Dataset) -> None:
    kit = Kit(dataset, Bounds(cell_characters=40))
    said = kit.said("run_sql", sql="SELECT repeat('ab ', 700) AS wide, 'x' AS narrow, [1, 2] AS list", purpose="x")
    row = said.splitlines()[3]
    assert row.endswith("… (2,100 characters) | x | [1, 2]")
    assert len(row.split(" | ")[0]) <= 40


def test_rows_that_do_not_fit_are_counted(dataset: Dataset) -> None:
    kit = Kit(dataset, Bounds(table_rows=10, result_rows=100))
    said = kit.said("run_sql", sql="SELECT id FROM observations ORDER BY id LIMIT 60", purpose="x")
    assert ": 60 rows, the first 10 shown." in said
    assert len(said.splitlines()) == 10 + 4
    said = kit.said("run_sql", sql="SELECT id FROM observations ORDER BY id", purpose="x")
    assert ": 100 rows, the first 10 shown (cut at 100: there may be more" in said


def test_too_much_text_is_refused(dataset: Dataset) -> None:
    kit = Kit(dataset, Bounds(result_characters=1_000))
    assert "leftUTF8" in kit.refused("run_sql", sql="SELECT repeat('x', 2000)", purpose="x")


def test_cells_are_masked_but_for_ids(kit: Kit) -> None:
    sql = "SELECT id, user_id FROM traces WHERE id = 'told'"
    assert "told | [e-mail]" in kit.said("run_sql", sql=sql, purpose="x")
    assert "told | bob@example.com" in Kit(kit.dataset, Bounds(masked=False)).said("run_sql", sql=sql, purpose="x")


# read_trace


def test_a_trace_is_read_with_its_evidence(kit: Kit) -> None:
    message = kit.call("read_trace", trace_id="nested")
    assert "▶ marks step #3, where it went wrong first." in message.content
    assert "503 from orders" in message.content
    [evidence] = kit.notebook.find(message.artifact)
    assert evidence.row_count == 4
    assert "▶ #2 GENERATION plan" in kit.said("read_trace", trace_id=" nested ", focus="plan")
    assert "No step is what you named as focus. ▶ marks step #3" in kit.said("read_trace", trace_id="nested", focus="x")


def test_unknown_traces_are_told_in_the_same_words(kit: Kit) -> None:
    told = {kit.refused("read_trace", trace_id=id) for id in ("nowhere", "foreign", "judged", "' OR 1 --", " ")}
    assert len(told) == 1


def test_a_traces_orders_stay_quoted_and_masked(kit: Kit) -> None:
    said = kit.said("read_trace", trace_id="hostile")
    assert said.count(CLOSING) == 1
    assert said.endswith(CLOSING)
    for hidden in ("bob@example.com", "4111 1111", "1234-5678", "<|im_start|>", "[INST]", "\0", "\u202e"):
        assert hidden not in said
    assert "[e-mail], card [card], call [phone]" in said


# sample_traces


def strata(said: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in said.split(OPENING)[1].splitlines()[1:-1]:
        id, _, stratum = line.split(" · ")[:3]
        found.setdefault(stratum, []).append(id)
    return found


def failed(dataset: Dataset, period: str = "window") -> set[str]:
    compare = ">=" if period == "window" else "<"
    sql = dataset.bind(
        f"""SELECT DISTINCT trace_id FROM observations WHERE level = 'ERROR' AND type = 'TOOL' AND name = 'lookup_order'
        AND start_time {compare} {{window_start:DateTime64(6, 'UTC')}}""",
        ("observations",),
    )
    return {str(row[0]) for row in dataset.ask("f", "f", sql).rows}


@pytest.mark.parametrize("period", ["window", "baseline"])
def test_bad_and_good_traces_are_told_apart(kit: Kit, period: str) -> None:
    bad = failed(kit.dataset, period)
    if period == "baseline":
        assert not bad
    said = kit.said("sample_traces", segment={"tool_name": "lookup_order"}, count=10, period=period)
    found = strata(said)
    if bad:
        assert f"5 of {len(bad)} bad traces" in said
        assert len(found["bad"]) == len(found["good"]) == 5
        assert set(found["bad"]) <= bad
    assert len(found["good"]) == (5 if bad else 10)
    assert not set(found["good"]) & bad


def test_the_same_seed_draws_the_same_traces(kit: Kit) -> None:
    one, two, three = (kit.said("sample_traces", which="any", seed=seed, count=20) for seed in (7, 7, 8))
    assert one == two
    assert strata(one) != strata(three)


@pytest.mark.parametrize("which", ["both", "bad", "good", "any"])
def test_every_metric_can_be_sampled(kit: Kit, which: str) -> None:
    drawn = 0
    for metric in METRICS:
        said = kit.said("sample_traces", metric=metric, which=which, count=4)
        if OPENING not in said:
            assert "there are no" in said
            continue
        found = strata(said)
        drawn += 1
        assert 0 < sum(map(len, found.values())) <= 4
        if which in ("bad", "good") and metric != "traces_per_day":
            assert set(found) == {which}
    assert drawn >= 5


def test_a_findings_parameters_and_metadata_can_be_given(kit: Kit) -> None:
    said = kit.said("sample_traces", metric="step_latency_p95", parameters={"slow_ms": 1e9}, which="good", count=2)
    assert "Bad by step_latency_p95" in said
    assert "0 of " in said
    assert strata(kit.said("sample_traces", segment={"metadata.tenant": "blue"}, count=4))
    assert "there are no" in kit.said("sample_traces", segment={"metadata.tenant": "red"}, count=4)


@pytest.mark.parametrize(
    "arguments",
    [
        {"segment": {"colour": "red"}},
        {"segment": {"metadata.x'] = '' OR 1 = 1 OR metadata['y": "z"}},
        {"segment": {"metadata.{project_id:String}": "z"}},
        {"segment": {"trace_name": "x" * 5_000}},
        {"segment": {"score_name": "helpful"}},
        {"metric": "happiness"},
        {"parameters": {"project_id": 1.0}},
        {"count": 0},
        {"which": "worst"},
        {"colour": "red"},
        {"seed": -1},
    ],
)
def test_a_sample_that_cannot_be_drawn_is_refused(kit: Kit, arguments: dict[str, Any]) -> None:
    assert len(kit.refused("sample_traces", **arguments)) < 1_000


# all of them


def test_no_answer_is_longer_than_its_bound_or_tells_of_another_project(dataset: Dataset) -> None:
    small = Bounds(
        describe_characters=6_000, sql_characters=1_000, trace_characters=2_000, sample_characters=1_000
    )  # fmt: skip
    kit = Kit(dataset, small)
    for name, bound, calls in (
        ("describe_data", 6_000, [{}, {"topic": "scores"}]),
        ("run_sql", 1_000, [
            {"sql": "SELECT * FROM observations ORDER BY id", "purpose": "x" * 400},
            {"sql": "SELECT input, output, status_message, name FROM observations WHERE trace_id = 'hostile'",
             "purpose": "x"},
            {"sql": "SELECT " + ", ".join(f"1 AS column_{n}" for n in range(300)), "purpose": "x"},
        ]),
        ("read_trace", 2_000, [{"trace_id": id} for id in ("nested", "hostile", "told", "circle")]),
        ("sample_traces", 1_000, [{"count": 40}, {"metric": "cost_per_call"}]),
    ):  # fmt: skip
        for arguments in calls:
            said = kit.said(name, **arguments)
            assert len(said) <= bound, name
            assert said.count(CLOSING) == 1
            assert CANARY not in said
    assert CANARY not in json.dumps([item.model_dump() for item in kit.notebook])


def test_what_a_model_gets_wrong_is_told_without_repeating_it(kit: Kit) -> None:
    said = kit.refused("run_sql", sql=7, purposes="y" * 10_000)
    assert "sql" in said
    assert "purpose: Field required" in said
    assert "yyy" not in said


def test_real_failures_are_raised(dataset: Dataset, place: Any) -> None:
    reader = open_reader(f"{place.url}_{dataset.adapter.version}")
    reader.close()
    kit = Kit(Dataset(reader, dataset.adapter, PROJECT, PERIODS))
    for name, arguments in (
        ("describe_data", {}),
        ("read_trace", {"trace_id": "nested"}),
        ("sample_traces", {}),
        # The embedded engine parses SQL on the same session, which then takes no SQL at all.
        *([("run_sql", {"sql": "SELECT count() FROM traces", "purpose": "x"})] if place.engine != "embedded" else []),
    ):
        with pytest.raises(QueryFailed):
            kit.call(name, **arguments)


def test_tools_can_be_called_side_by_side(kit: Kit) -> None:
    ids = ["nested", "told", "hostile", "circle"] * 3
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda id: kit.said("read_trace", trace_id=id), ids))
    assert found == [kit.said("read_trace", trace_id=id) for id in ids]
    assert len(kit.notebook) == 4


class Recorder(BaseCallbackHandler):
    """Names of the tool runs and what they lie in."""

    def __init__(self) -> None:
        self.runs: dict[UUID, tuple[str, UUID | None]] = {}
        self.outputs: list[Any] = []

    def on_tool_start(
        self, serialized: dict[str, Any], input_str: str, *, run_id: UUID, parent_run_id: UUID | None = None, **_: Any
    ) -> None:
        self.runs[run_id] = (serialized["name"], parent_run_id)

    def on_tool_end(self, output: Any, **_: Any) -> None:
        self.outputs.append(output)

    def tree(self) -> list[tuple[str, str]]:
        return [(name, self.runs[parent][0] if parent else "") for name, parent in self.runs.values()]


def test_a_tool_is_a_span_with_its_queries_inside_and_holds_no_rows(kit: Kit) -> None:
    recorder = Recorder()
    kit.call("run_sql", {"callbacks": [recorder]}, sql=BY_NAME, purpose="x", parameters={"kind": "TOOL"})
    assert recorder.tree() == [("run_sql", ""), ("clickhouse", "run_sql")]
    message = recorder.outputs[-1]
    assert message.artifact == [next(iter(kit.notebook)).id]
    recorder = Recorder()
    kit.call("read_trace", {"callbacks": [recorder]}, trace_id="nested")
    assert recorder.tree()[0] == ("read_trace", "")
    assert set(recorder.tree()[1:]) == {("clickhouse", "read_trace")}


def test_the_dataset_bounds_what_can_be_seen(dataset: Dataset) -> None:
    early = Periods.ending(PERIODS.baseline.end, PERIODS.baseline.length / 2, PERIODS.baseline.length / 2)
    kit = Kit(Dataset(dataset.reader, dataset.adapter, PROJECT, early))
    assert "no trace with this id" in kit.refused("read_trace", trace_id="nested")
    assert "0" in kit.said("run_sql", sql="SELECT count() FROM traces WHERE id = 'nested'", purpose="x").splitlines()
    assert step("nested", "x").start_time >= early.window.end
