"""Values on their way in (query parameters) and out (results as plain JSON)."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any

from hansei.contracts import parse_instant

_PLACEHOLDER = re.compile(r"\{\s*(\w+)\s*:\s*((?:[^{}'`]|'[^']*'|`[^`]*`)+)\}")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNCHANGED = {str, int, bool, type(None)}


def utc_text(moment: datetime) -> str:
    """ISO 8601 in UTC with a Z, with no more decimals than the moment needs (0, 3 or 6). Naive times count as UTC."""
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    if moment.microsecond == 0:
        precision = "seconds"
    else:
        precision = "microseconds" if moment.microsecond % 1000 else "milliseconds"
    return moment.replace(tzinfo=None).isoformat(timespec=precision) + "Z"


def plain(value: Any) -> Any:
    """A ClickHouse value as plain JSON.

    Decimals become floats (the nearest one, so a sum of decimals stays exact up to the last step), times ISO 8601 UTC,
    NaN and infinities None, tuples and arrays lists, maps dictionaries with text keys, bytes and the rest text.
    """
    kind = type(value)
    if kind in _UNCHANGED:
        return value
    if kind is float:
        return value if math.isfinite(value) else None
    if isinstance(value, Decimal):
        return float(value) if value.is_finite() else None
    if isinstance(value, datetime):
        return utc_text(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).decode("utf-8", "backslashreplace")
    if isinstance(value, Mapping):
        return {str(plain(key)): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if isinstance(value, Enum):
        return plain(value.value)
    tolist: Callable[[], Any] | None = getattr(value, "tolist", None)  # numpy scalars and arrays, array.array
    return plain(tolist()) if tolist else str(value)


def plain_rows(columns: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """Columns of ClickHouse values as rows of plain JSON values."""
    converted = [
        column if set(map(type, column)) <= _UNCHANGED else [plain(value) for value in column] for column in columns
    ]
    return [list(row) for row in zip(*converted, strict=True)]


def bindable(sql: str, parameters: Mapping[str, Any] | None) -> dict[str, Any]:
    """Parameters in the form that binds the same way on every engine.

    The type in the placeholder decides, so that parameters read back from a report's JSON bind as they did at first:
    ISO 8601 texts become times, lists become tuples inside a ``Tuple``. Naive times count as UTC, booleans are sent as
    0 and 1. What has no placeholder is left out.

    Raises:
        UsageError: a text given for a time is none.
    """
    types: dict[str, str] = dict(_PLACEHOLDER.findall(sql))
    return {name: _bindable(value, types[name]) for name, value in (parameters or {}).items() if name in types}


def _bindable(value: Any, kind: str) -> Any:
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, str):
        return _bindable(parse_instant(value), kind) if "DateTime" in kind else value
    if isinstance(value, datetime):
        return _bindable_time(value.replace(tzinfo=UTC) if value.tzinfo is None else value, kind)
    if isinstance(value, Enum):
        return _bindable(value.value, kind)
    if isinstance(value, (set, frozenset)):
        return _bindable(sorted(value), kind)
    if isinstance(value, (list, tuple)):
        container, parts = _parts(kind)
        if container == "Tuple":
            return tuple(_bindable(item, part) for item, part in zip(value, parts, strict=True))
        return [_bindable(item, parts[0] if parts else "") for item in value]
    tolist: Callable[[], Any] | None = getattr(value, "tolist", None)
    return _bindable(tolist(), kind) if tolist else value


def _bindable_time(moment: datetime, kind: str) -> datetime | str:
    # Written as seconds since 1970 a time means the same in every time zone, also in the hour that comes twice when
    # clocks go back. ClickHouse takes shorter numbers for something else: the driver sends early times as dates.
    seconds = (moment - _EPOCH) // timedelta(seconds=1)
    if "DateTime" not in kind or seconds < 10**9:
        return moment
    return f"{seconds}.{moment.microsecond:06d}" if "DateTime64" in kind else str(seconds)


def _parts(kind: str) -> tuple[str, list[str]]:
    """A type's container and what it contains: ``Tuple(String, id UInt8)`` → ``("Tuple", ["String", "UInt8"])``."""
    name, _, rest = kind.strip().partition("(")
    parts, depth = [""], 0
    for character in rest.rpartition(")")[0]:
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    if name in ("Nullable", "LowCardinality"):
        return _parts(parts[0])
    return name, [re.sub(r"^\w+\s+(?=\w)", "", part.strip()) for part in parts if part.strip()]
