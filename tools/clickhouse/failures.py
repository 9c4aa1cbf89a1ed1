"""What went wrong, in one line with one remedy: the engine's and the network's errors as `HanseiError`s.

An engine's error text may quote the SQL, values of rows, even parts of the URL. So nothing of it is passed on except
its code, its name, and identifiers that were read out of it with a strict pattern (the missing grant, for example).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from hansei.context import Limits
from hansei.errors import ConnectionFailed, HanseiError, PermissionMissing, QueryFailed
from hansei.tools.clickhouse.urls import Target

_CODE = re.compile(r"\bCode: (\d+)\b")
_IDENTIFIER = r"(?:[A-Za-z_][\w$]*|`[^`\n]{1,100}`|\*)"
_GRANT = re.compile(
    rf"grant(?:\(s\))? ((?:[A-Z][A-Z ]{{2,40}})(?:\((?:{_IDENTIFIER}(?:, )?){{1,200}}\))?) ON ({_IDENTIFIER}(?:\.{_IDENTIFIER})?)"
)
_CREDENTIALS = {192, 193, 194, 516}  # UNKNOWN_USER, WRONG_PASSWORD, REQUIRED_PASSWORD, AUTHENTICATION_FAILED
_BUSY = {202, 203, 209, 210, 236, 279, 425}  # too many queries, no free connection, socket, network, aborted
_REASONS = {
    6: "a value cannot be parsed",
    27: "a value cannot be parsed",
    36: "an argument is not allowed",
    41: "a time cannot be parsed",
    42: "a function has the wrong number of arguments",
    43: "a function has an argument of the wrong type",
    46: "a function does not exist",
    47: "a column does not exist",
    53: "types do not match",
    60: "a table does not exist",
    62: "it is not valid SQL",
    70: "a value cannot be converted",
    115: "a setting does not exist",
    164: "the session is read-only",
    184: "an aggregate function stands inside another",
    215: "a column is neither aggregated nor in GROUP BY",
    349: "a NULL stands where none is allowed",
    386: "types have nothing in common",
    394: "it was cancelled",
    407: "a decimal is too large",
    452: "a setting is outside of what the user's profile allows",
    456: "a parameter is missing",
    457: "a parameter does not fit its type",
}


def chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what caused it, without running in circles."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        reason = getattr(current, "reason", None)
        current = current.__cause__ or (reason if isinstance(reason, BaseException) else None) or current.__context__


def explain(error: BaseException, target: Target, limits: Limits | None = None) -> HanseiError:
    """The failure of a connection or a query as an error for people. Raise it outside the ``except`` block, so that
    the engine's own error (which may quote values) does not travel along as its context.

    Args:
        error: what clickhouse-connect, urllib3 or chDB raised.
        target: where the query went.
        limits: the bounds of the session, to name the one that was hit.
    """
    code = engine_code(error)
    if code is None:
        return _no_answer(error, target)
    name = str(getattr(error, "name", None) or "")
    name = name if re.fullmatch(r"[A-Z][A-Z0-9_]{2,60}", name) else ""
    if code in _CREDENTIALS:
        return ConnectionFailed(
            f"ClickHouse at {target.display} refuses the user or the password.",
            "Check both in the URL; special characters must be percent-encoded (@ as %40, / as %2F).",
        )
    if code == 81:
        return ConnectionFailed(
            f"ClickHouse at {target.display} has no database of that name that this user may see.",
            "Name the database that Langfuse writes to: "
            + ("?database=name" if target.engine == "chdb" else "…host:port/name")
            + " at the end of the URL.",
        )
    if code == 497:
        return _denied(str(error), target)
    return _refused(code, name, limits or Limits())


def engine_code(error: BaseException) -> int | None:
    """ClickHouse's error code, or None when ClickHouse did not get to answer."""
    code = getattr(error, "code", None)
    if isinstance(code, int) and code > 0:
        return code
    match = _CODE.search(str(error))
    return int(match[1]) if match else None


def is_transient(error: BaseException) -> bool:
    """True when a read may simply be sent again: the connection was lost, or the server was too busy to take it."""
    code = engine_code(error)
    if code is not None:
        return code in _BUSY
    if re.search(r"\bHTTP status (429|502|503|504)\b", str(error)):
        return True
    names = {type(link).__name__ for link in chain(error)}
    if names & {"ReadTimeoutError", "ConnectTimeoutError", "NameResolutionError", "SSLError", "TimeoutError"}:
        return False
    return bool(names & {"ProtocolError", "RemoteDisconnected", "ConnectionResetError", "IncompleteRead"})


