"""Which parts a SELECT's syntax tree may have. What does not stand here is refused, also what a newer engine adds.

Each type of node has children (keys that hold nodes, or lists of nodes) and plain values (keys that hold text, numbers
or flags). `REFUSED` gives the reason and the way out for parts that people are likely to write.
"""

from __future__ import annotations

from dataclasses import dataclass

from hansei.errors import RefusalReason


@dataclass(frozen=True)
class Shape:
    """What a type of node may hold; its children are looked at in this order."""

    children: tuple[str, ...]
    values: frozenset[str]


def _shape(children: str = "", values: str = "") -> Shape:
    return Shape(tuple(children.split()), frozenset(values.split()))


SHAPES: dict[str, Shape] = {
    "SelectWithUnionQuery": _shape("list_of_selects", "union_mode list_of_modes"),
    "SelectQuery": _shape(
        "with cte_aliases tables select where group_by having window qualify order_by interpolate limit_by"
        " limit_by_length limit_by_offset limit_length limit_offset",
        "recursive_with distinct group_by_all group_by_with_totals group_by_with_rollup group_by_with_cube"
        " group_by_with_grouping_sets order_by_all limit_with_ties limit_by_all",
    ),
    "ExpressionList": _shape("children"),
    "WithElement": _shape("subquery aliases", "name is_materialized"),
    "Subquery": _shape("children", "alias"),
    "TablesInSelectQuery": _shape("children"),
    "TablesInSelectQueryElement": _shape("table_join table_expression array_join"),
    "TableExpression": _shape("database_and_table_name table_function subquery column_aliases"),
    "TableIdentifier": _shape("", "name alias"),
    "TableJoin": _shape("using_expression_list on_expression", "kind strictness is_natural"),
    "ArrayJoin": _shape("expression_list", "kind"),
    "Function": _shape(
        "arguments parameters window_definition",
        "name alias is_operator is_window_function is_lambda_function kind nulls_action window_name",
    ),
    "WindowDefinition": _shape(
        "partition_by order_by frame_begin_offset frame_end_offset",
        "parent_window_name frame_is_default frame_type frame_begin_type frame_begin_preceding frame_end_type"
        " frame_end_preceding",
    ),
    "WindowListElement": _shape("definition", "name"),
    "OrderByElement": _shape(
        "expression collation fill_from fill_to fill_step fill_staleness",
        "direction nulls_direction nulls_direction_was_explicitly_specified with_fill",
    ),
    "InterpolateElement": _shape("expr", "column"),
    "Identifier": _shape("", "name name_parts alias"),
    "Literal": _shape("", "value alias"),
    "QueryParameter": _shape("", "name param_type alias"),
    "Asterisk": _shape("transformers"),
    "QualifiedAsterisk": _shape("qualifier transformers"),
    "ColumnsRegexpMatcher": _shape("transformers", "pattern"),
    "ColumnsListMatcher": _shape("column_list transformers"),
    "QualifiedColumnsRegexpMatcher": _shape("qualifier transformers", "pattern"),
    "QualifiedColumnsListMatcher": _shape("qualifier column_list transformers"),
    "ColumnsTransformerList": _shape("children"),
    "ColumnsExceptTransformer": _shape("children", "pattern is_strict"),
    "ColumnsReplaceTransformer": _shape("children", "is_strict"),
    "ColumnsReplaceTransformerReplacement": _shape("children", "name"),
    "ColumnsApplyTransformer": _shape("lambda parameters", "func_name lambda_arg column_name_prefix"),
}
"""Type of node → what it may hold."""

REFUSED: dict[str, tuple[RefusalReason, str, str]] = {
    "settings": ("clause", "SETTINGS is not allowed.", "Leave it out: the session's settings are fixed."),
    "settings_ast": ("clause", "SETTINGS is not allowed.", "Leave it out: the session's settings are fixed."),
    "format_ast": ("clause", "FORMAT is not allowed.", "Leave it out: answers come as rows."),
    "out_file": ("clause", "INTO OUTFILE is not allowed.", "Leave it out: answers come as rows."),
    "compression": ("clause", "COMPRESSION is not allowed.", "Leave it out: answers come as rows."),
    "final": ("clause", "FINAL is not allowed here.", "Leave it out: only newest versions of rows are read anyway."),
    "sample_size": ("clause", "SAMPLE is not allowed here.", "Filter by a hash instead: cityHash64(id) % 10 = 0."),
    "prewhere": ("clause", "PREWHERE is not allowed here.", "Write WHERE."),
    "stream_settings": ("clause", "STREAM is not allowed.", "Leave it out."),
    "locality": ("clause", "GLOBAL is not allowed.", "Leave GLOBAL out: there is no other server."),
}
"""Key of a node → why it is refused, and what to do."""
