"""The callback handlers that LangGraph sees: one for a single traced run, one for a server that runs many.

Both pass every event on to Langfuse's own handler. They need langchain-core only; Langfuse is imported when a run is
traced.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable
from contextvars import Context, ContextVar
from typing import Any, Protocol, Self
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler, BaseCallbackManager

_EVENTS = (
    "on_chain_start", "on_chain_end", "on_chain_error", "on_llm_start", "on_chat_model_start", "on_llm_new_token",
    "on_llm_end", "on_llm_error", "on_tool_start", "on_tool_end", "on_tool_error", "on_retriever_start",
    "on_retriever_end", "on_retriever_error", "on_agent_action", "on_agent_finish",
)  # fmt: skip
"""What Langfuse's handler listens to."""

_log = logging.getLogger("hansei.tracing")
_delivering: ContextVar[RunHandler | None] = ContextVar("hansei_tracing_delivers", default=None)


class Trace(Protocol):
    """What a handler needs of a `RunTrace`."""

    @property
    def handler(self) -> BaseCallbackHandler | None: ...
    @property
    def url(self) -> str | None: ...
    def close(self) -> str | None: ...


class TracingHandler(BaseCallbackHandler):
    """Base of both: receives each event in `deliver`, and knows the link to the trace of a run.

    `failed` counts events that could not be traced, which the run does not notice.
    """

    failed = 0

    def deliver(self, event: str, *args: Any, run_id: UUID, parent_run_id: UUID | None = None, **kwargs: Any) -> None:
        raise NotImplementedError

    def url_of(self, run_id: UUID | None) -> str | None:
        """The link to the trace that the run with this id (of LangChain) belongs to."""
        raise NotImplementedError


class _Quiet(logging.Filter):
    """Turns what the SDK logs about an event of ours into a debug message of ours; a host's own use still logs."""

    def filter(self, record: logging.LogRecord) -> bool:
        handler = _delivering.get()
        if handler is None:
            return True
        if record.levelno >= logging.ERROR:
            handler.failed += 1
        _log.debug("%s: %s", record.name, record.getMessage())
        return False


_quiet = _Quiet()


def keep_quiet(*loggers: str) -> None:
    """Keeps these loggers from writing to stderr about events that `RunHandler` delivers."""
    for name in loggers:
        logging.getLogger(name).addFilter(_quiet)


def _receiver(event: str) -> Callable[..., None]:
    def receive(self: TracingHandler, *args: Any, **kwargs: Any) -> None:
        try:
            self.deliver(event, *args, **kwargs)
        except Exception as error:  # noqa: BLE001 - tracing must never harm the run
            self.failed += 1
            _log.debug("an event of the run was not traced: %s", error)

    receive.__name__ = event
    return receive


for _event in _EVENTS:
    setattr(TracingHandler, _event, _receiver(_event))


class RunHandler(TracingHandler):
    """Gives the events of one run to Langfuse's handler, each in an empty context.

    Langfuse's handler leaves its spans in OpenTelemetry's context variable, which all providers share. In an empty
    context it neither finds a host's span there nor leaves one of ours; it needs neither, since it finds parents by
    LangChain's run ids.
    """

    def __init__(self, inner: BaseCallbackHandler, url: Callable[[], str | None]) -> None:
        self._inner = inner
        self._url = url

    def deliver(self, event: str, *args: Any, run_id: UUID, parent_run_id: UUID | None = None, **kwargs: Any) -> None:
        if event.endswith("_error") and args:
            args = (_tellable(args[0]), *args[1:])
        elif event.startswith("on_chain"):
            args = tuple(_without_quotes(value) for value in args)

        def receive() -> None:
            _delivering.set(self)
            getattr(self._inner, event)(*args, run_id=run_id, parent_run_id=parent_run_id, **kwargs)

        Context().run(receive)

    def url_of(self, run_id: UUID | None) -> str | None:
        return self._url()


_QUOTING = frozenset({"rows", "excerpts"})
"""Parts of the state that quote the data: the answers to queries, and lines of example traces."""