def _denied(text: str, target: Target) -> PermissionMissing:
    match = _GRANT.search(text)
    user = target.username or "default"
    grantee = user if re.fullmatch(r"[A-Za-z_]\w*", user) else "`" + user.replace("`", "") + "`"
    if match is None:
        return PermissionMissing(
            f"The ClickHouse user {user} lacks a privilege for this query.",
            f"Ask an administrator to run: GRANT SELECT ON {target.database}.* TO {grantee};",
        )
    privilege, table = match[1], match[2]
    verb = privilege.partition("(")[0].strip()
    return PermissionMissing(
        f"The ClickHouse user {user} lacks the privilege {verb} on {table}.",
        f"Ask an administrator to run: GRANT {privilege} ON {table} TO {grantee};",
    )


def _refused(code: int, name: str, limits: Limits) -> QueryFailed:
    label = f"{name}, code {code}" if name else f"code {code}"
    match code:
        case 159:
            message = f"ClickHouse stopped a query after its {limits.seconds} seconds ({label})."
            remedy = "Choose a shorter window, or raise limits.seconds."
        case 241:
            message = f"ClickHouse stopped a query at its memory limit of {_megabytes(limits.memory_bytes)} ({label})."
            remedy = "Choose a shorter window, or raise limits.memory_bytes."
        case 158 | 307 | 396:
            message = f"ClickHouse stopped a query that returned or read too many rows ({label})."
            remedy = f"Aggregate further or add a LIMIT; at most {limits.result_rows:,} rows may be returned."
        case _ if code in _BUSY:
            message = f"ClickHouse is too busy to take a query, or lost a connection of its own ({label})."
            remedy = "Try again in a minute."
        case _:
            reason = _REASONS.get(code)
            message = (
                f"ClickHouse refused a query: {reason} ({label})."
                if reason
                else f"ClickHouse refused a query ({label})."
            )
            remedy = "Run hansei doctor; if it finds nothing, report this with the code."
    return QueryFailed(message, remedy, code=code, name=name, retryable=code in _BUSY)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"


def _no_answer(error: BaseException, target: Target) -> ConnectionFailed:
    where = f"ClickHouse at {target.display}"
    names = {type(link).__name__ for link in chain(error)}
    text = " ".join(str(link) for link in chain(error)).lower()
    if target.engine == "chdb":
        return ConnectionFailed(
            f"The embedded ClickHouse at {target.display} cannot be opened.",
            "Check that the directory is an intact ClickHouse directory and that the disk is not full.",
        )
    if "NameResolutionError" in names or "gaierror" in names:
        return ConnectionFailed(f"The host of {target.display} is unknown.", "Check the host name in the URL.")
    if "SSLError" in names or "certificate" in text:
        return _tls(text, target)
    if "ConnectTimeoutError" in names:
        return ConnectionFailed(
            f"{where} does not answer (no connection in time).",
            "Check host and port, and that a firewall or an IP access list lets this machine through.",
        )
    if names & {"ReadTimeoutError", "TimeoutError"}:
        return ConnectionFailed(
            f"{where} took the request but did not answer in time.",
            "Check the server's load, or choose a shorter window.",
        )
    if names & {"NewConnectionError", "ConnectionRefusedError"}:
        return ConnectionFailed(
            f"{where} refuses the connection.",
            "Check that the server runs and that the port is its HTTP port (8123, or 8443 with TLS).",
        )
    if status := re.search(r"http status (\d{3})\b", text):
        return ConnectionFailed(
            f"{where} answered with HTTP status {status[1]}, not as ClickHouse does.",
            "Check that the port is ClickHouse's HTTP port (8123, or 8443 with TLS) and no other service.",
        )
    if names & {"ProtocolError", "RemoteDisconnected", "ConnectionResetError", "IncompleteRead", "BrokenPipeError"}:
        return ConnectionFailed(
            f"{where} closed the connection.",
            "Try again; if it stays, check the port (8123 for HTTP, 8443 with TLS) and the server's log.",
        )
    return ConnectionFailed(
        f"{where} did not answer as ClickHouse does.",
        "Check that the port is ClickHouse's HTTP port (8123, or 8443 with TLS) and no other service.",
    )


def _tls(text: str, target: Target) -> ConnectionFailed:
    if "wrong_version_number" in text or "wrong version number" in text or "record layer" in text:
        return ConnectionFailed(
            f"ClickHouse at {target.display} does not speak TLS at this port.",
            "Write clickhouse:// (port 8123) for a server without TLS, or use its TLS port (8443).",
        )
    return ConnectionFailed(
        f"The TLS certificate of {target.display} is not trusted.",
        "Name the authority that issued it with the environment variable SSL_CERT_FILE, and use the host name it is for.",
    )
