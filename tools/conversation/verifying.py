"""Verification of a conversation: every query of its answers asked again, every answer computed again, all compared."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any

from hansei.contracts import Evidence, Periods, Report
from hansei.contracts.answers import Answer
from hansei.contracts.asks import Trace
from hansei.errors import HanseiError, NoData, PermissionMissing, QueryFailed, QueryRefused, UsageError
from hansei.tools.clickhouse import Reader
from hansei.tools.conversation.answering import answered
from hansei.tools.conversation.naming import Unclear
from hansei.tools.langfuse.dataset import Dataset, run_evidence
from hansei.tools.langfuse.masking import mask, unmasked
from hansei.tools.langfuse.schema import detect
from hansei.tools.langfuse.trace_excerpt import excerpt
from hansei.tools.langfuse.trace_tree import read_tree
from hansei.tools.langfuse.trusted import ReportGuard
from hansei.tools.report.verify import Difference, Verification, answer_of, compare_values

EXCERPT = 3_000
"""Characters of a trace in an answer."""

_EDITED = "something else when the conversation was saved"


def dump_answers(answers: Sequence[Answer], run_id: str) -> dict[str, Any]:
    """The answers on a run's report as plain JSON, with a seal for each."""
    plain = [answer.model_dump(mode="json") for answer in answers]
    return {"run": run_id, "answers": plain, "seals": [_seal(one) for one in plain]}


def read_answers(saved: Any, report: Report) -> tuple[list[Answer], list[Difference]]:
    """The answers of a saved conversation, and those whose seals do not fit.

    Args:
        saved: what `dump_answers` gave, as read from JSON.
        report: the report that was asked about.

    Raises:
        UsageError: it is no conversation, or one on another report.
    """
    remedy = "Give the file that /save wrote in hansei chat, beside its report.json."
    try:
        run, plain = saved["run"], list(saved["answers"])
        answers = [Answer.model_validate(one) for one in plain]
        seals = [str(one) for one in saved.get("seals", [])]
    except (TypeError, KeyError, ValueError, AttributeError):
        raise UsageError("This is no conversation that Hansei saved.", remedy) from None
    if run != report.run.id:
        raise UsageError("The conversation is about the report of another run.", remedy)
    broken = [
        Difference(f"answers[{i}]", "an answer that was edited", _EDITED)
        for i, one in enumerate(plain)
        if i >= len(seals) or seals[i] != _seal(one)
    ]
    if len(seals) > len(plain):
        broken.append(Difference("answers", f"{len(plain)} answers", f"{len(seals)} answers when it was saved"))
    return answers, broken


def verify_answers(
    answers: Sequence[Answer], report: Report, reader: Reader, asked: Callable[[int, int], None] | None = None
) -> Verification:
    """Asks and computes every answer again. What was not understood has no numbers; its seal alone speaks for it.

    Args:
        answers, report: of the conversation.
        reader: a session on the same data.
        asked: told after each query: how many have been asked, of how many.

    Raises:
        NoData, SchemaNotSupported: the database holds nothing of the report's project.
        ConnectionFailed: ClickHouse cannot be asked.
    """
    result = Verification()
    source = detect(reader, reader.target.database, report.project_id)
    periods = Periods(window=report.window, baseline=report.baseline)
    first = report.coverage.evidence[0].parameters if report.coverage.evidence else {}
    environments = tuple(str(name) for name in first.get("environments", []))
    dataset = Dataset(reader, source.adapter, report.project_id, periods, environments)
    guard, of = ReportGuard(reader, report.project_id), sum(len(answer.evidence) for answer in answers)
    for i, answer in enumerate(answers):
        fresh: list[Evidence] = []
        for j, item in enumerate(answer.evidence):
            path = f"answers[{i}].evidence[{j}]"
            try:
                # Anybody may have edited the file: its SQL has to be as harmless as a stranger's.
                admitted = guard.admit(item.sql, item.parameters)
                again = run_evidence(reader, item.id, item.purpose, admitted.sql, admitted.parameters)
            except (QueryFailed, PermissionMissing, QueryRefused) as error:
                result.differences.append(Difference(f"{path}.sql", "a query that answers", error.message))
                again = item
            result.queries += 1
            result.differences += compare_values(answer_of(item), answer_of(again), path, result)
            fresh.append(again)
            if asked is not None:
                asked(result.queries, of)
        if answer.ask is not None:
            result.differences += _computed_again(answer, report, fresh, dataset, f"answers[{i}]", result)
    return result


def _computed_again(
    answer: Answer, report: Report, fresh: Sequence[Evidence], dataset: Dataset, path: str, result: Verification
) -> list[Difference]:
    """What differs from the answer that follows from fresh evidence."""
    assert answer.ask is not None
    base_url = next((url.partition("/project/")[0] for url in answer.trace_urls), None)
    found: list[list[Difference]] = []
    for shown in _excerpts(answer, dataset):
        try:
            again = answered(
                answer.ask, report, fresh, number=answer.number, question=answer.question, base_url=base_url,
                by=answer.by, excerpt=shown, outcome=answer.outcome,
            )  # fmt: skip
        except (Unclear, LookupError, ValueError, TypeError, ArithmeticError) as error:
            return [Difference(path, "an answer that follows from its queries", type(error).__name__)]
        left_out = {"evidence", "usage", "notes"}
        written, computed = (one.model_dump(mode="json", exclude=left_out) for one in (answer, again))
        found.append(compare_values(written, computed, path, result))
    return min(found, key=len)


def _excerpts(answer: Answer, dataset: Dataset) -> list[str]:
    """The trace that an answer shows, as it is read now: masked or not, since the answer does not say which."""
    if not isinstance(answer.ask, Trace):
        return [""]
    try:
        tree = read_tree(dataset, answer.ask.trace)
    except (NoData, HanseiError):
        return [""]
    return [excerpt(tree, EXCERPT, masking=masking).text for masking in (mask, unmasked)]


def _seal(answer: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(answer, sort_keys=True, ensure_ascii=False).encode()).hexdigest()[:16]
