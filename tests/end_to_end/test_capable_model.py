"""A session of a capable model, written by hand (tests/support/sessions), played over the demo's data: it plans, asks
SQL, is refused and corrects itself, looks for what would refute it, reads traces, and names a cause that the rules
cannot: the answers of a prompt's new version send everybody to help pages, the account or the terms."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from pydantic import SecretStr
from tests.support.capable import CapableModel
from tests.support.openai_server import OpenAiServer

from hansei import Context, Report, build_graph
from hansei.demo import make_demo
from hansei.demo.calendar import PERIODS
from hansei.tools.clickhouse import close_readers, open_reader
from hansei.tools.language_model import close_models
from hansei.tools.report.html import render_html
from hansei.tools.report.markdown import render_markdown
from hansei.tools.report.verify import ask_again, compare

pytestmark = pytest.mark.long


@dataclass(frozen=True)
class Session:
    url: str
    report: Report
    model: CapableModel
    server: OpenAiServer


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    url = f"chdb://{tmp_path_factory.mktemp('demo')}?database=langfuse"
    make_demo(url, schema="v4", traces=16_000)
    model = CapableModel("demo_answer_v7")
    with OpenAiServer(model) as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENAI_BASE_URL", server.url)
        context = Context(clickhouse_url=SecretStr(url), model="capable", model_cache=False)
        request = {
            "project_id": "tanuki-outdoor", "until": PERIODS.window.end.isoformat(), "question": model.session["asks"]
        }  # fmt: skip
        result = build_graph().invoke(request, context=context)
        close_models()
    yield Session(url, Report.model_validate(result["report"]), model, server)
    close_readers(url)


def test_the_plan_is_about_the_question(session: Session) -> None:
    planned = {item.id: item for item in session.report.plan}
    assert [item.detector for item in planned.values()] == ["quality", ""]
    assert "refuted by: Answers are in the customer's language" in planned["q1"].reason
    assert "needs: scores, observations" in planned["q1"].reason
    assert session.model.turns[:2] == ["question", "plan"]


def test_refused_sql_is_corrected(session: Session) -> None:
    looks = [request for request in session.server.asked if request.tools]
    assert sorted(looks[0].tools) == ["describe_data", "read_trace", "run_sql", "sample_traces"]
    assert "Refused: " in looks[1].prompt
    assert "prompt_version | japanese_questions" in looks[2].prompt


def test_the_rules_name_the_prompt_and_the_model_the_cause(session: Session) -> None:
    report = session.report
    [disliked] = [one for one in report.findings if one.segment.get("prompt_version") == "7"]
    assert not re.search("help pages|account|terms|terse", f"{disliked.cause} {disliked.summary} {disliked.title}")
    [asked] = report.investigations
    assert asked.verdict == "supported"
    assert asked.answer.startswith("Version 7 answers 100 % of the Japanese questions without any kana")
    assert "The model is not the cause" in asked.answer
    assert "Version 7 sends 100 % of the customers to help pages" in asked.answer
    assert len(asked.evidence) == 5


def test_its_proposal_is_measured_and_doubted_like_any_finding(session: Session) -> None:
    [asked] = session.report.investigations
    [proposed] = asked.findings
    assert proposed.segment["metadata.language"] == "ja"
    assert proposed.verdict == "confirmed"
    assert {"rederived", "mix_shift", "one_user"} <= {check.name for check in proposed.checks}
    assert proposed.effect is not None
    assert proposed.effect < -0.2
    assert proposed.id not in {one.id for one in (*session.report.findings, *session.report.refuted)}


def test_the_shares_come_from_a_fresh_sample(session: Session) -> None:
    [asked] = session.report.investigations
    taxonomy = asked.taxonomy
    assert taxonomy is not None
    assert {one.label for one in taxonomy.categories} == {"answered in another language", "terse and generic answer"}
    [sample] = [item for item in asked.evidence if item.id == taxonomy.sample]
    drawn = {row["trace_id"] for row in sample.records()}
    marked = [id for one in taxonomy.categories for id in one.trace_ids]
    assert set(marked) <= drawn
    assert len(marked) == len(set(marked)) == taxonomy.categories[0].share.n
    learned = "\n".join(request.prompt for request in session.server.asked if "You read traces" in request.prompt)
    assert learned
    assert not any(id in learned for id in marked)
    for one in taxonomy.categories:
        assert one.share.low < one.share.value == len(one.trace_ids) / one.share.n < one.share.high


def test_everything_is_asked_again_by_verify(session: Session) -> None:
    written = session.report.model_dump_json()
    reader = open_reader(session.url)
    answers = ask_again(session.report, reader)
    reader.close()
    found = compare(Report.model_validate_json(written), answers)
    assert found.ok, found.differences
    assert found.queries == session.report.run.queries
    edited = Report.model_validate_json(written)
    taxonomy = edited.investigations[0].taxonomy
    assert taxonomy is not None
    taxonomy.categories[0].share.value = 0.99
    edited.investigations[0].findings[0].current.value = 0.01
    paths = {difference.path for difference in compare(edited, answers).differences}
    assert "investigations[0].taxonomy.categories[0].share.value" in paths
    assert "investigations[0].findings[0].current.value" in paths


def test_it_is_shown_on_the_page_and_counted(session: Session) -> None:
    report = session.report
    for page in (render_html(report), render_markdown(report)):
        assert "Questions that were looked into" in page
        assert "answered in another language" in page
        assert "100 % of the Japanese questions" in page
    analysts = ("looks", "conclusion", "labels", "marks")
    assert report.run.usage["analyst"].calls == sum(turn in analysts for turn in session.model.turns)
    assert report.run.tokens == sum(used.tokens for used in report.run.usage.values())
