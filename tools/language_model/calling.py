"""One question to the model, sent again where that may help, and every failure as a `ModelFailed`."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from hansei.errors import ModelFailed
from hansei.tools.language_model.endpoint import LONGEST_ANSWER, Endpoint, client_of
from hansei.tools.language_model.usage import ModelMeter

Messages = Sequence[tuple[str, str]]
"""(role, text)."""

ATTEMPTS = 4
"""How often a question is sent at most, when the model is busy or cannot be reached."""

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 20.0
"""Seconds between two attempts: they double from the first on, and a Retry-After header counts up to the longest."""

_cold_refused: set[tuple[str, str | None]] = set()
"""Endpoints that do not take a temperature: models that think choose their own."""


@dataclass(frozen=True)
class Reply:
    """An answer: its text, and what it calls the offered tools with."""

    text: str
    calls: list[dict[str, Any]] = field(default_factory=list)


def call(
    endpoint: Endpoint,
    meter: ModelMeter,
    node: str,
    messages: Messages,
    *,
    tool: dict[str, Any] | None = None,
    response_format: dict[str, Any] | None = None,
) -> Reply:
    """Asks the model.

    Sent again after HTTP 408, 429, 5xx and a lost connection; never after another 4xx, nor after a timeout, since a run
    should not wait several times.

    Args:
        endpoint: which model, where.
        meter: counts each attempt that the model answered, and refuses it when the run's bounds are reached.
        node: who asks.
        messages: roles and texts.
        tool: a function in OpenAI's form that must be called.
        response_format: in OpenAI's form.

    Raises:
        ModelFailed: there is no answer that could be used.
    """
    for attempt in range(1, ATTEMPTS + 1):
        meter.admit(sum(len(text) for _, text in messages))
        try:
            return _once(endpoint, meter, node, messages, tool, response_format)
        except _Again as again:
            if attempt == ATTEMPTS:
                raise again.failure from None
            time.sleep(_pause(attempt, again.after))
    raise AssertionError("The last attempt returns or raises.")


class _Again(Exception):
    """The same question may be answered later."""

    def __init__(self, failure: ModelFailed, after: float | None = None) -> None:
        super().__init__(failure.message)
        self.failure, self.after = failure, after


def _pause(attempt: int, after: float | None) -> float:
    if after is not None:
        return min(after, LONGEST_PAUSE)
    # Unequal, so that parallel nodes do not come back all at once.
    return float(min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (attempt - 1)) * random.uniform(0.5, 1.0))


def _once(
    endpoint: Endpoint,
    meter: ModelMeter,
    node: str,
    messages: Messages,
    tool: dict[str, Any] | None,
    response_format: dict[str, Any] | None,
) -> Reply:
    client = client_of(endpoint)
    import openai
    from langchain_core.exceptions import ContextOverflowError
    from langchain_openai._compat import httpx

    place = (endpoint.model, endpoint.url.get_secret_value() if endpoint.url else None)
    # In the body rather than as arguments: langchain-openai would parse the answer itself, in a way of its own.
    body: dict[str, Any] = {"max_tokens" if endpoint.foreign else "max_completion_tokens": LONGEST_ANSWER}
    if place not in _cold_refused:
        body["temperature"] = 0
    if response_format is not None:
        body["response_format"] = response_format
    if tool is not None:
        body["tools"] = [{"type": "function", "function": tool}]
        body["tool_choice"] = {"type": "function", "function": {"name": tool["name"]}}
    try:
        message = client.invoke(list(messages), extra_body=body)
    except ContextOverflowError:
        raise _too_long() from None
    except (openai.APITimeoutError, httpx.TimeoutException):
        raise ModelFailed(
            f"The model did not answer within {endpoint.timeout:g} s.", "Raise Context.model_timeout.", reason="timeout"
        ) from None
    except openai.APIStatusError as error:
        if error.status_code == 400 and error.param == "temperature" and "temperature" in body:
            _cold_refused.add(place)
            raise _Again(_of_status(error.status_code), after=0) from None
        raise _failure(error) from None
    except (openai.APIConnectionError, httpx.HTTPError):
        raise _Again(
            ModelFailed(
                "The model cannot be reached, or the connection was cut.", "Check OPENAI_BASE_URL.", reason="connection"
            )
        ) from None
    except (openai.OpenAIError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        # What langchain-openai raises for an answer that is none of a chat model: HTML, null, a list.
        meter.add(node, None)
        raise ModelFailed(
            "The model answered with something that is no chat completion.", "Check OPENAI_BASE_URL.", reason="invalid"
        ) from None
    usage = message.usage_metadata
    meter.add(node, dict(usage) if usage else None, _told_cost(message.response_metadata))
    return _reply(message)


def _reply(message: Any) -> Reply:
    if message.additional_kwargs.get("refusal"):
        raise ModelFailed("The model declined to answer.", "Choose another model.", reason="refusal")
    finish = message.response_metadata.get("finish_reason")
    if finish == "content_filter":
        raise ModelFailed("The model's answer was filtered.", "Choose another model.", reason="refusal")
    if finish == "length":
        raise ModelFailed("The model's answer was cut off.", "Choose another model.", reason="truncated")
    text = str(message.text).strip()
    calls = [dict(one["args"]) for one in message.tool_calls]
    if not text and not calls:
        if message.invalid_tool_calls:
            raise ModelFailed("The model called a tool with no valid JSON.", "Choose another model.", reason="invalid")
        raise ModelFailed("The model's answer was empty.", "Choose another model.", reason="empty")
    return Reply(text, calls)


def _told_cost(metadata: dict[str, Any]) -> float | None:
    """US dollars, from endpoints that say so with the usage."""
    cost = (metadata.get("token_usage") or {}).get("cost")
    if not isinstance(cost, int | float) or not math.isfinite(cost) or cost < 0:
        return None
    return float(cost)


def _failure(error: Any) -> Exception:
    """What a status means; the endpoint's own words are left out, since they may repeat a key or the prompt."""
    if error.code == "context_length_exceeded":
        return _too_long()
    failure = _of_status(error.status_code)
    unpaid = error.code in ("insufficient_quota", "billing_hard_limit_reached")
    if failure.reason == "rate_limit" and unpaid:
        return ModelFailed(
            "The model answered with HTTP 429: the account's quota is used up.", "Check the account.", reason="setup",
            status=429,
        )  # fmt: skip
    if failure.reason in ("rate_limit", "server"):
        return _Again(failure, _retry_after(error.response.headers))
    return failure


def _too_long() -> ModelFailed:
    return ModelFailed("The model cannot read that much text.", "Choose another model.", reason="too_long")


def _of_status(status: int) -> ModelFailed:
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
