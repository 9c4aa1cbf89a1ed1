"""writer: puts the report together.

Rule policy: the findings' words come from their detectors' templates, the headline and the follow-up questions from the
findings' numbers.

Model policy: see `hansei.nodes.writing`. It is asked only when the context names a model.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, NotRequired

from langchain_core.messages import AIMessage
from langgraph.runtime import Runtime
from typing_extensions import TypedDict

from hansei import __version__
from hansei.context import Context
from hansei.contracts import Evidence, Finding, Periods, PlanItem, Report, Run
from hansei.contracts.since import Since
from hansei.nodes.again import Remembered, known_of, record, since_of, to_measure
from hansei.nodes.inquiries import investigations_of
from hansei.nodes.scope import (
    Costs,
    Scope,
    Screened,
    Steps,
    context_of,
    dataset_of,
    drafts_of,
    facts_of,
    place_of,
    spent_by,
    statuses,
)
from hansei.nodes.writing import MOST_TOLD, write
from hansei.tools.langfuse.coverage import coverage_of
from hansei.tools.langfuse.tracing import trace_url
from hansei.tools.language_model import endpoint_of, model_meter_of
from hansei.tools.language_model.usage import by_node, used_in
from hansei.tools.ledger.judge import since_last
from hansei.tools.playbook.conclude import conclude
from hansei.tools.playbook.multiplicity import FALSE_DISCOVERY_RATE
from hansei.tools.playbook.overview import Overview, read_excerpts, read_instructions
from hansei.tools.playbook.proposals import conclude_proposals
from hansei.tools.report.compose import compose


class WriterInput(TypedDict):
    """Everything that was found out."""

    scope: Scope
    run: dict[str, Any]
    drafts: dict[str, dict[str, Any]]
    screened: dict[str, Screened]
    plan: list[dict[str, Any]]
    costs: Costs
    usage: dict[str, Any]
    proposed: dict[str, dict[str, Any]]
    investigations: dict[str, Any]
    remembered: NotRequired[Remembered | None]
    again: NotRequired[dict[str, list[dict[str, Any]]]]


class WriterOutput(TypedDict):
    """The report, and a short message about it for a chat."""

    report: dict[str, Any]
    messages: list[Any]


def writer(state: WriterInput, runtime: Runtime[Context]) -> dict[str, Any]:
    """Computes the findings a last time and composes the report."""
    steps = Steps(runtime, "writer", "Writing the report")
    scope = state["scope"]
    evidence = [Evidence.model_validate(item) for item in scope["coverage"]]
    coverage = coverage_of(evidence, str(scope["adapter"]["version"]), statuses(state["screened"]), scope["notes"])
    drafts = drafts_of(state["drafts"])
    slices = {name: entry["slices"] for name, entry in state["screened"].items()}
    dataset = dataset_of(scope, runtime, state["costs"])
    overview = Overview(dataset, coverage.observations.window + coverage.observations.baseline)
    changes = overview.health.changes if overview.health else []
    facts = replace(facts_of(scope), changes=tuple(changes))
    conclusion = conclude(drafts, facts, slices, place_of(scope, runtime), scope["language"])
    shown = (*conclusion.findings, *conclusion.refuted)
    since = _since(state, conclusion.findings)
    proposed = conclude_proposals(
        drafts,
        drafts_of(state.get("proposed") or {}),
        facts,
        slices,
        place_of(scope, runtime),
        scope["language"],
    )
    told = {finding.id for finding in shown}
    investigations, unanswered = investigations_of(state.get("investigations") or {}, proposed, told)
    coverage = coverage.model_copy(update={"notes": [*coverage.notes, *unanswered, *overview.notes]})
    asked = [*evidence, *overview.evidence, *(item for finding in shown for item in finding.evidence)]
    asked += [item for one in investigations for item in one.evidence]
    asked += [item for one in investigations for finding in one.findings for item in finding.evidence]
    asked += [item for one in since.items for item in one.evidence] if since else []
    used = used_in(state.get("usage") or {})
    started = datetime.fromisoformat(state["run"]["started_at"])
    run = Run(
        id=state["run"]["id"],
        started_at=started,
        seconds=round((datetime.now(UTC) - started).total_seconds(), 2),
        model=context_of(runtime).model,
        tokens=used.tokens,
        cost=used.usd,
        langfuse_trace_url=trace_url(),
        queries=len(asked),
        rows_read=sum(item.rows_read for item in asked),
        spent=spent_by(scope, runtime, state["costs"]),
    )
    periods = Periods.model_validate(scope["periods"])
    report = compose(
        Report(
            hansei_version=__version__,
            run=run,
            project_id=scope["project_id"],
            window=periods.window,
            baseline=periods.baseline,
            language=scope["language"],
            question=scope["question"],
            coverage=coverage,
            screening={
                "slices": sum(slices.values()),
                "p_values": conclusion.p_values,
                "false_discovery_rate": FALSE_DISCOVERY_RATE,
            },
            findings=conclusion.findings,
            refuted=conclusion.refuted,
            investigations=investigations,
            plan=[PlanItem.model_validate(item) for item in state["plan"]],
            follow_ups=[],
            health=overview.health,
            flows=overview.flows,
            excerpts=read_excerpts(dataset, conclusion.findings),
            since_last=since,
        )
    )
    dataset.reader.let_go(scope["run_id"])
    context = context_of(runtime)
    if endpoint := endpoint_of(context, scope["run_id"]):
        steps.running("Asking the model")
        known = state.get("usage") or {}
        meter = model_meter_of(scope["run_id"], context.model_budget, context.model_prices, known)
        instructions = read_instructions(dataset, report.findings[:MOST_TOLD])
        report, notes = write(report, instructions, endpoint, meter)
        noted = coverage.model_copy(update={"notes": [*coverage.notes, *notes]})
        priced = run.model_copy(
            update={"tokens": meter.used.tokens, "cost": meter.used.usd, "usage": by_node(meter.by_node)}
        )
        report = compose(report.model_copy(update={"coverage": noted, "run": priced}))
    if lost := record(context, report, scope["environments"]):
        noted = report.coverage.model_copy(update={"notes": [*report.coverage.notes, lost]})
        report = compose(report.model_copy(update={"coverage": noted}))
    message = "\n\n".join(part for part in (report.headline, report.summary) if part)
    steps.finished(f"{len(report.findings)} findings, {len(report.refuted)} refuted")
    return {"report": report.model_dump(mode="json"), "messages": [AIMessage(content=message)]}


def _since(state: WriterInput, findings: list[Finding]) -> Since | None:
    """What became of the ledger's findings; None: there is no ledger, or no earlier run in it."""
    remembered = state.get("remembered")
    frame = since_of(remembered)
    if frame is None:
        return None
    known = known_of(remembered)
    again = {
        key: [Evidence.model_validate(item) for item in items] for key, items in (state.get("again") or {}).items()
    }
    started = datetime.fromisoformat(state["run"]["started_at"])
    facts = facts_of(state["scope"])
    return since_last(known, findings, again, facts, frame.run_id, frame.window, started, to_measure(known)[1])