def _without_quotes(value: Any) -> Any:
    """A node's input or output with a count in place of what quotes the data.

    The traces of a run may be read by others than the data that it looked at.
    """
    if isinstance(value, dict):
        return {
            key: f"{len(inner)} {key}"
            if key in _QUOTING and isinstance(inner, list) and inner
            else _without_quotes(inner)
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [_without_quotes(inner) for inner in value]
    return value


def _tellable(error: BaseException) -> BaseException:
    """The error, or one with the same words in ASCII when they quote text that cannot be encoded (half a surrogate)."""
    try:
        str(error).encode()
    except UnicodeEncodeError:
        return RuntimeError(str(error).encode("ascii", "backslashreplace").decode())
    return error


class ServerHandler(TracingHandler):
    """Is bound to a graph that a server runs: gives every run a trace of its own, made when the run starts.

    Args:
        start: makes the trace of a run, from LangChain's run id and the run's metadata.
    """

    def __init__(self, start: Callable[[UUID, dict[str, Any]], Trace]) -> None:
        self._start = start
        self._traces: dict[UUID, Trace] = {}
        self._roots: dict[UUID, UUID] = {}

    def deliver(self, event: str, *args: Any, run_id: UUID, parent_run_id: UUID | None = None, **kwargs: Any) -> None:
        starts, ends = event.endswith("_start"), event.endswith(("_end", "_error"))
        if starts:
            root = self._roots.get(parent_run_id, run_id) if parent_run_id else run_id
            if root == run_id:
                self._traces[run_id] = self._start(run_id, dict(kwargs.get("metadata") or {}))
            self._roots[run_id] = root
        else:
            root = self._roots.get(run_id, run_id)
        trace = self._traces.get(root)
        if trace is not None and trace.handler is not None:
            parent = None if root == run_id else parent_run_id
            getattr(trace.handler, event)(*args, run_id=run_id, parent_run_id=parent, **kwargs)
        if ends:
            self._roots.pop(run_id, None)
            if root == run_id:
                self._end(root)

    def _end(self, root: UUID) -> None:
        trace = self._traces.pop(root, None)
        for run_id in [run_id for run_id, top in list(self._roots.items()) if top == root]:
            self._roots.pop(run_id, None)  # a node that was cancelled never told of its end
        if trace is not None and trace.handler is not None:
            threading.Thread(target=_finish, args=(trace,), name="hansei-trace-end", daemon=True).start()

    def url_of(self, run_id: UUID | None) -> str | None:
        root = self._roots.get(run_id) if run_id else None
        trace = self._traces.get(root) if root else None
        return trace.url if trace is not None else None


class YieldingCallbacks(BaseCallbackManager):
    """Holds the handler that is bound to a graph, until the caller of the graph adds one that writes to Langfuse too.

    Two of them would write every observation twice.
    """

    @classmethod
    def holding(cls, handler: ServerHandler) -> Self:
        return cls(handlers=[handler], inheritable_handlers=[handler])

    def add_handler(self, handler: BaseCallbackHandler, inherit: bool = True) -> None:
        super().add_handler(handler, inherit)
        self._yield()

    def merge(self, other: BaseCallbackManager) -> Self:
        merged = super().merge(other)
        merged._yield()
        return merged

    def _yield(self) -> None:
        bound = [handler for handler in self.handlers if isinstance(handler, ServerHandler)]
        if any(writes_to_langfuse(handler) and handler not in bound for handler in self.handlers):
            for handler in bound:
                self.remove_handler(handler)


def writes_to_langfuse(handler: BaseCallbackHandler) -> bool:
    """Whether it is a handler of Langfuse: the SDK's, or one of these."""
    sdk = sys.modules.get("langfuse.langchain")
    return isinstance(handler, TracingHandler) or (sdk is not None and isinstance(handler, sdk.CallbackHandler))


def _finish(trace: Trace) -> None:
    lost = trace.close()
    if lost:
        _log.warning(lost)
