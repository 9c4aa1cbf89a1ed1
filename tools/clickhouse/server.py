"""A ClickHouse server or ClickHouse Cloud, over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from hansei.errors import HanseiError
from hansei.tools.clickhouse.failures import engine_code, explain
from hansei.tools.clickhouse.session import keep_driver_quiet
from hansei.tools.clickhouse.urls import Target

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

CONNECT_SECONDS = 5
HANDSHAKE_SECONDS = 10
"""How long the first answer of a server may take; after that the limit of a query counts."""


def open_server(target: Target, read_seconds: float) -> Client:
    """A client of a server, usable from several threads at once.

    Args:
        target: the server.
        read_seconds: how long the server may stay silent during a query.

    Raises:
        ConnectionFailed: unreachable, wrong password, unknown database, or no ClickHouse.
    """
    failure: HanseiError
    import clickhouse_connect
    from clickhouse_connect.driver.exceptions import ClickHouseError
    from urllib3 import Timeout
    from urllib3.exceptions import HTTPError

    keep_driver_quiet()
    try:
        client = clickhouse_connect.get_client(
            interface="https" if target.secure else "http",
            host=target.host,
            port=target.port,
            username=target.username,
            password=target.password.get_secret_value(),
            database=target.database,
            connect_timeout=CONNECT_SECONDS,
            send_receive_timeout=HANDSHAKE_SECONDS,
            query_retries=0,
            client_name="hansei",
            autogenerate_session_id=False,  # ClickHouse runs one query at a time in a session
            dedicated_pool=True,
            tz_mode="aware",
        )
    except (ClickHouseError, HTTPError, OSError, ValueError) as error:
        failure = explain(error, target)
    else:
        http = cast(Any, client)
        http.timeout = Timeout(connect=CONNECT_SECONDS, read=read_seconds)
        http.http_retries = 0  # the reader repeats what is safe to repeat
        return client
    raise failure


def apply_settings(client: Client, target: Target, settings: Mapping[str, int | str]) -> None:
    """Sends `settings` along with every query, as far as this user may set them.

    A user whose profile is read-only may set nothing: then the profile's own limits count. Where the profile has a
    stricter limit than ours, the stricter one stays.

    Raises:
        ConnectionFailed: the server went away meanwhile.
    """
    from clickhouse_connect.driver.exceptions import ClickHouseError
    from urllib3.exceptions import HTTPError

    http = cast(Any, client)
    failure: HanseiError
    try:
        known = client.query(
            "SELECT name, value, min, max, readonly FROM system.settings WHERE name IN {names:Array(String)}",
            parameters={"names": list(settings)},
        )
        for name, current, low, high, is_fixed in known.result_rows:
            if not is_fixed:
                client.set_client_setting(name, _fitting(settings[name], current, low, high))
        try:
            client.query("SELECT 1")
        except ClickHouseError as error:
            if engine_code(error) not in (164, 452):  # READONLY, SETTING_CONSTRAINT_VIOLATION
                raise
            for name in settings:
                http.params.pop(name, None)
        return
    except (ClickHouseError, HTTPError, OSError) as error:
        failure = explain(error, target)
    raise failure


def _fitting(wanted: int | str, current: str, low: str | None, high: str | None) -> int | str:
    """The value to send: ours, or the profile's when that is stricter (0 means no limit)."""
    if isinstance(wanted, str) or wanted == 1:
        return wanted
    limits = [wanted, *(int(float(text)) for text in (current, high) if text and float(text) > 0)]
    return max(min(limits), int(float(low)) if low else 0)
