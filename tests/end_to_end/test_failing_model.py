"""A model that fails at every node, in whole runs over real sockets: the rules' report, with the fallback named."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.support.capable import kind_of
from tests.support.job import analyse, the_rules, verify
from tests.support.modelled import with_a_model, world_in_memory
from tests.support.openai_server import Answer, Request, failing, says, text, tool_call
from tests.support.world import END, PROJECT, Visit

from hansei import Report
from hansei.context import ModelBudget


def world(visit: Visit) -> None:
    """From the third day on a tool fails, and answers are liked less."""
    if visit.app == "support" and visit.day >= 2 and visit.random.random() < 0.25:
        visit.steps[1].level, visit.steps[1].status, visit.steps[1].output = "ERROR", "timeout", ""
        visit.scores = [(name, 0.0, kind) for name, _, kind in visit.scores]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with world_in_memory("failing_model", world) as url:
        yield url


pytestmark = [pytest.mark.long, pytest.mark.usefixtures("quick_model")]


@pytest.fixture(scope="module")
def by_rules(url: str) -> Report:
    return analyse(url, PROJECT, until=END.isoformat())


ASKED = "What do the failing calls have in common?"
PLAN = {
    "entries": [],
    "questions": [
        {"question": ASKED, "hypothesis": "It may be one user.", "refuted_by": "All fail.", "needs": [], "about": []}
    ],
}


LOOK = {"sql": "SELECT count() AS n FROM traces WHERE timestamp >= {window_start:DateTime64(6, 'UTC')}", "purpose": "x"}
FAILURES = [
    pytest.param(text('{"rivals": [{"fin'), "fit the schema", id="malformed JSON"),
    pytest.param(says({"verdict": "all is well"}), "fit the schema", id="another schema"),
    pytest.param(text("I would rather not."), "fit the schema", id="words"),
    pytest.param(text(""), "empty", id="nothing"),
    pytest.param(Answer(refusal="No."), "declined", id="a refusal"),
    pytest.param(text("", finish="content_filter"), "filtered", id="a filter"),
    pytest.param(text('{"rivals"', finish="length"), "cut off", id="too long an answer"),
    pytest.param(failing(400), "HTTP 400", id="400"),
    pytest.param(failing(429, Retry_After="0.01"), "HTTP 429", id="429"),
    pytest.param(failing(500), "HTTP 500", id="500"),
    pytest.param(Answer(content="x" * 300, fault="stall"), "within", id="a stalled answer"),
    pytest.param(Answer(content="x" * 300, fault="drip"), "within", id="a dripping answer"),
    pytest.param(Answer(content="x" * 300, fault="cut"), "connection was cut", id="a cut connection"),
    pytest.param(Answer(fault="not_json"), "no chat completion", id="HTML"),
    pytest.param(tool_call("drop_table", {"table": "traces"}), "", id="a tool that nobody offered"),
]


@pytest.mark.long
@pytest.mark.parametrize("planned", [False, True], ids=["from the start", "once it has planned"])
@pytest.mark.parametrize(("failure", "told"), FAILURES)
def test_whatever_a_model_answers_the_report_is_the_rules(
    url: str, by_rules: Report, monkeypatch: pytest.MonkeyPatch, failure: Answer, told: str, planned: bool
) -> None:
    """Once it has planned, the analyst, the critic and the writer get the failure; else the planner does too."""

    def script(request: Request) -> Answer:
        if request.is_probe:
            return says({"ready": "yes"})
        return says(PLAN) if planned and kind_of(request) == "plan" else failure

    report, server = with_a_model(url, script, monkeypatch, model_timeout=0.5)
    assert the_rules(report) == the_rules(by_rules)
    assert verify(url, report).ok
    assert report.summary is None
    assert not any(one.worded for one in report.findings)
    named = ["An open question was not looked into" if planned else "Planned by rules", "Doubted by rules alone"]
    for fallback in (*named, "Summarised by rules", "Explained by rules"):
        [note] = [note for note in report.coverage.notes if note.startswith(fallback)]
        assert told in note or "gave no answer" in note, note
    assert any(told in note for note in report.coverage.notes)
    kinds = {kind_of(request) for request in server.asked}
    assert {"rivals", "looks" if planned else "plan"} <= kinds


def test_a_model_that_hangs_on_each_call_ends_within_the_seconds_of_the_run(
    url: str, by_rules: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    hanging = Answer(content="x" * 300, fault="stall")
    report, server = with_a_model(url, [hanging], monkeypatch, model_timeout=60, model_budget=ModelBudget(seconds=1))
    assert the_rules(report) == the_rules(by_rules)
    assert verify(url, report).ok
    assert len(server.requests) == 1
    told = "\n".join(report.coverage.notes)
    assert "Planned by rules: the model did not answer within 1 s." in told
    for fallback in ("Doubted by rules alone", "Summarised by rules", "Explained by rules"):
        assert f"{fallback}: the model was not asked: the run may wait for it 1 s." in told


@pytest.mark.long
def test_invented_ids_tables_and_numbers_go_nowhere(
    url: str, by_rules: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQL that is refused five times, then an answer with ids, tables, traces and figures that nobody has seen."""
    refused = ["SELECT * FROM system.users", "SELECT * FROM invented", "SELECT 1; SELECT 2", "DROP TABLE traces",
               "SELECT * FROM url('http://127.0.0.1/')"]  # fmt: skip
    invented = "Trace deadbeef-0001 of table orders_archive failed 4711 times."
    told = {
        "plan": PLAN,
        "conclusion": {
            "verdict": "supported", "answer": [{"text": invented, "evidence": ["q00000000", "deadbeef"]}],
            "proposals": [{"metric": "error_rate", "direction": "hotspot",
                           "segment": [{"dimension": "orders_archive", "value": "1"}]}],
            "reading": {"metric": "invented_rate", "segment": []},
        },
        "rivals": {"rivals": [{"finding": "f99", "test": "leave_out", "dimension": "user_id", "value": "nobody",
                               "first": 0, "last": 0}]},
        "summary": {"sentences": [{"text": invented, "about": [1, 99, -1]}]},
        "explanation": {"cause": [invented], "recommendation": [invented],
                        "edit": {"text": "p9", "find": "x", "replace": "y"}},
        "anew": {"sentences": [invented]},
    }  # fmt: skip

    def script(request: Request) -> Answer:
        if request.is_probe:
            return says({"ready": "yes"})
        kind = kind_of(request)
        if kind != "looks":
            return says(told[kind])
        said = sum(message["role"] == "assistant" for message in request.body["messages"])
        return tool_call("run_sql", {"sql": refused[said], "purpose": "x"}) if said < 5 else text("Enough.")

    report, server = with_a_model(url, script, monkeypatch)
    assert the_rules(report) == the_rules(by_rules)
    assert verify(url, report).ok
    looks = [request for request in server.asked if kind_of(request) == "looks"]
    assert looks[-1].prompt.count("Refused: ") == 5
    [asked] = report.investigations
    assert (asked.verdict, asked.answer, asked.taxonomy, asked.findings) == ("open", "", None, [])
    shown = report.model_dump_json(exclude={"run"})
    for word in ("deadbeef", "orders_archive", "4711", "invented"):
        assert word not in shown
