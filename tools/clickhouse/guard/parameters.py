"""Bound parameters: which types they may have, and whether a value is of its type."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

from hansei.contracts import parse_instant
from hansei.tools.clickhouse.guard.refusal import refuse, shown

_NAME = re.compile(r"[A-Za-z_]\w{0,63}")
_TYPE = re.compile(r"([A-Za-z]\w*)\s*(?:\((.*)\))?", re.S)
_INTEGER = re.compile(r"(U?)Int(8|16|32|64|128|256)")
_LONGEST = 100_000


def check_type(name: str, kind: str) -> None:
    """Refuses a parameter that could stand for a name, or whose type is not a plain one.

    Raises:
        QueryRefused: with what to write.
    """
    if not _NAME.fullmatch(name):
        refuse("parameter", f"“{shown(name)}” cannot be a parameter's name.", "Use letters, digits and _ only.")
    if kind == "Identifier":
        refuse("parameter", f"The parameter {name} stands for a name.", "Write names themselves; bind values only.")
    _checker(name, kind)


def check_values(types: Mapping[str, str], values: Mapping[str, Any]) -> dict[str, Any]:
    """The values that the statement uses.

    Args:
        types: name → type, as the statement has them.
        values: name → value.

    Raises:
        QueryRefused: a value is missing, or is not of its type.
    """
    for name, kind in types.items():
        if name not in values:
            given = f" Known are {', '.join(sorted(values))}." if values else ""
            refuse("parameter", f"The parameter {name} has no value.{given}", f"Give {name} a value of type {kind}.")
        if not _checker(name, kind)(values[name]):
            refuse("parameter", f"The value of the parameter {name} is not of type {shown(kind)}.", "Give one that is.")
    return {name: values[name] for name in types}


Check = Callable[[Any], bool]


def _checker(name: str, kind: str) -> Check:
    """Whether a value is of a type. Texts are what ClickHouse reads as a value of that type."""
    match = _TYPE.fullmatch(kind.strip())
    inner = _split(match[2]) if match and match[2] is not None else []
    match match[1] if match else "":
        case "String":
            return lambda value: isinstance(value, str) and len(value) <= _LONGEST
        case "FixedString":
            return lambda value: isinstance(value, str) and len(value) <= _LONGEST and "\0" not in value
        case "Bool":
            return lambda value: isinstance(value, bool)
        case "Float32" | "Float64":
            return lambda value: isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        case "Decimal" | "Decimal32" | "Decimal64" | "Decimal128" | "Decimal256":
            return _is_decimal
        case "Date" | "Date32":
            return _is_date
        case "DateTime" | "DateTime64":
            return _is_time
        case "UUID":
            return _is_uuid
        case "Nullable" if len(inner) == 1:
            check = _checker(name, inner[0])
            return lambda value: value is None or check(value)
        case "LowCardinality" if len(inner) == 1:
            return _checker(name, inner[0])
        case "Array" if len(inner) == 1:
            each = _checker(name, inner[0])
            return lambda value: isinstance(value, list | tuple) and all(map(each, value))
        case "Map" if len(inner) == 2:
            keys, items = (_checker(name, part) for part in inner)
            return lambda value: (
                isinstance(value, Mapping) and all(map(keys, value)) and all(map(items, value.values()))
            )
        case "Tuple" if inner:
            checks = [_checker(name, part) for part in inner]
            return lambda value: (
                isinstance(value, list | tuple)
                and len(value) == len(checks)
                and all(check(item) for check, item in zip(checks, value, strict=True))
            )
        case other:
            if integer := _INTEGER.fullmatch(other):
                return _integer(bool(integer[1]), int(integer[2]))
    refuse(
        "parameter",
        f"The parameter {name} cannot have the type {shown(kind)}.",
        "Use String, a number, Bool, Date, DateTime64, UUID, or Array(…), Map(…), Tuple(…), Nullable(…) of these.",
    )


def _integer(unsigned: bool, bits: int) -> Check:
    low, high = (0, 2**bits - 1) if unsigned else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _is_decimal(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        return False
    try:
        return Decimal(str(value)).is_finite()
    except InvalidOperation:
        return False


def _is_date(value: Any) -> bool:
    if isinstance(value, date):
        return True
    try:
        return isinstance(value, str) and bool(date.fromisoformat(value))
    except ValueError:
        return False


def _is_time(value: Any) -> bool:
    if isinstance(value, datetime):
        return True
    try:
        return isinstance(value, str) and bool(parse_instant(value.replace(" ", "T", 1)))
    except ValueError:
        return False


def _is_uuid(value: Any) -> bool:
    try:
        return isinstance(value, UUID) or (isinstance(value, str) and bool(UUID(value)))
    except ValueError:
        return False


def _split(text: str) -> list[str]:
    """``String, Array(UInt8, 3)`` → ``["String", "Array(UInt8, 3)"]``."""
    parts, depth = [""], 0
    for character in text:
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]
