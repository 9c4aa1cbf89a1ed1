"""What a ledger holds: entries, in the order in which they were written. They are added, never changed.

An entry is a run (what it found and measured) or something that a person said about a finding. What state a finding is
in follows from the entries, see `hansei.tools.ledger.fold`; so two runs that write at the same time cannot spoil each
other's work, and a state can always be explained.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal, Protocol

from pydantic import Field

from hansei.contracts import Estimate, Finding, Window
from hansei.contracts.finding import Comparison, Direction, Kind, Segment, Severity, Strict, Unit
from hansei.contracts.since import EffectVerdict, LedgerState

EntryKind = Literal["run", "mute", "unmute", "note", "acted"]


class Entry(Strict):
    """One entry. `key` says what it is about: the same key twice is one entry."""

    key: str
    scope: str = Field(description="The project, and the environments when not all were looked at: see `scope_of`.")
    kind: EntryKind
    at: datetime = Field(description="When it was written.")
    finding: str | None = Field(None, description="The ledger's id of the finding that a person spoke of.")
    by: str = Field("", description="Who wrote it, as far as the machine knows.")
    body: dict[str, Any]


class Seen(Strict):
    """A finding as a run found it."""

    id: str
    kind: Kind
    metric: str
    unit: Unit
    direction: Direction
    severity: Severity
    segment: Segment
    comparison: Comparison
    parameters: dict[str, float]
    current: Estimate
    expected: Estimate | None
    onset: datetime | None
    excess_traces: float | None
    cost_per_week: float | None
    result_hash: str

    @classmethod
    def of(cls, finding: Finding) -> Seen:
        """What is kept of a report's finding."""
        measured = next((item for item in finding.evidence if item.purpose == "measure"), None)
        return cls(
            **finding.model_dump(
                include={"id", "kind", "metric", "unit", "direction", "severity", "segment", "comparison", "parameters"}
            ),
            current=finding.current,
            expected=finding.baseline,
            onset=finding.onset,
            excess_traces=finding.impact.excess_traces,
            cost_per_week=finding.impact.cost_per_week,
            result_hash=measured.result_hash if measured else "",
        )


class Measured(Strict):
    """A finding of the ledger as a run measured it again."""

    id: str
    state: LedgerState
    now: Estimate | None
    excess_traces: float | None
    excess_cost: float | None
    verdict: EffectVerdict | None
    result_hash: str


class RunEntry(Strict):
    """What a run found. The body of an entry of the kind “run”."""

    run_id: str
    window: Window
    baseline: Window
    found: list[Seen]
    matched: dict[str, str] = Field(description="Finding's id → the ledger's id, of those that were known.")
    measured: list[Measured]


class Store(Protocol):
    """Where entries are kept."""

    @property
    def name(self) -> str:
        """For people; without a password."""
        ...

    def add(self, entry: Entry) -> bool:
        """Keeps an entry for good before it returns; False: one with this key is there already.

        Raises:
            HanseiError: it cannot be written.
        """
        ...

    def entries(self, scope: str | None = None) -> list[Entry]:
        """All entries, or those of a scope, in the order in which they were written.

        Raises:
            HanseiError: it cannot be read.
        """
        ...

    def close(self) -> None: ...


def scope_of(project_id: str, environments: Sequence[str] = ()) -> str:
    """The name of a history: runs over other environments see other findings."""
    if not environments:
        return project_id
    return f"{project_id} [{', '.join(json.dumps(name, ensure_ascii=False) for name in sorted(set(environments)))}]"
