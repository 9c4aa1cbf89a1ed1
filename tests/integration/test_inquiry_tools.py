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
from tests.support.inquiry import CANARY, dataset_in, step
from tests.support.inquiry_kit import Kit, world
from tests.support.job import writing
from tests.support.schemas import both
from tests.support.world import PERIODS, PROJECT

from hansei.context import Budget
from hansei.contracts import Periods, hash_result
from hansei.errors import QueryFailed
from hansei.tools.clickhouse import open_reader
from hansei.tools.clickhouse.budget import Meter
from hansei.tools.inquiry.bounds import Bounds
from hansei.tools.inquiry.columns import MEANINGS, WIDE, RelationName
from hansei.tools.langfuse.dataset import Dataset
from hansei.tools.langfuse.trusted import ReportGuard
from hansei.tools.langfuse.untrusted import CLOSING, OPENING


@pytest.fixture(scope="module", params=both("v4"))
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


def test_a_span_without_data_is_described(dataset: Dataset) -> None:
    late = Periods.ending(
        PERIODS.window.end + PERIODS.window.length * 2, PERIODS.window.length / 2, PERIODS.window.length
    )
    said = Kit(Dataset(dataset.reader, dataset.adapter, PROJECT, late)).said("describe_data")
    for relation in ("traces", "observations", "scores"):
        assert f"\n{relation}: no rows (q" in said


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


@pytest.mark.parametrize(
    "written",
    [
        "hex(user_id)", "lower(hex(user_id))", "splitByString('', user_id)", "extractAll(user_id, '.')", "[user_id]",
        "splitByChar('@', concat(user_id, '@'))[1] || '@example.com'", "map('who', user_id)", "upper(user_id)",
        "groupArray(substring(user_id, number, 1)) FROM (SELECT user_id, arrayJoin(range(1, 20)) AS number FROM traces"
        " WHERE id = 'told' ORDER BY number) GROUP BY user_id --",
    ],
)  # fmt: skip
def test_a_secret_in_another_form_is_masked_as_well(kit: Kit, written: str) -> None:
    told = kit.said("run_sql", sql=f"SELECT {written} FROM traces WHERE id = 'told'", purpose="x")
    assert "[secret]" in told or "[e-mail]" in told
    assert not re.search("bob|626f62|b.{1,4}o.{1,4}b", told.partition(OPENING)[2], re.IGNORECASE)


@pytest.mark.parametrize(
    "written",
    ["reverse(user_id)", "reverseUTF8(user_id)", "base64Encode(user_id)", "encodeURLComponent(user_id)",
     "translate(user_id, 'abc', 'xyz')", "arrayMap(c -> ascii(c), splitByString('', user_id))", "bin(user_id)",
     "ngrams(user_id, 3)", "reinterpretAsString(user_id)", "arrayMap(reverse, [user_id])"],
)  # fmt: skip
def test_what_only_writes_a_text_in_another_form_is_refused(kit: Kit, written: str) -> None:
    told = kit.refused("run_sql", sql=f"SELECT {written} FROM traces WHERE id = 'told'", purpose="x")
    assert "could not be recognised" in told


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


def test_a_budget_that_is_spent_is_told_not_raised(dataset: Dataset) -> None:
    spent = dataset.reader.metered(Meter(Budget(rows=0)))
    kit = Kit(Dataset(spent, dataset.adapter, PROJECT, PERIODS))
    for name, arguments in (
        ("describe_data", {}),
        ("run_sql", {"sql": "SELECT count() FROM observations", "purpose": "x"}),
        ("read_trace", {"trace_id": "nested"}),
        ("sample_traces", {}),
    ):
        assert "budget" in kit.refused(name, **arguments)
    assert len(kit.notebook) == 0


def test_the_tools_work_on_a_session_that_is_held_to_its_project(dataset: Dataset, place: Any) -> None:
    reader = open_reader(f"{place.url}_{dataset.adapter.version}", project_id=PROJECT)
    kit = Kit(Dataset(reader, dataset.adapter, PROJECT, PERIODS))
    try:
        free = Kit(dataset)
        for name, arguments in (
            ("describe_data", {}),
            ("run_sql", {"sql": "SELECT count() FROM observations", "purpose": "x"}),
            ("read_trace", {"trace_id": "nested"}),
            ("sample_traces", {}),
        ):
            assert kit.said(name, **arguments) == free.said(name, **arguments)
    finally:
        reader.close()


def test_all_evidence_can_be_asked_again_as_a_reports_evidence_is(kit: Kit) -> None:
    kit.said("describe_data")
    kit.said("run_sql", sql=BY_NAME, purpose="x", parameters={"kind": "TOOL"})
    kit.said("read_trace", trace_id="nested")
    kit.said("sample_traces", segment={"tool_name": "lookup_order"})
    guard = ReportGuard(kit.dataset.reader, PROJECT)
    assert len(kit.notebook) == 9
    for evidence in kit.notebook:
        admitted = guard.admit(evidence.sql, evidence.parameters)
        again = kit.dataset.reader.query(admitted.sql, admitted.parameters)
        assert hash_result(again.columns, again.rows) == evidence.result_hash
