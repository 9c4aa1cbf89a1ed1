"""The settings of a read-only session, on both engines."""

from __future__ import annotations

import logging

from hansei.context import Limits


def session_settings(limits: Limits, *, one_core: bool = False) -> dict[str, int | str]:
    """Settings of a read-only session, in the order in which they must be set: readonly last, since it locks the rest.

    Args:
        limits: the bounds on each query.
        one_core: for queries over few rows that run side by side. Spreading these over the cores costs more than it
            gains: groups then come in 256 blocks, and patterns are compiled anew for each.

    Overflows throw, so a result is whole or an error, never silently cut. FINAL merges row versions partition by
    partition, which is right because Langfuse's keys never put the versions of one row into different months.
    """
    return {
        "max_execution_time": limits.seconds,
        "max_memory_usage": limits.memory_bytes,
        # Half of it may hold groups; more of them go to disk, so that a query gets slow rather than fails.
        "max_bytes_before_external_group_by": limits.memory_bytes // 2,
        # Blocks of up to 65,000 rows also where many columns are read: joins and groups take a fifth less time than
        # with the usual megabyte, which is some thousand rows. Large texts still come in small blocks.
        "preferred_block_size_bytes": 16_000_000,
        "max_rows_to_read": limits.rows_read,
        "max_bytes_to_read": limits.bytes_read,
        "max_result_rows": limits.result_rows,
        "max_result_bytes": limits.result_bytes,
        "result_overflow_mode": "throw",
        "timeout_overflow_mode": "throw",
        "read_overflow_mode": "throw",
        "group_by_overflow_mode": "throw",
        "do_not_merge_across_partitions_select_final": 1,
        **({"max_threads": 1, "group_by_two_level_threshold_bytes": 1_000_000_000} if one_core else {}),
        "readonly": 1,
    }


def keep_driver_quiet() -> None:
    """Without any handler Python would print the driver's warnings to stderr. An application's own handlers stay."""
    logger = logging.getLogger("clickhouse_connect")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
