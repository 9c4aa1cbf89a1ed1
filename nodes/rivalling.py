"""The critic's model policy: rival explanations, each a typed query whose answer a rule judges.

The model sees names out of traces, so it may only choose questions. Of the answers one kind can lower a finding, and
only by its own figures (see `hansei.tools.playbook.rivals`); whatever the model wants, none can raise one. A part that
turns out to carry a change is sent back to be measured, beside the findings as all that a model comes upon: among them
it would take the wider one's place, and count in the others' q-values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import Field

from hansei.contracts import Finding, Investigation
from hansei.errors import ModelFailed
from hansei.nodes.prompts import PROMPTS
from hansei.nodes.scope import Task
from hansei.tools.language_model import Endpoint, ModelAnswer, ModelMeter, ask_fitting
from hansei.tools.language_model.prompt import quotation
from hansei.tools.playbook.catalogue import detector_of
from hansei.tools.playbook.conclude import Draft
from hansei.tools.playbook.drafting import narrowed
from hansei.tools.playbook.parts import kinds_of_traffic, top_users
from hansei.tools.playbook.rivals import PURPOSE, TRAFFIC, Rival, carriers
from hansei.tools.playbook.telling import name
from hansei.tools.report.catalogue import catalogue, say, speaking

MOST_FINDINGS = 8
"""Findings that are doubted so: the first ones."""

MOST_OF_ONE = 3
"""Rival explanations of one finding."""

MOST_LETTERS = 9_000
"""Of findings in the prompt."""

Dimension = Literal[
    "", "trace_name", "environment", "observation_name", "user_id", "hour", "release", "version", "model",
    "prompt_name", "prompt_version", "session_id", "tool_name", "score_name",
]  # fmt: skip


class Proposal(ModelAnswer):
    """One rival explanation."""

    finding: str = Field(description="A mark, such as f1.")
    test: Literal["hold_fixed", "leave_out", "only_hours", "only_weekdays", "sibling"]
    dimension: Dimension = ""
    value: str = Field("", max_length=500)
    first: int = 0
    last: int = 0


class Proposals(ModelAnswer):
    """Rival explanations of the findings."""

    rivals: list[Proposal]


def rivals_of(
    findings: Sequence[Finding], drafts: Mapping[str, Draft], endpoint: Endpoint, meter: ModelMeter
) -> list[tuple[str, Rival]]:
    """What to ask, as the finding's id and the question; without what does not apply.

    Findings that have been doubted so already are left out.

    Raises:
        ModelFailed: there is no answer that could be used.
    """
    doubted = [
        finding
        for finding in findings
        if not any(evidence.purpose.startswith(PURPOSE) for evidence in finding.evidence)
    ][:MOST_FINDINGS]
    if not doubted:
        return []
    marks = {f"f{number}": finding for number, finding in enumerate(doubted, 1)}
    lines = [line for mark, finding in marks.items() for line in _lines(mark, finding)]
    prompt = endpoint.prompts.read(PROMPTS / "critic_rivals.md")

    def messages(letters: int) -> list[tuple[str, str]]:
        told = quotation(lines, most_letters=letters, longest_line=400, masking=endpoint.masking)
        return prompt.filled({"findings": told, "most": str(MOST_OF_ONE), "traffic": ", ".join(TRAFFIC)})

    said = ask_fitting(endpoint, meter, "critic", messages, MOST_LETTERS, Proposals)
    if said.rivals and not any(one.finding in marks for one in said.rivals):
        raise ModelFailed("The model answered with no finding that there is.", reason="invalid")
    chosen: dict[str, list[Rival]] = {}
    for one in said.rivals:
        finding = marks.get(one.finding)
        if finding is None:
            continue
        rival = _rival(one)
        known = chosen.setdefault(finding.id, [])
        metric, candidate = detector_of(finding.metric)[1], drafts[finding.id].candidate
        if rival not in known and len(known) < MOST_OF_ONE and rival.applies_to(metric, candidate):
            known.append(rival)
    return [(id, rival) for id, asked in chosen.items() for rival in asked]


def _rival(one: Proposal) -> Rival:
    """Without what its test does not use, so that two of the same are the same."""
    if one.test in ("only_hours", "only_weekdays"):
        return Rival(one.test, first=one.first, last=one.last)
    return Rival(one.test, one.dimension, one.value if one.test != "hold_fixed" else "")


def _lines(mark: str, finding: Finding) -> list[str]:
    where = ", ".join(f"{key} = {value}" for key, value in finding.segment.items()) or "the whole project"
    lines = [f"{mark}: {finding.kind}, {finding.metric}, {finding.direction}, {where}"]
    if users := top_users(finding.evidence):
        lines.append("users who weigh most: " + ", ".join(str(row["user_id"]) for row in users))
    return lines + [
        f"{' / '.join(str(part) for part in row['stratum'])}: {row['x']} cases, {row['reference_x']} before"
        for row in (kinds_of_traffic(finding.evidence) or ())[:8]
    ]


def parts_alone(
    findings: Sequence[Finding], drafts: Mapping[str, Draft], proposed: Mapping[str, Draft], language: str
) -> list[Task]:
    """Tasks: each part without which a finding is gone, measured by itself.

    Args:
        findings: what stands.
        drafts, proposed: what was measured, by fingerprint; it is not measured again.
        language: of the question that the part is told under.
    """
    tasks: dict[str, Task] = {}
    for finding in findings:
        for part, known, detail in carriers(finding):
            candidate = narrowed(drafts[finding.id].candidate, part, known)
            id = Draft(candidate=candidate).id
            if id in drafts or id in proposed or id in tasks:
                continue
            [(dimension, value)] = part.items()
            with speaking(language):
                place = {"dimension": catalogue().text(f"dimension.{dimension}"), "value": name(value, 40)}
                question = say("rival.alone", title=finding.title, **place)
            told = Investigation(
                id=f"p{id}", question=question, hypothesis="", refuted_by="", verdict="supported", answer=detail
            )
            tasks[id] = {
                "id": told.id, "detector": candidate.detector, "question": question,
                "reason": "without this part the change is gone", "candidates": [candidate.model_dump()],
                "aside": told.model_dump(mode="json"),
            }  # fmt: skip
    return list(tasks.values())
