"""Checks without a model: which there are, and those that SQL can make, over any number of traces at once.

What counts as a refusal, as cut off, as a repetition is what the playbook's detectors count; its texts are used here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from hansei.contracts.evaluation import Criterion, Verdict
from hansei.errors import UsageError
from hansei.tools.evaluation import text_checks
from hansei.tools.evaluation.texts import AT_ONCE, TraceTexts, read_trace_texts
from hansei.tools.langfuse.dataset import Dataset
from hansei.tools.langfuse.masking import Mask
from hansei.tools.langfuse.relations import Needs
from hansei.tools.langfuse.untrusted import one_line
from hansei.tools.playbook import loop, truncation
from hansei.tools.playbook.texts import (
    ANSWERED,
    FINDS_NOTHING,
    LOOKS_FAILED,
    QUIET,
    REFUSES,
    REPEATS,
    SAYS_NOTHING,
    SEARCHES,
)

NOT_APPLICABLE = "not_applicable"
LONGEST_QUOTE = 200
IN_SQL = 5_000
"""Traces in one query that reads no more than it tells."""


@dataclass(frozen=True)
class Check:
    """A check.

    Args:
        definition: what it means to fail it, in one sentence.
        way: how it is made: by SQL over the trace's steps, over the trace as a whole or over repeated calls; or by its
            texts.
        applies, fails: SQL over steps; `fails` is looked at where it applies. Over a trace: `applies` is a column.
        shows: the column whose text shows it.
        parameters: name → meaning.
        needed: names of those parameters without which there is nothing to check.
    """

    definition: str
    way: Literal["steps", "trace", "calls", "texts"]
    applies: str = "1"
    fails: str = ""
    shows: str = "output"
    parameters: Mapping[str, str] = field(default_factory=dict)
    needed: tuple[str, ...] = ()


CHECKS: dict[str, Check] = {
    "error": Check("A step of the trace ended at level ERROR.", "steps", "1", "level = 'ERROR'", "status_message"),
    "error_in_output": Check(
        "A tool says that all is well, although its output is an error message.", "steps", QUIET, LOOKS_FAILED
    ),
    "empty_answer": Check("The model answers nothing and asks for no tool.", "steps", ANSWERED, SAYS_NOTHING),
    "refusal": Check("The model begins its answer by refusing.", "steps", ANSWERED, REFUSES),
    "truncation": Check(
        "An answer ends because of the limit on tokens.", "steps", truncation.RATE.where, str(truncation.RATE.y)
    ),
    "empty_retrieval": Check("A search ends well and finds nothing.", "steps", SEARCHES, FINDS_NOTHING),
    "repeated_call": Check(
        "A tool is called again and again with the same input, or nearly the same.", "calls",
        parameters={"repeats": f"calls that count as too many; default: {REPEATS}"},
    ),
    "latency_limit": Check(
        "The trace takes longer than its limit.", "trace", "latency_ms / 1000",
        parameters={"seconds": "the limit"}, needed=("seconds",),
    ),
    "cost_limit": Check(
        "The trace costs more than its limit.", "trace", "toFloat64(total_cost)",
        parameters={"usd": "the limit, in US dollars"}, needed=("usd",),
    ),
    "valid_json": Check(
        "An answer that should be JSON, or of a schema, is not.", "texts",
        parameters={
            "step": "name of the steps whose output must be JSON; default: model calls whose output begins as JSON",
            "schema": "a JSON schema: type, required, properties, items, enum, additionalProperties are looked at",
        },
    ),
    "language": Check("The answer is in another language than the question.", "texts"),
    "personal_data": Check("The answer holds a secret, an e-mail address, a card, account or phone number.", "texts"),
    "unused_retrieval": Check("Something was retrieved, and nothing of it is in the answer.", "texts"),
}  # fmt: skip
"""By name."""

DEFAULT = tuple(name for name, check in CHECKS.items() if not check.needed)
"""Those that need nothing to be said."""


def default_criteria() -> list[Criterion]:
    """Criteria for all checks that need no parameter."""
    return [Criterion(name=name, kind="code", check=name, definition=CHECKS[name].definition) for name in DEFAULT]


def checked_criterion(criterion: Criterion) -> Criterion:
    """A code criterion whose check exists and whose parameters fit.

    Raises:
        UsageError: they do not.
    """
    if criterion.check is None:
        return criterion
    if criterion.check not in CHECKS:
        raise UsageError(
            f"The criterion “{criterion.name}” names a check that does not exist.", f"Checks are: {', '.join(CHECKS)}."
        )
    check, given = CHECKS[criterion.check], criterion.parameters
    unknown, missing = sorted(set(given) - set(check.parameters)), sorted(set(check.needed) - set(given))
    if unknown or missing:
        raise UsageError(
            f"The criterion “{criterion.name}” " + (f"lacks {missing[0]}." if missing else f"has no {unknown[0]!r}."),
            "Its parameters: "
            + ("; ".join(f"{key}: {told}" for key, told in check.parameters.items()) or "none")
            + ".",
        )
    for key, value in given.items():
        fits = {"step": str, "schema": dict}.get(key)
        number = isinstance(value, int | float) and not isinstance(value, bool) and value > 0
        if not (isinstance(value, fits) if fits else number):
            raise UsageError(
                f"The criterion “{criterion.name}” has a {key} that does not fit.", f"It is {check.parameters[key]}."
            )
    return criterion


def check_traces(
    dataset: Dataset, criteria: Sequence[Criterion], trace_ids: Sequence[str], masking: Mask
) -> Iterator[Verdict]:
    """The verdicts of code criteria, one for each criterion and trace.

    Raises:
        HanseiError: ClickHouse cannot be asked.
    """
    ways: dict[str, list[Criterion]] = {}
    for criterion in criteria:
        if criterion.check is not None:
            ways.setdefault(CHECKS[criterion.check].way, []).append(criterion)
    for start in range(0, len(trace_ids), IN_SQL):
        some = trace_ids[start : start + IN_SQL]
        if "steps" in ways:
            yield from _by_steps(dataset, ways["steps"], some, masking)
        for criterion in ways.get("calls", ()):
            yield from _by_calls(dataset, criterion, some, masking)
        if "trace" in ways:
            yield from _by_totals(dataset, ways["trace"], some)
    if "texts" not in ways:
        return
    steps = [one.parameters["step"] for one in ways["texts"] if "step" in one.parameters]
    for start in range(0, len(trace_ids), AT_ONCE):
        some = trace_ids[start : start + AT_ONCE]
        read = read_trace_texts(dataset, some, steps)
        for criterion in ways["texts"]:
            for trace_id in some:
                yield _by_texts(criterion, trace_id, read.get(trace_id), masking)


def _by_steps(dataset: Dataset, criteria: Sequence[Criterion], some: Sequence[str], masking: Mask) -> Iterator[Verdict]:
    columns = []
    for i, criterion in enumerate(criteria):
        check = CHECKS[str(criterion.check)]
        both = f"({check.applies}) AND ({check.fails})"
        columns += [
            f"countIf({check.applies}) AS a{i}",
            f"argMinIf(id, (start_time, id), {both}) AS o{i}",
            f"argMinIf(leftUTF8(toValidUTF8({check.shows}), 400), (start_time, id), {both}) AS q{i}",
            f"countIf({both}) AS f{i}",
        ]
    sql = f"""SELECT trace_id, {", ".join(columns)}
