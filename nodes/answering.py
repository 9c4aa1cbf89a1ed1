"""answering: a follow-up question is looked up, doubted and told, on just what it needs.

Three nodes in a row, as for a report: `inquirer` measures like the analyst, `examiner` derives the same figures again
like the critic, `answerer` tells what came out like the writer. All numbers are computed from the queries' answers.
"""

from __future__ import annotations

from typing import Any

from langchain_core.messages import AIMessage
from langgraph.runtime import Runtime
from typing_extensions import TypedDict

from hansei.context import Context
from hansei.contracts import Evidence, Report
from hansei.contracts.answers import Answer
from hansei.contracts.asks import ASK, Named, Trace
from hansei.contracts.spent import Usage
from hansei.contracts.writes import WriteOutcome
from hansei.errors import ConnectionFailed, HanseiError
from hansei.nodes.scope import Costs, Scope, Steps, bill, context_of, dataset_of, many
from hansei.nodes.unanswered import unanswered
from hansei.tools.at_once import at_once
from hansei.tools.conversation.answering import answered
from hansei.tools.conversation.looking import doubts, looks
from hansei.tools.conversation.naming import Unclear
from hansei.tools.conversation.showing import as_markdown
from hansei.tools.conversation.verifying import EXCERPT
from hansei.tools.langfuse.masking import mask, unmasked
from hansei.tools.langfuse.trace_excerpt import excerpt
from hansei.tools.langfuse.trace_tree import read_tree


class AnsweringInput(TypedDict, total=False):
    """The question as it was understood, and the report that it is about."""

    scope: Scope
    report: dict[str, Any]
    inquiry: dict[str, Any]
    named: dict[str, Any]
    costs: Costs
    outcome: dict[str, Any]


_NO_WRITES: dict[str, Any] = {"writes": {}, "decision": {}, "outcome": {}}
"""Of a request to write nothing is left on the thread but its answer; one that was given up for another leaves none."""


def inquirer(state: AnsweringInput, runtime: Runtime[Context]) -> dict[str, Any]:
    """Asks the analyst's queries. What cannot be measured becomes an answer that says so.

    Raises:
        ConnectionFailed: ClickHouse is gone; the run can be resumed from here.
    """
    inquiry, report = state["inquiry"], Report.model_validate(state["report"])
    asked, number = ASK.validate_python(inquiry["ask"]), int(inquiry["number"])
    steps = Steps(runtime, "inquirer", f"Looking up: {asked.form}")
    # A conversation may go on for long: each answer has the run's budget to itself.
    dataset = dataset_of({**state["scope"], "run_id": f"{state['scope']['run_id']} q{number}"}, runtime)
    shown = ""
    try:
        found, failed = at_once(looks(asked, report, dataset, number))
        if failed is not None:
            raise failed
        evidence = [item for items in found for item in items or []]
        if isinstance(asked, Trace):
            masking = mask if context_of(runtime).masking else unmasked
            shown = excerpt(read_tree(dataset, asked.trace), EXCERPT, masking=masking).text
    except (Unclear, HanseiError) as error:
        return {"inquiry": unanswered(state, report, error, steps), "costs": bill("inquirer", dataset.reader)}
    steps.finished(many(len(evidence), "query", "queries"), rows_read=sum(item.rows_read for item in evidence))
    return {
        "inquiry": {**inquiry, "evidence": [item.model_dump(mode="json") for item in evidence], "excerpt": shown},
        "costs": bill("inquirer", dataset.reader),
    }


def examiner(state: AnsweringInput, runtime: Runtime[Context]) -> dict[str, Any]:
    """Asks the critic's queries: the same figures from rows deduplicated without FINAL, by a flat aggregate."""
    inquiry, report = state["inquiry"], Report.model_validate(state["report"])
    asked, number = ASK.validate_python(inquiry["ask"]), int(inquiry["number"])
    evidence = [Evidence.model_validate(item) for item in inquiry["evidence"]]
    steps = Steps(runtime, "examiner", "Deriving the figures again")
    dataset = dataset_of({**state["scope"], "run_id": f"{state['scope']['run_id']} q{number}"}, runtime)
    answers, failed = at_once(doubts(asked, report, dataset, number, evidence))
    if failed is not None and isinstance(failed, ConnectionFailed):
        raise failed
    again = [answer for answer in answers if answer is not None]
    steps.finished(f"{many(len(again), 'figure', 'figures')} derived again")
    kept = [*inquiry["evidence"], *(item.model_dump(mode="json") for item in again)]
    return {"inquiry": {**inquiry, "evidence": kept}, "costs": bill("examiner", dataset.reader)}


def answerer(state: AnsweringInput, runtime: Runtime[Context]) -> dict[str, Any]:
    """Tells the answer, keeps it with its evidence, and remembers what was named."""
    inquiry, report = state["inquiry"], Report.model_validate(state["report"])
    steps = Steps(runtime, "answerer", "Answering")
    if "answer" in inquiry:
        answer = Answer.model_validate(inquiry["answer"])
    else:
        outcome = WriteOutcome.model_validate(state["outcome"]) if state.get("outcome") else None
        answer = answered(
            ASK.validate_python(inquiry["ask"]), report,
            [Evidence.model_validate(item) for item in inquiry.get("evidence", [])], number=int(inquiry["number"]),
            question=inquiry["question"], by=inquiry["by"], base_url=context_of(runtime).langfuse_base_url,
            excerpt=inquiry.get("excerpt", ""), outcome=outcome,
        )  # fmt: skip
    if inquiry.get("usage"):
        used = Usage.model_validate(inquiry["usage"])
        answer = answer.model_copy(update={"usage": used, "notes": inquiry.get("notes", [])})
    steps.finished("answered" if answer.ask else "told what can be asked")
    before = Named.model_validate(state.get("named") or {})
    named = answer.named if answer.ask is None else before.after(answer.named)
    return {
        "answers": [answer.model_dump(mode="json")],
        "named": named.model_dump(),
        "inquiry": {},
        **_NO_WRITES,
        "messages": [AIMessage(content=as_markdown(answer, report.language))],
    }
