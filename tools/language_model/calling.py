"""One question to the model, sent again where that may help, and every failure as a `ModelFailed`."""

from __future__ import annotations

import json
import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.runnables import Runnable, RunnableLambda

from hansei.errors import ModelFailed
from hansei.tools.language_model.answers import find_answer, keep_answer
from hansei.tools.language_model.endpoint import SHORT_ANSWER, Endpoint, client_of, turn_at
from hansei.tools.language_model.habits import Habits, habits_of
from hansei.tools.language_model.prompt import Filled, PromptVersion
from hansei.tools.language_model.statuses import Again, failure_of, not_reached, too_long
from hansei.tools.language_model.usage import ModelMeter

Messages = Sequence[tuple[str, str] | BaseMessage]
"""(role, text), or a message of LangChain's: an earlier answer that calls tools, and what the tools said."""


def and_then(messages: Messages, *more: tuple[str, str] | BaseMessage) -> Messages:
    """Messages and others after them, which still are of the same prompt."""
    return Filled([*messages, *more], _version_of(messages))


def _version_of(messages: Messages) -> PromptVersion | None:
    return messages.version if isinstance(messages, Filled) else None


ATTEMPTS = 4
"""How often a question is sent at most, when the model is busy or cannot be reached."""

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 20.0
"""Seconds between two attempts: they double from the first on, and a Retry-After header counts up to the longest."""


@dataclass(frozen=True)
class Called:
    """A tool that the model calls. `arguments` is None when they are no JSON object."""

    id: str
    name: str
    arguments: dict[str, Any] | None


@dataclass(frozen=True)
class Reply:
    """An answer: its text, and the offered tools that it calls."""

    text: str
    calls: list[Called] = field(default_factory=list)
    message: AIMessage | None = None
    """The whole answer, to go on from."""


def call(
    endpoint: Endpoint,
    meter: ModelMeter,
    node: str,
    messages: Messages,
    *,
    tool: dict[str, Any] | None = None,
    tools: Sequence[dict[str, Any]] = (),
    response_format: dict[str, Any] | None = None,
    keep: Callable[[Reply], bool] = lambda reply: True,
    until: float = math.inf,
) -> Reply:
    """Asks the model, or gives the answer that it gave before, if the endpoint has a cache.

    Sent again after HTTP 408, 429, 5xx and a lost connection; never after another 4xx, nor after a timeout, since a run
    should not wait several times. A refusal that tells how the endpoint wants to be asked is no attempt: without a
    temperature, with the limit named otherwise, or with room for a short answer only.

    Args:
        endpoint: which model, where.
        meter: counts each attempt that the model answered, and refuses it when the run's bounds are reached.
        node: who asks.
        messages: roles and texts.
        tool: a function in OpenAI's form that must be called.
        tools: functions that may be called, several in one answer.
        response_format: in OpenAI's form.
        keep: whether an answer is worth keeping in the cache.
        until: when an answer is of no use any more, by the monotonic clock.

    Raises:
        ModelFailed: there is no answer that could be used.
    """
    body: dict[str, Any] = {}
    if response_format is not None:
        body["response_format"] = response_format
    if tool is not None:
        body["tool_choice"] = {"type": "function", "function": {"name": tool["name"]}}
    if offered := [tool] if tool is not None else list(tools):
        body["tools"] = [{"type": "function", "function": one} for one in offered]
    letters = letters_of(messages)
    if endpoint.dry:
        meter.add_estimate(node, letters + len(json.dumps(body)))
        raise ModelFailed("The model was not asked: this is a dry run.", reason="budget")
    asked = {"messages": [_plain(message) for message in messages], **body}
    habits = habits_of(endpoint)
    if habits.cold and (kept := _kept(find_answer(endpoint.cache, endpoint.identity, asked))) is not None:
        meter.add_cached(node)
        return _reply(kept, habits)
    with meter.waiting():
        reply = _until_answered(endpoint, meter, node, messages, body, letters, until)
    if habits.cold and keep(reply) and reply.message is not None:
        keep_answer(endpoint.cache, endpoint.identity, asked, _said(reply.message))
    return reply


