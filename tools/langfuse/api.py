"""The one way to Langfuse's public API: the SDK's typed client, with patience, and with errors that can be shown.

    with open_api() as api:
        page = api.ask(api.client.scores.get_many, limit=100, fields="details,subject")

`api.client` is the SDK's `LangfuseAPI`. Everything is asked through `ask`, which keeps the SDK's types. A request that
may pass later (HTTP 408, 429, 5xx, a lost connection) is sent again, with pauses that double, or as long as Retry-After
says; another 4xx never is. A request that would do something twice if it were sent twice is only sent again when it is
sure that nothing was done. All failures are `LangfuseFailed`.

The SDK's client is generated from Langfuse 4's API. Importing the SDK takes more than a second, so it is only imported
when a client is opened.
"""

from __future__ import annotations

import random
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, Self, TypeVar
from urllib.parse import quote

import httpx

from hansei.errors import LangfuseFailed, LangfuseFailure, UsageError
from hansei.tools.langfuse.connection import Server, time_limit, verification

if TYPE_CHECKING:
    from langfuse.api import LangfuseAPI

P = ParamSpec("P")
T = TypeVar("T")
Item = TypeVar("Item", covariant=True)

_SECONDS = 30
"""How long one request may take when LANGFUSE_TIMEOUT says nothing: a page with inputs and outputs is large."""

_TRANSIENT = frozenset({408, 429, 500, 502, 503, 504})

_REPEATABLE_POSTS = re.compile(r"/api/public/(scores|dataset-items|v2/datasets)$")
"""What is written under an id or a name that the sender chose: sent twice, it is there once."""


@dataclass(frozen=True)
class Patience:
    """How often a request is sent, and how long is waited between two attempts, in seconds.

    Pauses double from the first one to the longest, and are shortened at random by up to a half, so that clients do not
    come back all at once. Retry-After counts up to `longest_told`.
    """

    attempts: int = 6
    first_pause: float = 0.5
    longest_pause: float = 20.0
    longest_told: float = 120.0


