"""The packaged prompts in Langfuse's prompt management: what is there of them, and what would be written.

states = prompt_states(api, packaged, label)
outcome = write_if_approved(prompts_plan(states, label, …), PushingPrompts(label), decide)

The same text makes no new version: where an older version holds it, that one gets the label.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hansei import __version__
from hansei.context import Context
from hansei.contracts.writes import PendingWrite, WritePlan, WriteResult
from hansei.errors import HanseiError, LangfuseFailed
from hansei.tools.langfuse.api import in_path, open_api
from hansei.tools.langfuse.prompts import Message, StoredPrompt, get_prompt, versions_of
from hansei.tools.language_model.managed import Unfit, fitting
from hansei.tools.language_model.prompt import Prompt

if TYPE_CHECKING:
    from hansei.tools.langfuse.api import Api

MOST_VERSIONS = 20
"""Versions of a prompt that are looked through for the packaged text, newest first."""


@dataclass(frozen=True)
class PromptState:
    """A packaged prompt, and what Langfuse holds of it: under the label, and the newest version with the same text."""

    name: str
    packaged: Prompt
    labelled: StoredPrompt | None = None
    same: StoredPrompt | None = None

    @property
    def is_there(self) -> bool:
        """Whether the label is at the packaged text already."""
        return self.labelled is not None and self.labelled == self.same

    @property
    def refused(self) -> str:
        """Why a run does not take what has the label; empty: it does, or there is nothing."""
        try:
            if self.labelled is not None:
                fitting(self.labelled.messages, self.packaged)
        except Unfit as why:
            return str(why)
        return ""

    @property
    def told(self) -> str:
        """What Langfuse holds, in a few words."""
        if self.labelled is None:
            return f"version {self.same.version} without the label" if self.same else "not there"
        text = "the packaged text" if self.is_there else f"refused: {self.refused}" if self.refused else "another text"
        return f"version {self.labelled.version}, {text}"

    @property
    def what(self) -> str:
        """What a push would leave there."""
        how = f"label on version {self.same.version}, which holds the packaged text" if self.same else "a new version"
        return f"prompt {self.name}: {how} (now: {self.told})"


def prompt_states(api: Api, packaged: Mapping[str, Prompt], label: str) -> list[PromptState]:
    """What Langfuse holds of the packaged prompts.

    Raises:
        LangfuseFailed: it does not say.
    """
    return [_state(api, name, prompt, label) for name, prompt in packaged.items()]


def _state(api: Api, name: str, packaged: Prompt, label: str) -> PromptState:
    labelled = _found(api, name, label=label)
    if labelled is not None and labelled.messages == packaged.messages:
        return PromptState(name, packaged, labelled, labelled)
    for version in versions_of(api, name)[:MOST_VERSIONS]:
        stored = _found(api, name, version=version)
        if stored is not None and stored.messages == packaged.messages:
            return PromptState(name, packaged, labelled, stored)
    return PromptState(name, packaged, labelled)


def _found(api: Api, name: str, *, label: str | None = None, version: int | None = None) -> StoredPrompt | None:
    try:
        return get_prompt(api, name, label=label, version=version)
    except LangfuseFailed as failure:
        if failure.reason != "not_found":
            raise
        return None


def prompts_plan(states: Sequence[PromptState], label: str, address: str, project_id: str) -> WritePlan:
    """What a push would write, for the approval gate."""
    return WritePlan(
        what=f"prompts with the label {label}",
        where=f"Langfuse at {address}, project {project_id}",
        writes=[
            PendingWrite(
                key=state.name,
                what=state.what,
                content={
                    "label": label,
                    "messages": [list(one) for one in state.packaged.messages],
                    "version": state.same.version if state.same else None,
                },
            )
            for state in states
            if not state.is_there
        ],
    )


class PushingPrompts:
    """Does the writes that were approved, for `hansei.graph.writes`. `failure` is what ended it early, if anything."""

    def __init__(self) -> None:
        self.failure: HanseiError | None = None

    def __call__(self, writes: Sequence[PendingWrite], context: Context) -> Iterable[WriteResult]:
        try:
            with open_api() as api:
                for write in writes:
                    _push(api, write.key, **write.content)
                    yield WriteResult(key=write.key)
        except HanseiError as failure:
            self.failure = failure
            raise


def _push(api: Api, name: str, label: str, messages: Sequence[Message], version: int | None) -> None:
    from langfuse.api import CreateChatPromptRequest

    if version is not None:
        api.ask(api.client.prompt_version.update, in_path(name), version, new_labels=[label])
        return
    body: dict[str, Any] = {
        "name": name,
        "type": "chat",
        "prompt": [{"role": role, "content": text} for role, text in messages],
        "labels": [label],
        "tags": ["hansei"],
        "commitMessage": f"Packaged with Hansei {__version__}",
    }
    api.ask(api.client.prompts.create, request=CreateChatPromptRequest.model_validate(body))
