"""What else was new when a finding began at the same place: a release, version, model, prompt version or a tool's
definition.

It is no proof of a cause, so it is told as what it is. Something new that the finding's own segment names is left out:
that it came with it is told already.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from hansei.contracts import Change, Finding
from hansei.tools.playbook.kinship import apps_of
from hansei.tools.playbook.telling import name, where
from hansei.tools.report.catalogue import say
from hansei.tools.report.formats import format_moment

_DAY = timedelta(days=1)
_BEFORE = timedelta(hours=6)
"""What was new this long before the first day of a finding may have begun it: traffic comes over step by step."""

_AFTER = timedelta(hours=3)
"""The first hour of a finding is known to a few hours."""

_MOST = 3


def new_then(finding: Finding, changes: Sequence[Change]) -> list[Change]:
    """What was new at the finding's place when it began or shortly before, the nearest to its beginning first.

    It began on its first day, or in its first hour where that is known.
    """
    onset = finding.onset_hour or finding.onset
    if onset is None or finding.direction == "hotspot":
        return []
    last = onset + (_AFTER if finding.onset_hour else _DAY)
    near = [
        change
        for change in changes
        if onset - _BEFORE <= change.first_seen < last and _is_elsewhere(change, finding)
        and _is_near(change, finding)
    ]  # fmt: skip
    nearest: dict[tuple[str, str], Change] = {}
    for change in sorted(near, key=lambda change: (abs(change.first_seen - onset), sorted(change.segment.items()))):
        # A tool that several steps are offered is defined in one place.
        told = (change.segment["tool_name"], change.definition) if change.definition else (str(change.segment), "")
        nearest.setdefault(told, change)
    return list(nearest.values())[:_MOST]


def in_words(finding: Finding, changes: Sequence[Change]) -> str:
    """A sentence that names what was new then; empty when nothing was."""
    found = new_then(finding, changes)
    if not found:
        return ""
    named = [say("coincides.one", what=_what(one), time=format_moment(one.first_seen)) for one in found]
    return say("coincides", what=say("place.join").join(named))


def _what(change: Change) -> str:
    if change.definition:
        return say("coincides.definition", tool=name(change.segment["tool_name"]))
    return where(change.segment)


def _is_elsewhere(change: Change, finding: Finding) -> bool:
    """Whether the change says more than the finding's own segment does."""
    mine = finding.segment
    return not any(mine.get(key) == value for key, value in change.segment.items() if key in _NEW)


_NEW = ("release", "version", "model", "prompt_version")


def _is_near(change: Change, finding: Finding) -> bool:
    """Whether a change is at the finding's place, as far as both say where they are."""
    there, mine = change.segment, finding.segment
    if "trace_name" in there:
        apps = apps_of(finding)
        return not apps or there["trace_name"] in apps
    steps = {mine[key] for key in ("observation_name", "tool_name") if key in mine}
    if "observation_name" in there:
        return not steps or bool(steps & {there["observation_name"], there.get("tool_name")})
    return mine.get("prompt_name", there.get("prompt_name")) == there.get("prompt_name") and not steps
