"""An OpenAI-compatible endpoint, and the client that reaches it: built when it is first needed, then shared."""

from __future__ import annotations

import atexit
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from pydantic import SecretStr

from hansei.context import Context
from hansei.errors import ModelFailed
from hansei.tools.langfuse.connection import shown_address
from hansei.tools.langfuse.masking import Mask, mask, unmasked
from hansei.tools.language_model.answers import cache_file
from hansei.tools.language_model.managed import PACKAGED, Prompts, prompts_of

if TYPE_CHECKING:
    from langchain_openai import ChatOpenAI
    from langchain_openai._compat import httpx  # httpx or httpx2: what the installed openai sends with

LONGEST_ANSWER = 4_000
"""Tokens that the model may write in one answer."""

SHORT_ANSWER = 1_000
"""The same for a model whose window has no room for more beside the question."""

LONGEST_THOUGHT = 16_000
"""The same for a model that was cut off while it thought, which counts as written."""


@dataclass(frozen=True)
class Endpoint:
    """Which model is asked, and where. Two of the same values share one client.

    `url` is None for OpenAI itself; it may hold a password, so neither it nor the key is shown.
    """

    model: str
    url: SecretStr | None
    key: SecretStr | None
    timeout: float
    """Seconds."""
    cache: Path | None = None
    """Where answers are kept; None: nowhere."""
    masked: bool = True
    """Whether personal data and secrets are masked in what it is sent."""
    dry: bool = False
    """Whether questions are counted and not sent."""
    at_once: int = 32
    """Questions that may be under way from this process."""
    prompts: Prompts = field(default=PACKAGED, compare=False, repr=False)
    """What it is told."""

    @property
    def foreign(self) -> bool:
        """Whether it is somebody else's server."""
        return self.url is not None and "://api.openai.com" not in self.url.get_secret_value()

    @property
    def place(self) -> tuple[str, str | None]:
        """The model and its address."""
        return self.model, self.url.get_secret_value() if self.url else None

    @property
    def address(self) -> str:
        """Where it is, as it may be shown."""
        return shown_address(self.url.get_secret_value()) if self.url else "OpenAI"

    @property
    def identity(self) -> tuple[str, ...]:
        """What tells whether the same question would be answered by the same model, to the same account."""
        return self.model, *((part.get_secret_value() if part else "") for part in (self.url, self.key))

    @property
    def masking(self) -> Mask:
        """What every text of a trace goes through before it is sent."""
        return mask if self.masked else unmasked


