"""The figure of a finding by its parts, out of its evidence: by kind of traffic, and by user.

One query of the critic's answers both (purpose ``parts``). Reports of earlier versions hold two (``strata``,
``users``).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hansei.contracts import Evidence

Row = dict[str, Any]

_SUMS = {"x", "y", "reference_x", "reference_y"}
_COUNTS = {"users", "affected_users"}


def kinds_of_traffic(evidence: Iterable[Evidence]) -> list[Row] | None:
    """Rows with stratum (array of names: app, environment, step), x, y (of the window), reference_x and reference_y.

    Returns:
        largest first; None when this was not asked.
    """
    return _rows(evidence, "strata", "stratum", {"stratum", *_SUMS})


def top_users(evidence: Iterable[Evidence]) -> list[Row] | None:
    """Rows with user_id, x, y, reference_x, reference_y, and the same in each row: users, affected_users.

    Returns:
        the users who weigh most, heaviest first; None when this was not asked.
    """
    return _rows(evidence, "users", "user_id", {"user_id", *_SUMS, *_COUNTS})


def _rows(evidence: Iterable[Evidence], purpose: str, key: str, columns: set[str]) -> list[Row] | None:
    """Rows that are not whole are passed over: a report may have been edited."""
    for item in evidence:
        if item.purpose not in ("parts", purpose):
            continue
        rows = [dict(zip(item.columns, row, strict=False)) for row in item.rows if len(row) == len(item.columns)]
        if item.purpose == "parts":
            names = [(row, row["names"]) for row in rows if isinstance(row.get("names"), list) and row["names"]]
            if key == "stratum":
                rows = [{**row, key: named} for row, named in names if row.get("part") == "stratum"]
            else:
                rows = [{**row, key: named[0]} for row, named in names if row.get("part") == "user"]
        return [row for row in rows if columns <= row.keys()]
    return None
