"""Tables out of constants: numbers(10), generateSeries(1, 5), VALUES. No other table function is let through."""

from __future__ import annotations

from collections.abc import Callable

from hansei.tools.clickhouse.guard.functions import Functions
from hansei.tools.clickhouse.guard.refusal import refuse, shown
from hansei.tools.clickhouse.guard.trees import Node, text_of

MOST_ROWS = 1_000_000
"""How many rows one of them may make."""

_DECLARED = frozenset({"type", "name", "data_type"})


def check_table_function(node: Node, functions: Functions, parse: Callable[[str], Node]) -> None:
    """Refuses a table function that reads something, or makes too many rows. Its arguments are not looked into.

    Args:
        node: its call.
        functions: the classification.
        parse: the engine's parser.

    Raises:
        QueryRefused: with what to write instead.
    """
    name = str(node.get("name", ""))
    found = functions.of_table_function(name)
    if node.get("type") != "Function" or found is None or not found.allowed:
        why = found.why if found else "is not known to be harmless"
        instead = found.instead if found else "Use only traces, observations and scores."
        refuse("table", f"The table function {shown(name)} {why}.", instead)
    arguments = (node.get("arguments") or {}).get("children", [])
    if name.lower() == "values":
        first = arguments[0] if arguments else {}
        if first.get("type") != "Literal":
            # A name or a parameter could stand for the text that declares columns.
            refuse("table", "VALUES needs a plain first argument.", "Write VALUES('a String, b UInt8', …).")
        structure = text_of(first)
        if structure is not None:
            _check_columns(structure, parse)
    elif name != "SQLStandardValues":
        _check_counts(name, arguments)


def _check_counts(name: str, arguments: list[Node]) -> None:
    """Without an argument, numbers() has no end; and what an expression comes to is not known here."""
    for argument in arguments or [{}]:
        value = (argument.get("value") or {}).get("value") if argument.get("type") == "Literal" else None
        if not isinstance(value, int) or isinstance(value, bool) or abs(value) > MOST_ROWS:
            refuse(
                "table",
                f"{name} needs whole numbers up to {MOST_ROWS:,}.",
                "Write them as numbers, not as expressions or parameters.",
            )


def _check_columns(structure: str, parse: Callable[[str], Node]) -> None:
    """The first argument of VALUES declares columns, which could have defaults that are computed."""
    table = parse(f"CREATE TABLE made ({structure})")
    columns = table.get("columns_list") or {}
    rest = {key for key, value in table.items() if value not in ("", False, None)}
    declared = (columns.get("columns") or {}).get("children", [])
    if (
        rest - {"type", "table", "table_ast", "columns_list"}
        or columns.keys() - {"type", "columns"}
        or not declared
        or any({key for key, value in one.items() if value is not False} - _DECLARED for one in declared)
    ):
        refuse("table", "VALUES may only declare columns and types.", "Write VALUES('a String, b UInt8', …).")
