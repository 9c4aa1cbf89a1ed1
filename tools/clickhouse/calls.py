"""Calls to ClickHouse: every error becomes a `HanseiError`, and what is safe to repeat is repeated."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from hansei.context import Limits
from hansei.errors import HanseiError
from hansei.tools.clickhouse.failures import explain, is_transient
from hansei.tools.clickhouse.urls import Target

Answer = TypeVar("Answer")

PAUSES = (0.1, 0.3, 0.8)
"""Seconds before each repetition."""


def call(
    action: Callable[[], Answer],
    target: Target,
    limits: Limits | None = None,
    *,
    repeat: bool = False,
    words_of: str = "",
) -> Answer:
    """Runs `action` and returns its answer.

    Args:
        action: what talks to ClickHouse.
        target: where it goes, for the error message.
        limits: the bounds of the session, for the error message.
        words_of: SQL whose words the error message may hold.
        repeat: the action only reads, so it may run again when the connection was lost or the server was too busy.

    Raises:
        HanseiError: the action failed. The driver's own error, which may quote SQL and values, is left behind: it is
            neither cause nor context.
    """
    from clickhouse_connect.driver.exceptions import ClickHouseError
    from urllib3.exceptions import HTTPError

    failure: HanseiError
    for pause in (*PAUSES, None) if repeat else (None,):
        try:
            return action()
        except HanseiError:
            raise
        except (ClickHouseError, HTTPError, OSError, RuntimeError, ValueError) as error:
            failure = explain(error, target, limits, words_of)
            if pause is None or not is_transient(error):
                break
        time.sleep(pause)
    raise failure