def _until_answered(
    endpoint: Endpoint,
    meter: ModelMeter,
    node: str,
    messages: Messages,
    body: dict[str, Any],
    letters: int,
    until: float,
) -> Reply:
    habits = habits_of(endpoint)
    attempt, pause, short = 1, 0.0, False
    while True:
        if pause:
            time.sleep(pause)
            pause = 0.0
        meter.admit(letters)
        try:
            with turn_at(endpoint, min(meter.seconds_left, until - time.monotonic())) as may:
                meter.check_time()
                if not may or until <= time.monotonic():
                    raise ModelFailed(
                        "The model was not asked: other questions took all the time.", "Raise Context.model_budget.",
                        reason="budget",
                    )  # fmt: skip
                seconds = min(endpoint.timeout, meter.seconds_left, until - time.monotonic())
                reply = _once(endpoint, meter, node, messages, body, seconds, short=short)
        except _Otherwise:
            continue
        except Again as again:
            pause = _pause(attempt, again.after)
            if attempt == ATTEMPTS or pause >= min(meter.seconds_left, until - time.monotonic()):
                meter.heard(False)
                raise again.failure from None
            attempt += 1
        except ModelFailed as failure:
            # A time that was cut short says nothing about the model.
            if failure.reason != "timeout" or seconds == endpoint.timeout:
                meter.heard(failure.reason != "timeout")
            if failure.reason == "timeout" and seconds == endpoint.timeout and endpoint.foreign:
                habits.be_brief()
            if failure.reason != "too_long":
                raise
            if short or habits.longest <= SHORT_ANSWER:
                habits.too_many = min(habits.too_many, letters)
                raise
            short = True
        else:
            meter.heard(True)
            if short:
                habits.longest = SHORT_ANSWER
            return reply
        finally:
            meter.done(letters)


class _Otherwise(Exception):
    """The endpoint's habits are known better now: the question goes out again as they want it."""


def _plain(message: tuple[str, str] | BaseMessage) -> list[Any]:
    """A message as the cache knows it, without what differs from one run to the next."""
    if isinstance(message, BaseMessage):
        return [message.type, message.content, getattr(message, "tool_calls", []), getattr(message, "tool_call_id", "")]
    return list(message)


def _kept(found: dict[str, Any] | None) -> AIMessage | None:
    """An answer out of the cache; None: there is none, or somebody made something else of it."""
    try:
        return None if found is None else AIMessage(**found)
    except (TypeError, ValueError):
        return None


def _said(message: AIMessage) -> dict[str, Any]:
    """What of an answer is kept."""
    return {
        "content": str(message.text),
        "tool_calls": message.tool_calls,
        "invalid_tool_calls": message.invalid_tool_calls,
    }


def letters_of(messages: Messages) -> int:
    """How much the model is told."""
    return sum(map(_letters, messages))


