"""Questions on a thread that has a report: each answer is compared with the rows that were written."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command
from pydantic import SecretStr
from tests.support.cli import hansei_here
from tests.support.langfuse_api import KEYS, LangfuseServer
from tests.support.langfuse_state import State
from tests.support.openai_server import KEY, OpenAiServer, failing, structured
from tests.support.otlp_server import refusing_url
from tests.support.schemas import both
from tests.support.world import END, PROJECT, Visit, make_world

from hansei import Context, Report, build_graph
from hansei.contracts.answers import Answer
from hansei.contracts.writes import WritePlan
from hansei.demo import Writer, create_tables
from hansei.demo.rows import Rows
from hansei.graph.threads import begin_thread
from hansei.tools.clickhouse import close_readers, open_reader, open_writer
from hansei.tools.conversation.grammar import understood
from hansei.tools.langfuse.dataset import run_evidence
from hansei.tools.language_model import close_models


def faults(visit: Visit) -> None:
    """From the third day on a tool fails; half of the prompt's calls are of a dearer version."""
    visit.input, visit.output = f"Where is order {visit.at:%H%M}?", "It is on its way."
    if visit.app != "support" or visit.day < 2:
        return
    if visit.random.random() < 0.25:
        visit.steps[1].level, visit.steps[1].status, visit.steps[1].output = "ERROR", "timeout", ""
    if visit.random.random() < 0.5:
        visit.steps[2].prompt = ("answer", 7)
        visit.steps[2].cost *= 2


@pytest.fixture(scope="module")
def world() -> Rows:
    return make_world(faults, per_day=60)


