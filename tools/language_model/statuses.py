"""What an endpoint's refusals mean: each as a `ModelFailed` in Hansei's own words."""

from __future__ import annotations

import math
import re
import ssl
from collections.abc import Iterator
from typing import Any

from hansei.errors import ModelFailed


class Again(Exception):
    """The same question may be answered later, in `after` seconds when the endpoint says so."""

    def __init__(self, failure: ModelFailed, after: float | None = None) -> None:
        super().__init__(failure.message)
        self.failure, self.after = failure, after


def failure_of(error: Any) -> Exception:
    """What a status means; the endpoint's own words are left out, since they may repeat a key or the prompt.

    Args:
        error: an `openai.APIStatusError`.

    Returns:
        `Again` where it may get better, else a `ModelFailed`.
    """
    if error.code == "context_length_exceeded" or error.status_code == 413:
        return too_long()
    if error.status_code in (400, 422) and _TOO_LONG.search(str(error.message)):
        return too_long()
    failure = of_status(error.status_code)
    unpaid = error.code in ("insufficient_quota", "billing_hard_limit_reached")
    if failure.reason == "rate_limit" and unpaid:
        return ModelFailed(
            "The model answered with HTTP 429: the account's quota is used up.", "Check the account.", reason="setup",
            status=429,
        )  # fmt: skip
    if failure.reason in ("rate_limit", "server"):
        return Again(failure, _retry_after(error.response.headers))
    return failure


def not_reached(error: BaseException, *, named: bool) -> Exception:
    """What a connection that failed means.

    Args:
        error: what the client raised.
        named: whether OPENAI_BASE_URL names the address.

    Returns:
        `Again` where it may get better; a `ModelFailed` where the certificate or the protocol is wrong.
    """
    behind = [one for one in _causes(error) if isinstance(one, ssl.SSLError)]
    if any(isinstance(one, ssl.SSLCertVerificationError) for one in behind):
        return ModelFailed(
            "The certificate of the model's server is not trusted, or is not this host's.",
            "Name the file of its authority in SSL_CERT_FILE, and the host in OPENAI_BASE_URL as the certificate does.",
            reason="connection",
        )
    if any(not isinstance(one, ssl.SSLEOFError | ssl.SSLZeroReturnError | ssl.SSLSyscallError) for one in behind):
        return ModelFailed(
            "The model's server does not speak TLS.", "Write http:// in OPENAI_BASE_URL, or its port for TLS.",
            reason="connection",
        )  # fmt: skip
    remedy = "Check OPENAI_BASE_URL." if named else "Check the network, and the proxy if there is one."
    return Again(ModelFailed("The model cannot be reached, or the connection was cut.", remedy, reason="connection"))


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what it came of."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def names(error: Any, parameter: str) -> bool:
    """Whether a refusal is about this parameter of the request: it is named as such, or in the words of the refusal."""
    if error.status_code not in (400, 422, 501):
        return False
    if error.param:
        return str(error.param) == parameter
    return re.search(rf"(?<![\w.]){re.escape(parameter)}(?![\w.]*\w)", str(error.message)) is not None


_TOO_LONG = re.compile(r"context[ _](length|size|window)|exceed_context_size|(prompt|input) is too long", re.IGNORECASE)
"""How servers say that a question and the room for its answer are more than the model can hold."""


def too_long() -> ModelFailed:
    """More text than the model can read."""
    return ModelFailed("The model cannot read that much text.", "Choose another model.", reason="too_long")


def of_status(status: int) -> ModelFailed:
    """What an HTTP status means."""
    reasons: dict[int, tuple[Any, str]] = {
        401: ("setup", "Check OPENAI_API_KEY."),
        402: ("setup", "Check the account's balance."),
        403: ("setup", "Check what the key is allowed to do."),
        404: ("setup", "Check the model's name and OPENAI_BASE_URL."),
        408: ("server", "Try again later."),
        429: ("rate_limit", "Try again later."),
    }
    reason, remedy = reasons.get(
        status, ("server", "Try again later.") if status >= 500 else ("request", "Choose another model.")
    )
    return ModelFailed(f"The model answered with HTTP {status}.", remedy, reason=reason, status=status)


def _retry_after(headers: Any) -> float | None:
    """Seconds; the form with a date is rare, and then the usual pause is made."""
    try:
        seconds = float(headers.get("retry-after", ""))
    except ValueError:
        return None
    return seconds if 0 <= seconds < math.inf else None