class Api:
    """Langfuse's public API with the keys of one project. Made by `open_api`; close it, or use it in a `with`."""

    def __init__(self, server: Server, patience: Patience, per_minute: float | None) -> None:
        self.server = server
        try:
            http = _PatientClient(patience, per_minute)
        except (ValueError, OSError):
            raise LangfuseFailed(
                "The settings of the connection to Langfuse cannot be used.",
                "Check LANGFUSE_TIMEOUT and the file with certificates that OTEL_EXPORTER_OTLP_CERTIFICATE names.",
                reason="setup",
            ) from None
        from langfuse.api import LangfuseAPI

        self._http = http
        self._project_id: str | None = None
        self.client: LangfuseAPI = LangfuseAPI(
            base_url=server.base_url,
            username=server.public_key,
            password=server.secret_key,
            x_langfuse_sdk_name="python",
            x_langfuse_sdk_version=version("langfuse"),
            x_langfuse_public_key=server.public_key,
            httpx_client=http,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def ask(self, method: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        """Calls a method of `client`.

        Raises:
            LangfuseFailed: it did not do what was asked.
        """
        from langfuse.api.core import ApiError
        from pydantic import ValidationError

        try:
            return method(*arguments, **named)
        except LangfuseFailed:
            raise
        except (ApiError, ValidationError, ValueError) as error:
            # The client of ours raises for every status but 2xx: what is left is an answer that the SDK cannot read.
            raise self._unreadable((isinstance(error, ApiError) and error.status_code) or 0) from None

    def read(self, path: str, query: Mapping[str, str | int | None], kind: type[Any]) -> dict[str, Any]:
        """Reads one page of many rows as plain data: the SDK takes milliseconds for each row.

        Only the page's first row is held against the SDK's type.

        Args:
            path: below ``api/public/``.
            query: by the names on the wire; None is left out.
            kind: the SDK's type of the page.

        Raises:
            LangfuseFailed: it did not do what was asked.
        """
        from langfuse.api.core.pydantic_utilities import parse_obj_as

        url = f"{self.server.base_url}/api/public/{path}"
        given = {name: value for name, value in query.items() if value is not None}
        try:
            page = self._http.get(url, params=given, headers=self.server.headers()).json()
            parse_obj_as(kind, {**page, "data": page["data"][:1]})
        except LangfuseFailed:
            raise
        except (ValueError, LookupError, TypeError):
            raise self._unreadable(0) from None
        return dict(page)

    def _unreadable(self, status: int) -> LangfuseFailed:
        return LangfuseFailed(
            f"Langfuse at {self.server.address} answered something that the installed SDK cannot read.",
            "Check that LANGFUSE_BASE_URL is Langfuse's own address and that its version is 4 or later.",
            reason="unreadable",
            status=status,
        )

    def project_id(self) -> str:
        """The project that the keys belong to; asked once.

        Raises:
            LangfuseFailed: it did not say.
        """
        if self._project_id is None:
            projects = self.ask(self.client.projects.get).data
            if len(projects) != 1:
                raise LangfuseFailed(
                    "The keys do not belong to one project.",
                    "Use the keys of a project, not those of an organisation.",
                    reason="credentials",
                )
            self._project_id = projects[0].id
        return self._project_id

    def require_project(self, wanted: str) -> None:
        """Holds what is written to the project that it is of.

        Raises:
            UsageError: the keys belong to another one.
            LangfuseFailed: Langfuse did not say.
        """
        if (found := self.project_id()) != wanted:
            raise UsageError(
                f"The keys belong to project “{found}”, the run is of “{wanted}”.", "Set the keys of the run's project."
            )


def open_api(server: Server | None = None, *, patience: Patience | None = None, per_minute: float | None = None) -> Api:
    """Opens a client. Nothing is sent yet.

    Args:
        server: where, and with which keys. Default: what LANGFUSE_BASE_URL, LANGFUSE_PUBLIC_KEY and
            LANGFUSE_SECRET_KEY say.
        patience: how a request is sent again.
        per_minute: the most requests that are sent per minute; None: as fast as Langfuse answers.

    Raises:
        LangfuseFailed: there are no keys, or a setting cannot be used.
    """
    server = server or Server.from_environment()
    if server is None:
        raise LangfuseFailed(
            "There are no keys for Langfuse's API.",
            "Set LANGFUSE_PUBLIC_KEY, LANGFUSE_SECRET_KEY and LANGFUSE_BASE_URL.",
            reason="setup",
        )
    return Api(server, patience or Patience(), per_minute)


def in_path(name: str) -> str:
    """A name that is part of a path, such as a dataset's: the SDK would send `a/b` as two parts."""
    return quote(name, safe="")


class _Meta(Protocol):
    @property
    def cursor(self) -> str | None: ...


class Page(Protocol[Item]):
    """A page of the kind that names the next one by a cursor."""

    @property
    def data(self) -> Sequence[Item]: ...

    @property
    def meta(self) -> _Meta: ...


def pages(ask: Callable[[str | None], Page[Item]], cursor: str | None = None) -> Iterator[Page[Item]]:
    """All pages from a cursor on.

    Args:
        ask: gives the page of a cursor; None is the first one.
        cursor: where to begin.

    Raises:
        LangfuseFailed: a page names itself as the next one, which would never end.
    """
    while True:
        page = ask(cursor)
        yield page
        following = page.meta.cursor
        if not following:
            return
        if following == cursor:
            raise LangfuseFailed(
                "Langfuse's pages go round in a circle.", "Try a smaller span of time.", reason="unreadable"
            )
        cursor = following


class _PatientClient(httpx.Client):
    """An HTTP client that sends again what may pass later, and raises `LangfuseFailed` for everything else."""

    def __init__(self, patience: Patience, per_minute: float | None) -> None:
        super().__init__(timeout=time_limit(_SECONDS), verify=verification())
        self._patience = patience
        self._interval = 60 / per_minute if per_minute else 0.0
        self._next = 0.0
        self._turn = threading.Lock()

    def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        for attempt in range(1, self._patience.attempts + 1):
            self._wait_for_turn()
            failure, after, unheard = _Failure(), None, False
            try:
                response = super().send(request, **options)
            except httpx.TimeoutException as error:
                failure, unheard = _Failure("did not answer in time"), isinstance(error, _NEVER_SENT)
            except httpx.TransportError as error:
                failure, unheard = _Failure("cannot be reached, or hung up"), isinstance(error, _NEVER_SENT)
            except (httpx.InvalidURL, httpx.HTTPError):
                raise _failed(request, _Failure("cannot be asked", "setup")) from None
            else:
                if response.is_success:
                    return response
                failure = _told(response)
                after, unheard = _retry_after(response), response.status_code == HTTPStatus.TOO_MANY_REQUESTS
            again = failure.passing and (unheard or _repeatable(request))
            if not again or attempt == self._patience.attempts:
                raise _failed(request, failure) from None
            time.sleep(self._pause(attempt, after))
        raise AssertionError("The last attempt returns or raises.")

    def _wait_for_turn(self) -> None:
        if not self._interval:
            return
        with self._turn:
            now = time.monotonic()
            start = max(now, self._next)
            self._next = start + self._interval
        time.sleep(start - now)

    def _pause(self, attempt: int, after: float | None) -> float:
        if after is not None:
            return min(after, self._patience.longest_told)
        doubled = min(self._patience.longest_pause, self._patience.first_pause * 2 ** (attempt - 1))
        return float(doubled * random.uniform(0.5, 1.0))


_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)


@dataclass(frozen=True)
class _Failure:
    """Words for a sentence that begins with “Langfuse at …”."""

    words: str = "did not answer"
    reason: LangfuseFailure = "unreachable"
    status: int = 0

    @property
    def passing(self) -> bool:
        return self.reason in ("unreachable", "rate_limit", "server")


_REMEDIES: dict[LangfuseFailure, str] = {
    "setup": "Check LANGFUSE_BASE_URL.",
    "unreachable": "Check LANGFUSE_BASE_URL and that Langfuse is up, then run the same command again.",
    "credentials": "Check LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY, and that LANGFUSE_BASE_URL is their server.",
    "not_found": "Check the name; if even known things are missing, check LANGFUSE_BASE_URL and Langfuse's version.",
    "refused": "Check the values that were given, and that Langfuse's version is 4 or later.",
    "rate_limit": "Wait a little, then run the same command again.",
    "server": "Look at Langfuse's own logs, then run the same command again.",
    "unreadable": "Check that LANGFUSE_BASE_URL is Langfuse's own address.",
}


def _told(response: httpx.Response) -> _Failure:
    status = response.status_code
    words = f"answered {status}"
    if response.is_redirect:
        return _Failure(f"{words}, a redirection", "setup", status)
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return _Failure(words, "credentials", status)
    if status == HTTPStatus.NOT_FOUND:
        return _Failure(words, "not_found", status)
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return _Failure(f"{words}, too many requests", "rate_limit", status)
    if status in _TRANSIENT or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return _Failure(words, "server", status)
    fields = _refused_fields(response)
    return _Failure(words + (f" to {', '.join(fields)}" if fields else ""), "refused", status)


def _refused_fields(response: httpx.Response) -> list[str]:
    """Which fields of the request Langfuse names as wrong. Its words are left out: they may quote what was sent."""
    try:
        named = response.json()["error"]
        paths = [".".join(str(part) for part in item["path"]) for item in named]
    except (ValueError, LookupError, TypeError):
        return []
    return [path for path in paths[:3] if re.fullmatch(r"[A-Za-z0-9_.]{1,60}", path)]


def _failed(request: httpx.Request, failure: _Failure) -> LangfuseFailed:
    address = f"{request.url.scheme}://{request.url.host}"
    if request.url.port:
        address += f":{request.url.port}"
    return LangfuseFailed(
        f"Langfuse at {address} {failure.words} ({request.method} {_shown_path(request)}).",
        _REMEDIES[failure.reason],
        reason=failure.reason,
        status=failure.status,
    )


def _shown_path(request: httpx.Request) -> str:
    """The path without ids and names, which may come out of a trace."""
    known = re.search(r"/api/public/((?:v\d+/)?[a-z-]+)", request.url.path)
    return known.group(1) if known else "its API"


def _repeatable(request: httpx.Request) -> bool:
    return request.method != "POST" or _REPEATABLE_POSTS.search(request.url.path) is not None


def _retry_after(response: httpx.Response) -> float | None:
    """Seconds that a Retry-After header tells to wait, as a number or as a date."""
    told = response.headers.get("retry-after", "").strip()
    if not told:
        return None
    try:
        seconds = float(told)
    except ValueError:
        try:
            moment = parsedate_to_datetime(told)
        except ValueError:
            return None
        seconds = (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    return max(0.0, seconds) if seconds == seconds else None