FROM observations WHERE trace_id IN {{traces:Array(String)}} GROUP BY trace_id ORDER BY trace_id"""
    rows = _rows(dataset, sql, ("observations",), some)
    for i, criterion in enumerate(criteria):
        for trace_id in some:
            row = rows.get(trace_id, {})
            if not row.get(f"a{i}"):
                yield _verdict(criterion, trace_id, None)
            elif row[f"f{i}"]:
                quote = one_line(str(row[f"q{i}"]), LONGEST_QUOTE, masking)
                times = f"{int(row[f'f{i}']):,} of {int(row[f'a{i}']):,} steps"
                yield _verdict(criterion, trace_id, False, quote, times, str(row[f"o{i}"]))
            else:
                yield _verdict(criterion, trace_id, True)


def _by_calls(dataset: Dataset, criterion: Criterion, some: Sequence[str], masking: Mask) -> Iterator[Verdict]:
    sql = f"""SELECT trace_id, max(repeats) AS most, argMax(leftUTF8(toValidUTF8(input), 400), repeats) AS shown,
  argMax(name, repeats) AS tool
FROM ({loop.RATE.source}) WHERE trace_id IN {{traces:Array(String)}} GROUP BY trace_id ORDER BY trace_id"""
    rows = _rows(dataset, sql, ("observations",), some, Needs(trace=True))
    limit = float(criterion.parameters.get("repeats", REPEATS))
    for trace_id in some:
        row = rows.get(trace_id)
        if row is None:
            yield _verdict(criterion, trace_id, None)
        elif row["most"] >= limit:
            quote = one_line(str(row["shown"]), LONGEST_QUOTE, masking)
            tool = one_line(str(row["tool"]), 60, masking)
            yield _verdict(criterion, trace_id, False, quote, f"{tool} is called so {int(row['most']):,} times")
        else:
            yield _verdict(criterion, trace_id, True)


def _by_totals(dataset: Dataset, criteria: Sequence[Criterion], some: Sequence[str]) -> Iterator[Verdict]:
    columns = ", ".join(f"{CHECKS[str(c.check)].applies} AS v{i}" for i, c in enumerate(criteria))
    sql = f"SELECT id AS trace_id, {columns} FROM traces WHERE id IN {{traces:Array(String)}} ORDER BY id"
    rows = _rows(dataset, sql, ("traces",), some, Needs(totals=True))
    for i, criterion in enumerate(criteria):
        [(unit, limit)] = criterion.parameters.items()
        for trace_id in some:
            value = rows.get(trace_id, {}).get(f"v{i}")
            if value is None:
                yield _verdict(criterion, trace_id, None)
            else:
                told = f"{value:,.3f} {unit}, the limit is {limit:g}"
                yield _verdict(criterion, trace_id, bool(value <= limit), reason="" if value <= limit else told)


def _by_texts(criterion: Criterion, trace_id: str, texts: TraceTexts | None, masking: Mask) -> Verdict:
    outcome = None if texts is None else text_checks.outcome(str(criterion.check), texts, criterion.parameters)
    if outcome is None:
        return _verdict(criterion, trace_id, None)
    quote = one_line(outcome.quote, LONGEST_QUOTE, masking) if outcome.quote else ""
    return _verdict(criterion, trace_id, outcome.passes, quote, outcome.reason, outcome.observation_id)


def _rows(
    dataset: Dataset, sql: str, relations: Sequence[str], some: Sequence[str], needs: Needs | None = None
) -> dict[str, dict[str, Any]]:
    bound = dataset.bind(sql, relations, needs or Needs())
    since = dataset.periods.window.start
    found = dataset.ask("checks", "checks", bound, {"traces": list(some)}, since=since)
    return {str(row["trace_id"]): row for row in found.records()}


def _verdict(
    criterion: Criterion, trace_id: str, value: bool | None, quote: str = "", reason: str = "", step: str | None = None
) -> Verdict:
    return Verdict(
        trace_id=trace_id, observation_id=step, criterion=criterion.name, version=criterion.version, value=value,
        unscored="" if value is not None else NOT_APPLICABLE, quote=quote, reason=reason,
    )  # fmt: skip
