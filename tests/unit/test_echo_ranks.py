"""Which findings may explain which, by kind and place alone."""

from __future__ import annotations

import itertools

from tests.support.drafts import finding_of

from hansei.contracts import Finding, Kind
from hansei.tools.playbook.echoes import cause_rank, is_twin, may_echo

TOOL = {"tool_name": "lookup_order"}
CALL = {"observation_name": "answer"}


def ranked(one: Finding, other: Finding) -> bool:
    return cause_rank(one) < cause_rank(other)


def test_events_cause_averages_and_steps_cause_traces() -> None:
    failing, dear = finding_of("error", segment=TOOL), finding_of("cost", segment=CALL)
    slow = finding_of("cost", segment={"trace_name": "support"})
    assert ranked(failing, dear)
    assert ranked(dear, slow)
    assert ranked(finding_of("error", segment=TOOL), finding_of("error", segment={"trace_name": "support"}))
    assert ranked(finding_of("error", segment={**TOOL, "release": "2"}), finding_of("error", segment=TOOL))
    assert ranked(finding_of("error", segment=TOOL), finding_of("error", "hotspot", segment=TOOL))


def test_ranks_differ_so_that_no_two_findings_explain_each_other() -> None:
    kinds: tuple[Kind, ...] = ("error", "cost", "loop", "token_usage", "quality", "silent_failure")
    findings = [finding_of(kind, segment=place) for kind in kinds for place in (TOOL, CALL, {"trace_name": "support"})]
    for one, other in itertools.combinations(findings, 2):
        assert cause_rank(one) != cause_rank(other)
        assert not (may_echo(one, other) and may_echo(other, one))
        assert not (is_twin(one, other) and is_twin(other, one))


def test_what_can_echo_what() -> None:
    failing, dear = finding_of("error", segment=TOOL), finding_of("cost", segment={"trace_name": "support"})
    assert may_echo(dear, failing)
    assert not may_echo(failing, dear)
    assert not may_echo(finding_of("traffic", segment={"trace_name": "support"}), failing)
    assert not may_echo(finding_of("cost", "improvement", segment=CALL), failing)
    assert not may_echo(
        finding_of("cost", segment={"trace_name": "research"}), finding_of("error", segment={"trace_name": "support"})
    )