@pytest.fixture(scope="module", params=both("v4"))
def url(request: pytest.FixtureRequest, world: Rows, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    url = f"chdb://{tmp_path_factory.mktemp('asked')}"
    client = open_writer(url)
    create_tables(client, request.param)
    with Writer(client, request.param) as writer:
        writer.write(world)
    client.close()
    yield url
    close_readers(url)


class Thread:
    """A thread with a report, to be asked."""

    def __init__(self, url: str, **settings: Any) -> None:
        self.context = Context(clickhouse_url=SecretStr(url), langfuse_base_url="https://langfuse.example", **settings)
        self.graph = build_graph(InMemorySaver())
        self.config: Any = {"configurable": {"thread_id": "1"}}

    def run(self, **request: Any) -> Report:
        fields = {"project_id": PROJECT, "until": END.isoformat(), **request}
        out = self.graph.invoke(fields, self.config, context=self.context)
        return Report.model_validate(out["report"])

    def ask(self, question: str) -> Answer:
        asked = {"messages": [{"role": "user", "content": question}]}
        out = self.graph.invoke(asked, self.config, context=self.context)
        answer = Answer.model_validate(self.state["answers"][-1])
        assert out["messages"][-1].type == "ai"
        assert answer.text.splitlines()[0] in out["messages"][-1].content
        assert answer.question == question
        return answer

    @property
    def state(self) -> dict[str, Any]:
        return dict(self.graph.get_state(self.config).values)


@pytest.fixture(scope="module")
def thread(url: str) -> Thread:
    asked = Thread(url)
    asked.run()
    return asked


def cell(answer: Answer, row: str, column: str) -> str:
    assert answer.table is not None
    return next(cells[answer.table.columns.index(column)] for cells in answer.table.rows if cells[0] == row)


def test_a_conversation_keeps_the_report_and_answers_with_the_figures_of_the_rows(thread: Thread, world: Rows) -> None:
    before = Report.model_validate(thread.state["report"])
    tool = next(f for f in before.findings if f.segment.get("tool_name") == "lookup_order" and f.kind == "error")

    shown = thread.ask("Show me four traces of the error finding.")
    failed = {row.trace_id for row in world.observations if row.level == "ERROR"}
    assert len(shown.trace_ids) == 4
    assert set(shown.trace_ids) <= failed
    assert shown.trace_urls[0] == f"https://langfuse.example/project/{PROJECT}/traces/{shown.trace_ids[0]}"

    one = thread.ask("the second one")
    assert one.trace_ids == [shown.trace_ids[1]]
    assert "lookup_order" in one.text

    compared = thread.ask("compare v6 and v7 on cost")
    costs: dict[int, list[float]] = {6: [], 7: []}
    for row in world.observations:
        if row.prompt_name == "answer" and row.start_time >= before.window.start and row.total_cost is not None:
            costs[row.prompt_version or 0].append(float(row.total_cost))
    assert cell(compared, "7", "model calls in the window") == str(len(costs[7]))
    assert cell(compared, "7", "Window").startswith(f"${sum(costs[7]) / len(costs[7]):.2g}")
    assert cell(compared, "6", "Window").startswith(f"${sum(costs[6]) / len(costs[6]):.2g}")
    assert "beyond chance (p < 0.001)" in compared.text

    day = thread.ask(f"what changed on the {before.window.start.day + 2}th?")
    assert tool.id in day.finding_ids
    first = thread.ask("tell me about the first one")
    assert first.finding_ids == [day.finding_ids[0]]

    assert Report.model_validate(thread.state["report"]) == before
    assert thread.state["scope"]["periods"]["window"]["start"].startswith(before.window.start.isoformat()[:19])


def test_a_split_tells_whether_it_is_only_one_part(thread: Thread, world: Rows) -> None:
    thread.ask("tell me about the error finding")
    by_model = thread.ask("why not the model?")
    assert by_model.text == "Which model is not recorded for tool “lookup_order”, so this cannot be told."
    only = thread.ask('is it only environment "production"?')
    assert "nothing but “production”" in only.text
    window = [
        row for row in world.observations if row.name == "lookup_order" and row.start_time >= END - timedelta(days=7)
    ]
    users = thread.ask("error rate of tool lookup_order by user")
    assert users.table is not None
    total = sum(int(cells[-1].replace(",", "")) for cells in users.table.rows)
    assert total == len(window)
    assert all(check.passed for check in users.checks)


def test_a_sum_over_traces_is_split_by_what_only_steps_have(thread: Thread, world: Rows) -> None:
    """A trace counts for each tool that it uses: each row is compared with the traces that were written."""
    split = thread.ask("traffic by tool")
    users: dict[str, set[str]] = {}
    for row in world.observations:
        if row.type == "TOOL" and row.start_time >= END - timedelta(days=7):
            users.setdefault(row.name, set()).add(row.trace_id)
    assert split.table is not None
    shown = {cells[0]: cells[-1] for cells in split.table.rows if cells[0] in users}
    assert shown == {tool: f"{len(traces):,}" for tool, traces in users.items()}
    assert "do not add up" in split.text
    assert all(check.passed for check in split.checks)
    assert len(split.checks) == 2
    row = thread.ask("the first one")
    assert row.ask is not None
    assert row.ask.model_dump()["metric"] == "traces_per_day"


def test_what_was_spoken_of_last_is_what_the_next_question_is_about(thread: Thread) -> None:
    """A figure that is no finding takes the place of the finding before it; a list keeps what it was measured by."""
    thread.ask("tell me about the error finding")
    thread.ask("cost over time")
    which = thread.ask("which apps?").ask
    assert which is not None
    assert (which.model_dump()["metric"], which.model_dump()["segment"]) == ("cost_per_trace", {})
    thread.ask("tell me about the error finding")
    second = thread.ask("the second one").ask
    assert second is not None
    assert second.model_dump()["metric"] == "cost_per_trace"
    thread.ask("show me three traces of the error finding")
    shown = [thread.ask(f"the {nth} one").trace_ids for nth in ("second", "third")]
    assert shown[0] != shown[1]


def test_a_rate_says_of_what_it_is(thread: Thread) -> None:
    errors = thread.ask("error rate over time")
    assert errors.text.startswith("Error rate (of steps) of the whole project")
    assert "traces have at least one failing step" in errors.text
    assert "(of calls)" in thread.ask("error rate of tool lookup_order").text


def test_each_query_of_an_answer_can_be_asked_again(thread: Thread, url: str) -> None:
    thread.ask("latency of app support over time")
    answers = [Answer.model_validate(one) for one in thread.state["answers"]]
    evidence = [item for answer in answers for item in answer.evidence]
    assert {"measure", "quantiles", "rederive"} <= {item.purpose for item in answers[-1].evidence}
    assert answers[-1].chart
    reader = open_reader(url)
    try:
        for item in evidence:
            again = run_evidence(reader, item.id, item.purpose, item.sql, item.parameters)
            assert again.result_hash == item.result_hash, item.id
    finally:
        reader.close()


def test_every_question_that_is_suggested_is_answered(thread: Thread) -> None:
    report = Report.model_validate(thread.state["report"])
    for question in report.follow_ups:
        answer = thread.ask(question)
        assert answer.ask is not None, question
        for follow_up in answer.follow_ups:
            understood(follow_up, report, answer.named)


def test_what_cannot_be_answered_costs_nothing_but_words(thread: Thread) -> None:
    number = len(thread.state["answers"])
    for question in ("what about bananas?", "show trace no-such-trace-1", "loops of tool lookup_order by model"):
        answer = thread.ask(question)
        assert answer.ask is None
        assert ("I can answer these forms without a model" in answer.text) == ("bananas" in question)
    assert len(thread.state["answers"]) == number + 3
    assert thread.ask("help").text.count("\n- ") > 10


def test_a_thread_that_is_given_a_project_again_begins_anew(url: str) -> None:
    thread = Thread(url)
    thread.run()
    thread.ask("the second one")
    assert thread.run(question="What is slow?").question == "What is slow?"
    assert thread.state["answers"] == []


def test_a_message_alone_begins_a_thread_when_it_or_the_context_names_the_project(url: str) -> None:
    asked = {"messages": [{"role": "user", "content": f"Why do errors rise in project {PROJECT} in the last 5 days?"}]}
    out = build_graph().invoke(asked, context=Context(clickhouse_url=SecretStr(url)))
    report = Report.model_validate(out["report"])
    assert (report.project_id, report.window.days) == (PROJECT, 5)
    assert report.question == asked["messages"][0]["content"]
    context = Context(clickhouse_url=SecretStr(url), project_id=PROJECT)
    plain = build_graph().invoke({"messages": [{"role": "user", "content": "分析してください"}]}, context=context)
    assert (plain["report"]["question"], plain["report"]["language"]) == (None, "ja")


def test_a_thread_begins_from_a_report_that_was_read(thread: Thread, url: str) -> None:
    read = Thread(url)
    begin_thread(read.graph, read.config, Report.model_validate(thread.state["report"]), read.context)
    fresh = read.ask("error rate of tool lookup_order")
    kept = thread.ask("error rate of tool lookup_order")
    assert fresh.table == kept.table


def test_a_person_asks_for_a_dataset_and_only_their_approval_writes_it(
    thread: Thread, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "LANGFUSE_PUBLIC_KEY" in thread.ask("make a dataset from the error finding").text
    with LangfuseServer(state=State(project_id=PROJECT)) as langfuse:
        for name, value in langfuse.settings.items():
            monkeypatch.setenv(name, value)

        def waiting(question: str) -> WritePlan:
            asked, sent = {"messages": [{"role": "user", "content": question}]}, len(langfuse.named("create_item"))
            (stop,) = thread.graph.invoke(asked, thread.config, context=thread.context)["__interrupt__"]
            assert stop.value["count"] == len(thread.state["writes"]["writes"])
            assert len(langfuse.named("create_item")) == sent
            return WritePlan.model_validate(thread.state["writes"])

        def answer(**decision: Any) -> Answer:
            thread.graph.invoke(Command(resume=decision), thread.config, context=thread.context)
            assert thread.state["writes"] == thread.state["decision"] == thread.state["outcome"] == {}
            return Answer.model_validate(thread.state["answers"][-1])

        shown = thread.ask("show me four of those")
        # What was not approved is given up for the next question.
        waiting("make a dataset of these")
        assert thread.ask("the second one").trace_ids == [shown.trace_ids[1]]
        waiting("これらをLangfuseに送って")
        assert "Nothing was written" in answer(decision="reject").text
        assert not langfuse.state.items
        assert not langfuse.state.datasets
        plan = waiting("make a dataset named “Lookups”")
        first, last = plan.writes[1], plan.writes[-1]
        changed = {**first.content, "body": {**first.content["body"], "input": "as a person wrote it"}}
        edits = [{"key": first.key, "content": changed}, {"key": last.key, "content": None}]
        told = answer(decision="edit", edits=edits, preview_key=plan.key)
        assert told.outcome is not None
        assert (told.outcome.left_out, told.outcome.failed) == ([last.key], [])
        assert set(langfuse.state.items) == {write.key for write in plan.writes[1:-1]}
        assert langfuse.state.items[first.key]["input"] == "as a person wrote it"
        failing = [one for one in langfuse.state.items.values() if one["metadata"]["outcome"] == "failing"]
        assert {one["sourceTraceId"] for one in failing} == set(shown.trace_ids)
        assert langfuse.state.datasets["Lookups"]["projectId"] == PROJECT
        (run,) = told.outcome.runs
        assert f"hansei undo {run}" in told.text
        # The same again adds nothing, and leaves the dataset's own description to its owner.
        langfuse.state.datasets["Lookups"]["description"] = "theirs"
        assert "dataset" not in {write.content["kind"] for write in waiting("make a dataset named “Lookups”").writes}
        answer(decision="reject")
        langfuse.state.items["theirs"] = {**langfuse.state.items[first.key], "id": "theirs"}
        done = hansei_here(tmp_path, "undo", run, "--yes", **langfuse.settings)
        assert (done.returncode, set(langfuse.state.items)) == (0, {"theirs"}), done.stderr
        langfuse.state.project_id = "another"
        assert "keys belong to project “another”" in thread.ask("make a dataset of these").text


def test_a_model_turns_a_free_question_into_a_form_and_enters_no_number(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    thread = Thread(url)
    thread.run()
    rules = thread.ask("error rate of tool lookup_order by environment")
    guess = {
        "form": "breakdown", "metric": "error_rate", "dimension": "environment",
        "segment": [{"dimension": "tool_name", "value": "lookup_order"}],
    }  # fmt: skip
    with OpenAiServer(structured(guess)) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        thread.context = thread.context.model_copy(update={"model": "some-model"})
        # Where Langfuse's prompts cannot be had, the first answer that would have used them says so.
        for name, value in (KEYS | {"LANGFUSE_BASE_URL": refusing_url()}).items():
            monkeypatch.setenv(name, value)
        asked = thread.ask("Might the wobbly order gizmo misbehave just in certain deployments?")
        assert len(asked.notes) == 1
        assert "took the place of Langfuse's" in asked.notes[0]
        assert asked.notes[0] in thread.state["messages"][-1].content
        assert thread.ask("Would the wobbly order gizmo misbehave just in certain deployments?").notes == []
        assert (asked.by, asked.table, asked.text) == ("model", rules.table, rules.text)
        count = len(server.asked)
        assert thread.ask("why?").by == "rules"
        assert len(server.asked) == count
        close_models()
    finding = thread.state["report"]["findings"][0]
    dataset = {"form": "dataset", "finding": finding["id"], "traces": finding["example_trace_ids"], "name": "mine"}
    for script, failure in (
        (structured({**guess, "metric": "moon_phase"}), []), (structured({"form": "none"}), []),
        (structured(dataset), ["The model answered twice with something that does not fit the schema."]),
        ([failing(400)], ["The model answered with HTTP 400."]),
    ):  # fmt: skip
        with OpenAiServer(script) as server:
            monkeypatch.setenv("OPENAI_BASE_URL", server.url)
            unanswered = thread.ask("Might the wobbly gizmo misbehave?")
            assert "I can answer these forms" in unanswered.text
            assert unanswered.notes == failure
            close_models()