def _letters(message: tuple[str, str] | BaseMessage) -> int:
    if isinstance(message, BaseMessage):
        calls = json.dumps(getattr(message, "tool_calls", []), default=str)
        return len(str(message.content)) + len(calls)
    return len(message[1])


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
    body: dict[str, Any],
    seconds: float,
    *,
    short: bool,
) -> Reply:
    late = ModelFailed(
        f"The model did not answer within {max(0.0, seconds):.3g} s.",
        "Raise HANSEI_MODEL_TIMEOUT (Context.model_timeout).",
        reason="timeout",
    )
    if seconds <= 0:
        raise late
    client = client_of(endpoint)
    import openai
    from langchain_core.exceptions import ContextOverflowError
    from langchain_openai._compat import httpx

    habits = habits_of(endpoint)
    how: dict[str, Any] = {"extra_body": {**habits.body(short=short), **body}, "timeout": seconds}
    if not habits.streams:
        how["stream"] = False
    try:
        message = _sent(client.bind(**how), messages)
    except ContextOverflowError:
        raise too_long() from None
    except (openai.APITimeoutError, httpx.TimeoutException):
        raise late from None
    except openai.APIStatusError as error:
        raise (_Otherwise() if habits.learn(error) else failure_of(error)) from None
    except (openai.APIConnectionError, httpx.HTTPError) as error:
        raise not_reached(error, named=endpoint.url is not None) from None
    except (openai.OpenAIError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        # What langchain-openai raises for an answer that is none of a chat model: HTML, null, a list.
        meter.add(node, None, letters=(letters_of(messages), 0))
        if habits.streams and _is_streamed():
            habits.streams = False  # a whole answer, where the pieces of one were asked for
            raise _Otherwise from None
        raise ModelFailed(
            "The model answered with something that is no chat completion.", "Check OPENAI_BASE_URL.", reason="invalid"
        ) from None
    usage, letters = message.usage_metadata, (letters_of(messages), _letters(message))
    meter.add(node, dict(usage) if usage else None, _told_cost(message.response_metadata), letters=letters)
    return _reply(message, habits)


def _sent(model: Runnable[Any, AIMessage], messages: Messages) -> AIMessage:
    """What the model answers, behind a step that names the messages' prompt where Langfuse holds it.

    Langfuse's handler links a generation to the prompt that a step before it, in the same chain, has in its metadata.
    """
    version = _version_of(messages)
    if version is None:
        return model.invoke(list(messages))
    told: Runnable[Any, Any] = RunnableLambda(lambda nothing: list(messages), name="prompt")
    chain = told.with_config(metadata={"langfuse_prompt": version}) | model
    return chain.with_config(run_name=version.name).invoke({})


def can_stream(endpoint: Endpoint) -> bool:
    """Whether a short answer comes in pieces when it is asked for so; it is not counted."""
    client, habits = client_of(endpoint), habits_of(endpoint)
    import openai
    from langchain_openai._compat import httpx

    question = [("user", "This is a test of the connection: answer with the word yes.")]
    try:
        return any(piece.text for piece in client.stream(question, extra_body=habits.body()))
    except (openai.OpenAIError, httpx.HTTPError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        return False


def _is_streamed() -> bool:
    """Whether a host listens for the pieces of an answer, so that langchain asks for them."""
    from langchain_core.runnables.config import ensure_config

    callbacks: Any = ensure_config().get("callbacks")
    return any(hasattr(one, "tap_output_iter") for one in getattr(callbacks, "handlers", callbacks) or [])


def _reply(message: AIMessage, habits: Habits) -> Reply:
    if message.additional_kwargs.get("refusal"):
        raise ModelFailed("The model declined to answer.", "Choose another model.", reason="refusal")
    finish = message.response_metadata.get("finish_reason")
    if finish == "content_filter":
        raise ModelFailed("The model's answer was filtered.", "Choose another model.", reason="refusal")
    if finish == "length":
        if _thought(message) and habits.think_longer():
            raise _Otherwise
        raise ModelFailed("The model's answer was cut off.", "Choose another model.", reason="truncated")
    text = str(message.text).strip()
    calls = [Called(one["id"] or "", one["name"], dict(one["args"])) for one in message.tool_calls]
    calls += [Called(one["id"] or "", one["name"] or "", None) for one in message.invalid_tool_calls]
    if not text and not calls:
        raise ModelFailed("The model's answer was empty.", "Choose another model.", reason="empty")
    return Reply(text, calls, message)


def _thought(message: AIMessage) -> int:
    """Tokens that the model thought, of those that it wrote."""
    usage: dict[str, Any] = dict(message.usage_metadata or {})
    return int((usage.get("output_token_details") or {}).get("reasoning") or 0)


def _told_cost(metadata: dict[str, Any]) -> float | None:
    """US dollars, from endpoints that say so with the usage."""
    cost = (metadata.get("token_usage") or {}).get("cost")
    if not isinstance(cost, int | float) or not math.isfinite(cost) or cost < 0:
        return None
    return float(cost)
