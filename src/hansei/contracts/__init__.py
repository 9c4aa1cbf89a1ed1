"""Plain data that every floor shares: the request, the time spans, evidence, findings and the report.

Nothing here reads a database, a model or a file, and nothing here imports from the floors above.
"""

from hansei.contracts.evidence import Evidence, hash_result
from hansei.contracts.finding import (
    DIMENSIONS,
    SEVERITIES,
    Check,
    Comparison,
    Direction,
    Echo,
    Estimate,
    Finding,
    Gain,
    Impact,
    Kind,
    Segment,
    Severity,
    TextChange,
    Unit,
    Verdict,
    Wording,
)
from hansei.contracts.investigation import Category, Investigation, Taxonomy
from hansei.contracts.overview import (
    Change,
    DayValue,
    Excerpt,
    ExcerptLine,
    Flow,
    Flows,
    Health,
    HeldAgainstPeople,
    Passes,
    Sign,
    Step,
    Transition,
)
from hansei.contracts.progress import Progress
from hansei.contracts.report import (
    SCHEMA_VERSION,
    Count,
    Coverage,
    DetectorStatus,
    Figure,
    PlanItem,
    Report,
    Run,
    Screening,
)
from hansei.contracts.request import Request
from hansei.contracts.window import Periods, Window, parse_duration, parse_instant

__all__ = [
    "DIMENSIONS", "SCHEMA_VERSION", "SEVERITIES", "Category", "Change", "Check", "Comparison", "Count", "Coverage",
    "DayValue", "DetectorStatus", "Direction", "Echo", "Estimate", "Evidence", "Excerpt", "ExcerptLine", "Figure",
    "Finding", "Flow", "Flows", "Gain", "Health", "HeldAgainstPeople", "Impact", "Investigation", "Kind", "Passes",
    "Periods", "PlanItem", "Progress", "Report", "Request", "Run", "Screening", "Segment", "Severity", "Sign", "Step",
    "Taxonomy", "TextChange", "Transition", "Unit", "Verdict", "Window", "Wording", "hash_result", "parse_duration",
    "parse_instant",
]  # fmt: skip
