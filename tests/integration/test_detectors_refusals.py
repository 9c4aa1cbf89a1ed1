"""Refusals and empty answers, beside what only looks like one."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.support.faults import answers, on_step
from tests.support.in_memory import Analyse
from tests.support.schemas import both
from tests.support.world import PERIODS, make_world

from hansei.demo.tables import Schema
from hansei.tools.clickhouse import open_writer
from hansei.tools.playbook.texts import REFUSES, SAYS_NOTHING

pytestmark = pytest.mark.long

REFUSALS = [
    "I'm sorry, but I can't help with that request.",
    "I’m sorry, I can’t assist with that.",
    "I cannot provide medical advice.",
    "Unfortunately, I am unable to answer this question.",
    "As an AI language model, I cannot comply with this.",
    '{"role": "assistant", "content": "I\'m sorry, but I cannot share that."}',
    "申し訳ございませんが、そのご質問にはお答えできません。",
    "恐れ入りますが、ご対応いたしかねます。",
    "Es tut mir leid, aber dabei kann ich Ihnen leider nicht helfen.",
    "Je suis désolé, mais je ne peux pas vous aider avec cela.",
    "Lo siento, pero no puedo ayudar con esa solicitud.",
    "很抱歉，我无法提供该信息。",
    "죄송하지만 그 요청은 도와드릴 수 없습니다.",
]
ANSWERS = [
    "I'm sorry to hear that your parcel is late. It left our warehouse on Monday.",
    "Removed tags are fine, but worn soles cannot be returned.",
    "You can't help but like the larger size.",
    "I can help with that: your order is on its way.",
    "The page says: I cannot provide a date.",
    "ご不便をおかけしました。無料で修理いたします。",
    "Leider ist das Paket noch nicht angekommen; wir schicken Ersatz.",
    "<b>Sorry</b> \u202e for the wait \U0001f469",
    "x" * 2_000_000,
]
EMPTY = ['""', "  \n ", "null", '{"role": "assistant", "content": ""}', '{"role":"assistant","content":null}']
FULL = [
    '{"role":"assistant","content":null,"tool_calls":[{"id":"1"}]}',
    "[]",
    "0",
    '{"content": "ok"}',
    '{"content": ""',
]


@pytest.mark.parametrize(
    ("condition", "yes", "no"), [(REFUSES, REFUSALS, ANSWERS), (SAYS_NOTHING, EMPTY, FULL)], ids=["refuses", "empty"]
)
def test_what_the_patterns_find(condition: str, yes: list[str], no: list[str]) -> None:
    client = open_writer("chdb://")
    sql = f"SELECT output, {condition} FROM (SELECT arrayJoin({{texts:Array(String)}}) AS output)"
    found = client.query(sql, parameters={"texts": [*yes, *no]}).result_rows
    client.close()
    assert [text[:80] for text, hit in found if hit] == [text[:80] for text in yes]


@pytest.mark.parametrize("schema", both("v4"))
@pytest.mark.parametrize(
    ("text", "metric"), [(REFUSALS[0], "refusal_rate"), (REFUSALS[6], "refusal_rate"), (EMPTY[3], "empty_answer_rate")]
)
def test_answers_that_are_none(engine: Analyse, schema: Schema, text: str, metric: str) -> None:
    rows = make_world(on_step("support", "answer", answers(text), day=3, share=0.2))
    (found,) = engine(rows, schema).findings
    assert (found.kind, found.metric, found.direction) == ("silent_failure", metric, "regression")
    assert found.segment in ({"observation_name": "answer"}, {"prompt_name": "answer", "prompt_version": "6"})
    assert found.onset == PERIODS.window.start + timedelta(days=3)
    for estimate, span in ((found.current, PERIODS.window), (found.baseline, PERIODS.baseline)):
        calls = [row for row in rows.observations if row.name == "answer" and span.start <= row.start_time < span.end]
        assert estimate is not None
        assert (estimate.n, estimate.value) == (len(calls), sum(row.output == text for row in calls) / len(calls))


def test_a_step_that_refuses_all_the_time_stands_out(engine: Analyse) -> None:
    rows = make_world(on_step("research", "plan", answers(REFUSALS[2]), day=-7, share=0.4))
    told = [(finding.direction, finding.metric) for finding in engine(rows, "v4").findings]
    assert told == [("hotspot", "refusal_rate")]


def test_a_step_that_no_longer_refuses_is_an_improvement(engine: Analyse) -> None:
    rows = make_world(
        on_step("support", "answer", answers(REFUSALS[1]), day=-7, share=0.3),
        on_step("support", "answer", answers("ok"), day=2),
    )
    told = [(finding.direction, finding.metric) for finding in engine(rows, "v3").findings]
    assert told == [("improvement", "refusal_rate")]


def test_apologies_and_calls_of_tools_are_neither(engine: Analyse) -> None:
    rows = make_world(
        on_step("support", "answer", answers(ANSWERS[0]), day=2), on_step("research", "plan", answers(FULL[0]), day=2)
    )
    assert engine(rows, "v3").findings == []
