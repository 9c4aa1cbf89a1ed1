"""How much of an average's change is a shift of the traffic's mix, and how much happened within its kinds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Decomposition:
    """A change of sum(y) / sum(x), in y per x.

    `mix` + `within` = `total`. `label` is the kind of traffic whose share moved the average most, as names; its share
    of x went from `old` to `new`.
    """

    reference: float
    total: float
    within: float
    label: tuple[str, ...]
    old: float
    new: float

    @property
    def mix(self) -> float:
        """What the composition alone moved."""
        return self.total - self.within

    @property
    def within_share(self) -> float:
        """Share of the change that happened within the kinds; 0 without a change."""
        return self.within / self.total if self.total else 0.0


def decompose(strata: Sequence[Mapping[str, Any]]) -> Decomposition | None:
    """Kitagawa's decomposition (JASA 50 (1955) 1168), each side's mix counting half.

    Args:
        strata: rows with stratum (names, the app first), x, y, reference_x, reference_y.

    Returns:
        None when there is one kind only, or nothing on one side.
    """
    now = sum(float(row["x"]) for row in strata)
    before = sum(float(row["reference_x"]) for row in strata)
    if now <= 0 or before <= 0 or len(strata) < 2:
        return None
    reference = sum(float(row["reference_y"]) for row in strata) / before
    current = sum(float(row["y"]) for row in strata) / now
    within = 0.0
    several = len({str(row["stratum"][0]) for row in strata}) > 1
    moved: dict[tuple[str, ...], list[float]] = {}
    for row in strata:
        x, y, reference_x, reference_y = (float(row[name]) for name in ("x", "y", "reference_x", "reference_y"))
        share, old_share = x / now, reference_x / before
        rates = [part / whole for part, whole in ((y, x), (reference_y, reference_x)) if whole]
        if len(rates) == 2:
            within += (rates[0] - rates[1]) * (share + old_share) / 2
        # What this kind's share did to the average: it moved it by how far the kind lies from the others.
        names = tuple(str(part) for part in row["stratum"] if part)
        mine = moved.setdefault(names[:1] if several else names, [0.0, 0.0, 0.0])
        if rates:
            mine[0] += (share - old_share) * (sum(rates) / len(rates) - (current + reference) / 2)
        mine[1] += old_share
        mine[2] += share
    total = current - reference
    mix = total - within
    label = max(sorted(moved), key=lambda names: moved[names][0] * (1 if mix >= 0 else -1))
    return Decomposition(reference, total, within, label, moved[label][1], moved[label][2])
