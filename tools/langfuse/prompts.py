"""Prompts in Langfuse's prompt management: read by label within a bounded time, and what there is of each."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hansei.errors import LangfuseFailed
from hansei.tools.langfuse.api import Api, Patience, in_path, open_api
from hansei.tools.langfuse.connection import Server

if TYPE_CHECKING:
    from langfuse.api import Prompt

Message = tuple[str, str]
"""(role, text)."""


@dataclass(frozen=True)
class StoredPrompt:
    """One version of a prompt, as Langfuse holds it. What is no message of a chat has a role that no chat has."""

    name: str
    version: int
    messages: tuple[Message, ...]
    labels: tuple[str, ...] = ()


def get_prompt(api: Api, name: str, *, label: str | None = None, version: int | None = None) -> StoredPrompt:
    """A prompt's version of a label, or of a number.

    Raises:
        LangfuseFailed: there is none (`reason` “not_found”), or Langfuse does not say.
    """
    found = api.ask(api.client.prompts.get, in_path(name), label=label, version=version)
    return StoredPrompt(found.name, found.version, tuple(_messages(found)), tuple(found.labels))


def versions_of(api: Api, name: str) -> list[int]:
    """The numbers of a prompt's versions, the newest first.

    Raises:
        LangfuseFailed: Langfuse does not say.
    """
    found = api.ask(api.client.prompts.list, name=name, limit=100).data
    return sorted((version for one in found if one.name == name for version in one.versions), reverse=True)


def fetch_prompts(
    server: Server, names: Sequence[str], label: str, seconds: float
) -> dict[str, StoredPrompt | LangfuseFailed]:
    """The prompts of a label, side by side, each asked for once; what did not come in time has failed.

    Args:
        server: where, with which keys.
        names: of the prompts.
        label: which version of each.
        seconds: how long is waited for all of them together; loading the SDK comes on top, once in a process.
    """
    import langfuse.api  # noqa: F401 - here, so that loading it is not taken for Langfuse being slow

    found: dict[str, StoredPrompt | LangfuseFailed] = {}

    def fetch(api: Api, name: str) -> None:
        try:
            found[name] = get_prompt(api, name, label=label)
        except LangfuseFailed as failure:
            found[name] = failure

    def fetch_all() -> None:
        try:
            with open_api(server, patience=Patience(attempts=1)) as api:
                threads = [threading.Thread(target=fetch, args=(api, name), daemon=True) for name in names]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
        except LangfuseFailed as failure:
            found.update(dict.fromkeys(names, failure))

    # A server that sends a byte now and then keeps a client busy for ever: then nobody waits for this thread.
    all_of_them = threading.Thread(target=fetch_all, name="hansei-prompts", daemon=True)
    all_of_them.start()
    all_of_them.join(seconds)
    late = LangfuseFailed(
        f"Langfuse at {server.address} did not answer within {seconds:g} s.", "Check LANGFUSE_BASE_URL.",
        reason="unreachable",
    )  # fmt: skip
    come = dict(found)
    return {name: come.get(name, late) for name in names}


def _messages(prompt: Prompt) -> list[Message]:
    if isinstance(prompt.prompt, str):
        return [("text", prompt.prompt)]
    return [_message(one) for one in prompt.prompt]


def _message(one: Any) -> Message:
    content = getattr(one, "content", None)
    return ("placeholder", str(one.name)) if content is None else (str(one.role), str(content))
