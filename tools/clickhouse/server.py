"""A ClickHouse server or ClickHouse Cloud, over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from hansei.tools.clickhouse.calls import call
from hansei.tools.clickhouse.failures import engine_code
from hansei.tools.clickhouse.settings import keep_driver_quiet
from hansei.tools.clickhouse.urls import Target

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

CONNECT_SECONDS = 5
HANDSHAKE_SECONDS = 10
"""How long the first answers of a server may take."""
GRACE_SECONDS = 15
"""How much longer than a query's own limit its answer may take to arrive."""


def open_server(target: Target, read_seconds: float) -> Client:
    """A client of a server, usable from several threads at once.

    Args:
        target: the server.
        read_seconds: how long the server may stay silent during a query.

    Raises:
        ConnectionFailed: unreachable, wrong password, unknown database, or no ClickHouse.
    """
    import clickhouse_connect
    from urllib3 import Timeout

    keep_driver_quiet()
    client = call(
        lambda: clickhouse_connect.get_client(
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
            autogenerate_session_id=False,  # ClickHouse runs the queries of one session one after the other
            dedicated_pool=True,
            tz_mode="aware",
        ),
        target,
        repeat=True,
    )
    http = cast(Any, client)
    http.timeout = Timeout(connect=CONNECT_SECONDS, read=read_seconds)
    http.http_retries = 0
    return client


def apply_settings(client: Client, target: Target, settings: Mapping[str, int | str]) -> tuple[int, bool]:
    """Sends `settings` along with every query, as far as this user may set them.

    A user whose profile is read-only may set nothing: then the profile's own limits count. Where the profile has a
    stricter limit than ours, the stricter one stays.

    Returns:
        What the user's profile says of `readonly`, and whether the settings are sent.

    Raises:
        ConnectionFailed: the server went away meanwhile.
    """
    known = call(
        lambda: client.query(
            "SELECT name, value, min, max, readonly FROM system.settings WHERE name IN {names:Array(String)}",
            parameters={"names": list(settings)},
        ),
        target,
        repeat=True,
    )
    wanted = {
        name: _fitting(settings[name], current, low, high)
        for name, current, low, high, is_fixed in known.result_rows
        if not is_fixed
    }
    readonly = next((int(row[1]) for row in known.result_rows if row[0] == "readonly"), 0)
    for name, value in wanted.items():
        client.set_client_setting(name, value)
    are_sent = call(lambda: _are_accepted(client), target, repeat=True)
    if not are_sent:
        for name in wanted:
            cast(Any, client).params.pop(name, None)
    return readonly, are_sent


def _are_accepted(client: Client) -> bool:
    from clickhouse_connect.driver.exceptions import ClickHouseError

    try:
        client.query("SELECT 1")
    except ClickHouseError as error:
        if engine_code(error) in (164, 452):  # READONLY, SETTING_CONSTRAINT_VIOLATION
            return False
        raise
    return True


def _fitting(wanted: int | str, current: str, low: str | None, high: str | None) -> int | str:
    """The value to send: ours, or the profile's where that is stricter (0 stands for no limit)."""
    if isinstance(wanted, str) or wanted == 1:
        return wanted
    bounds = [wanted, *(int(float(text)) for text in (current, high) if text and float(text) > 0)]
    return max(min(bounds), int(float(low)) if low else 0)