def endpoint_of(context: Context, run_id: str | None = None) -> Endpoint | None:
    """The endpoint that the context and OPENAI_BASE_URL, OPENAI_API_KEY name; None: no model.

    Args:
        context: the run's.
        run_id: the run, for which prompts are fetched once; None: the packaged ones.
    """
    if context.model is None:
        return None
    url, key = ((os.environ.get(name) or "").strip() for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY"))
    return Endpoint(
        context.model,
        SecretStr(url) if url else None,
        SecretStr(key) if key else None,
        context.model_timeout,
        cache_file() if context.model_cache else None,
        context.masking,
        context.model_dry_run,
        context.model_at_once,
        prompts_of(run_id, context.prompt_label) if run_id else PACKAGED,
    )


_clients: dict[Endpoint, tuple[ChatOpenAI, Callable[[], None]]] = {}
"""With what closes them."""
_lock = threading.Lock()


def client_of(endpoint: Endpoint) -> ChatOpenAI:
    """The client of an endpoint. It does not retry: `hansei.tools.language_model.calling` does.

    Raises:
        ModelFailed: as `unusable` says.
    """
    with _lock:
        if endpoint not in _clients:
            _clients[endpoint] = _open(endpoint)
        return _clients[endpoint][0]


def unusable(endpoint: Endpoint) -> ModelFailed | None:
    """Why nothing can be sent to an endpoint as it is named; None: it can be tried."""
    if endpoint.key is None and not endpoint.foreign:
        return ModelFailed(
            "The model has no key.", "Set OPENAI_API_KEY, or OPENAI_BASE_URL for a server of your own.", reason="setup"
        )
    if endpoint.url is not None and not _is_address(endpoint.url.get_secret_value()):
        return ModelFailed(
            "The model's address (OPENAI_BASE_URL) is none of a server.", "Write it as http://host:8000/v1 or https://host/v1.",
            reason="setup",
        )  # fmt: skip
    if endpoint.key is not None and not re.fullmatch("[!-~]+", endpoint.key.get_secret_value()):
        return ModelFailed(
            "The model's key (OPENAI_API_KEY) holds characters that cannot be sent.",
            "Set it anew: letters, digits and signs, without blanks and typographic quotation marks.", reason="setup",
        )  # fmt: skip
    return None


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and url.isprintable()
    except ValueError:  # brackets that are no address, or a port that is no number
        return False


_turns: dict[tuple[tuple[str, str | None], int], threading.BoundedSemaphore] = {}


@contextmanager
def turn_at(endpoint: Endpoint, seconds: float) -> Iterator[bool]:
    """Waits until a question may be sent, since only so many may be under way; gives whether it may.

    Args:
        seconds: that it waits at most.
    """
    with _lock:
        turns = _turns.setdefault((endpoint.place, endpoint.at_once), threading.BoundedSemaphore(endpoint.at_once))
    taken = turns.acquire(timeout=min(max(0.0, seconds), threading.TIMEOUT_MAX))
    try:
        yield taken
    finally:
        if taken:
            turns.release()


def models_of(endpoint: Endpoint) -> dict[str, dict[str, Any]]:
    """What the server tells of its models, by name.

    Raises:
        ModelFailed: it does not tell, or nothing that could be read.
    """
    client = client_of(endpoint)
    import openai
    from langchain_openai._compat import httpx

    try:
        listed = client.root_client.models.list().data
        return {str(one.id): one.model_dump() for one in listed}
    except (openai.OpenAIError, httpx.HTTPError, AttributeError, LookupError, TypeError, ValueError):
        raise ModelFailed("The model's server does not tell which models it has.", reason="request") from None


def close_models() -> None:
    """Closes the clients; the next call opens a new one."""
    with _lock:
        while _clients:
            _clients.popitem()[1][1]()


atexit.register(close_models)


def _open(endpoint: Endpoint) -> tuple[ChatOpenAI, Callable[[], None]]:
    if failure := unusable(endpoint):
        raise failure
    # Here, since a run without a model needs none of it, and it takes half a second.
    from langchain_openai import ChatOpenAI
    from langchain_openai._compat import httpx  # httpx or httpx2: what the installed openai sends with
    from openai import DefaultHttpxClient

    class Timed(httpx.SyncByteStream):
        """An answer that must be complete in time: httpx's own limit is only on the pause between two pieces."""

        def __init__(self, stream: httpx.SyncByteStream, seconds: float) -> None:
            self._stream = stream
            self._until = time.monotonic() + seconds

        def __iter__(self) -> Iterator[bytes]:
            for piece in self._stream:
                if time.monotonic() > self._until:
                    raise httpx.ReadTimeout("The answer took too long.")
                yield piece

        def close(self) -> None:
            self._stream.close()

    def limit(response: httpx.Response) -> None:
        if isinstance(response.stream, httpx.SyncByteStream):
            seconds = response.request.extensions.get("timeout", {}).get("read") or endpoint.timeout
            response.stream = Timed(response.stream, seconds)

    wire = DefaultHttpxClient(event_hooks={"response": [limit]}, timeout=endpoint.timeout)
    given: dict[str, Any] = {}
    if endpoint.url is not None:
        # What stands behind a question mark (Azure's api-version) belongs behind the path of each request.
        address, _, query = endpoint.url.get_secret_value().partition("?")
        given = {"base_url": address, "default_query": dict(parse_qsl(query)) or None}
    client = ChatOpenAI(
        model=endpoint.model,
        api_key=endpoint.key or SecretStr("none"),
        timeout=endpoint.timeout,
        max_retries=0,
        cache=False,  # not the host's either, which knows nothing of what is kept here
        use_responses_api=False,
        stream_usage=True,
        http_client=wire,
        http_socket_options=(),  # of a client that is not used; they make it warn about proxies
        **given,
    )
    return client, wire.close
