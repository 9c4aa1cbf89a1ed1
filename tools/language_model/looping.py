"""A model that looks at things with tools until it has seen enough, within bounds.

Models with tools call them, several in one answer; others choose the next one in a structured answer. What a tool
refuses goes back to the model, which may correct itself. What was said before is cut to fit: the oldest answers of
tools first, which can be asked for again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from langchain_core.messages import BaseMessage, ToolMessage
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_function
from pydantic import BaseModel, ConfigDict, Field

from hansei.errors import ModelFailed
from hansei.tools.language_model.calling import Called, Messages, Reply, and_then, call
from hansei.tools.language_model.endpoint import Endpoint
from hansei.tools.language_model.habits import habits_of
from hansei.tools.language_model.structured import NOT_KNOWN, ask, fitted
from hansei.tools.language_model.usage import ModelMeter

Said = TypeVar("Said")

LEFT_OUT = "(Left out to save room. Ask again if you need it.)"


@dataclass(frozen=True)
class LoopBounds:
    """How long a model may look.

    Args:
        looks: calls of tools.
        turns: calls of the model.
        tokens: read and written together; the call that goes beyond is the last.
        seconds: after which it is not asked again, and an answer is not waited for.
        room: letters of the tools' answers in one question to the model.
    """

    looks: int = 12
    turns: int = 14
    tokens: int = 120_000
    seconds: float = 300.0
    room: int = 48_000


@dataclass(frozen=True)
class Look:
    """One call of a tool, with what it said and the ids of its evidence; `ok` is false when it refused."""

    tool: str
    arguments: str
    said: str
    ids: tuple[str, ...] = ()
    ok: bool = True


@dataclass
class Looks:
    """What a model has seen, in order, and why it stopped: '' when it had seen enough."""

    looks: list[Look] = field(default_factory=list)
    stopped: str = ""
    last_words: str = ""

    def told(self, letters: int) -> str:
        """The looks as text: the newest whole, of the oldest only what was asked, in so many letters."""
        shown: list[str] = []
        for number, look in reversed(list(enumerate(self.looks, 1))):
            asked = f"{number}. {look.tool} {look.arguments}"[:1_500]
            letters -= len(asked) + len(look.said) + 2
            shown.append(f"{asked}\n{look.said if letters > 0 else LEFT_OUT}")
        return "\n\n".join(reversed(shown))


Opening = Callable[[int], list[tuple[str, str]]]
"""Letters that what can be cut may take → the messages that begin the conversation."""


def look_around(
    endpoint: Endpoint,
    meter: ModelMeter,
    node: str,
    opening: Opening,
    tools: Sequence[BaseTool],
    bounds: LoopBounds,
) -> Looks:
    """Lets the model call tools until it stops or a bound is reached.

    Args:
        endpoint, meter, node: as in `call`.
        opening: the first messages; for a model without tools, how to choose one is added.
        tools: that answer with content and artifact; what they raise is raised.
        bounds: of the loop.

    Raises:
        ModelFailed: the model failed before anything was seen.
    """
    habits = habits_of(endpoint)
    loop = _Loop(endpoint, meter, node, opening, tools, bounds)
    try:
        if habits.tools is not False:
            loop.by_calls()
        if not loop.seen.looks and (habits.tools is False or not loop.seen.stopped):
            habits.tools = False
            loop.by_choices()
    except ModelFailed as failure:
        if not loop.seen.looks:
            raise
        loop.seen.stopped = failure.message
    return loop.seen


class _Choice(BaseModel):
    """The next tool to call, or done when enough has been seen."""

    model_config = ConfigDict(extra="forbid")

    tool: str = Field(description="Name of a tool, or done.")
    arguments: dict[str, Any] = Field(default_factory=dict, description="The tool's arguments; empty for done.")


class _Loop:
    def __init__(
        self,
        endpoint: Endpoint,
        meter: ModelMeter,
        node: str,
        opening: Opening,
        tools: Sequence[BaseTool],
        bounds: LoopBounds,
    ) -> None:
        self.endpoint, self.meter, self.node, self.opening = endpoint, meter, node, opening
        self.tools = {tool.name: tool for tool in tools}
        self.bounds = bounds
        self.seen = Looks()
        self._until = time.monotonic() + bounds.seconds
        self._turns = 0
        self._before = self._used()

    def _used(self) -> int:
        used = self.meter.by_node.get(self.node)
        return used.tokens if used else 0

    def _may_go_on(self) -> bool:
        bounds, spent = self.bounds, self._used() - self._before
        for reached, what in (
            (len(self.seen.looks) >= bounds.looks, f"{bounds.looks} looks at the data"),
            (self._turns >= bounds.turns, f"{bounds.turns} answers of the model"),
            (spent >= bounds.tokens, f"{bounds.tokens:,} tokens"),
            (time.monotonic() >= self._until, f"{bounds.seconds:g} s"),
        ):
            if reached:
                self.seen.stopped = f"It ended after {what}."
                return False
        self._turns += 1
        return True

    def by_calls(self) -> None:
        """The model calls tools."""
        functions = [convert_to_openai_function(tool) for tool in self.tools.values()]
        said: list[BaseMessage] = []
        while self._may_go_on():
            try:
                reply = self._asked(said, functions)
            except ModelFailed as failure:
                no_tools = failure.status in NOT_KNOWN or failure.reason in ("empty", "invalid", "truncated")
                if no_tools and not self.seen.looks and habits_of(self.endpoint).tools is not True:
                    return  # it knows no tools: it refuses them, or writes until it is cut off
                raise
            if not reply.calls or reply.message is None:
                self.seen.last_words = reply.text
                return
            said.append(reply.message)
            for called in reply.calls:
                look = self._look(called)
                said.append(ToolMessage(look.said, tool_call_id=called.id))

    def by_choices(self) -> None:
        """The model chooses tools in structured answers."""
        described = "\n\n".join(
            f"{tool.name}: {tool.description}\nArguments: {json.dumps(tool.get_input_jsonschema(), ensure_ascii=False)}"
            for tool in self.tools.values()
        )
        told = "Choose the next tool and its arguments, or done when you have seen enough.\n\nTools:\n\n" + described
        while self._may_go_on():
            chosen = self._chosen(told)
            if chosen.tool == "done":
                return
            self._look(Called("", chosen.tool, chosen.arguments))

    def _asked(self, said: list[BaseMessage], functions: list[dict[str, Any]]) -> Reply:
        def messages(room: int) -> Messages:
            return and_then(self.opening(room), *_fitting(said, room))

        return self._within_window(
            messages,
            lambda told: call(self.endpoint, self.meter, self.node, told, tools=functions, until=self._until),
        )

    def _chosen(self, told: str) -> _Choice:
        def messages(room: int) -> Messages:
            before = self.seen.told(room) or "(nothing yet)"
            return and_then(self.opening(room), ("user", f"{told}\n\nWhat you have seen so far:\n\n{before}"))

        return self._within_window(
            messages, lambda told: ask(self.endpoint, self.meter, self.node, told, _Choice, self._until)
        )

    def _within_window(self, messages: Callable[[int], Messages], asked: Callable[[Messages], Said]) -> Said:
        """Asks; when the model cannot read so much, with less room from now on."""
        said, room = fitted(self.endpoint, messages, self.bounds.room, asked)
        self.bounds = replace(self.bounds, room=room)
        return said

    def _look(self, called: Called) -> Look:
        look = self._answered(called)
        if len(self.seen.looks) < self.bounds.looks:
            self.seen.looks.append(look)
        return look

    def _answered(self, called: Called) -> Look:
        tool = self.tools.get(called.name)
        if len(self.seen.looks) >= self.bounds.looks:
            return Look(called.name, "", "You have used up your looks at the data.", ok=False)
        if tool is None:
            return Look("(unknown)", "", f"There is no such tool. Tools are: {', '.join(self.tools)}.", ok=False)
        if called.arguments is None:
            return Look(tool.name, "", "The arguments are no JSON object. Give them as the schema says.", ok=False)
        told = json.dumps(called.arguments, ensure_ascii=False)
        message = tool.invoke({"type": "tool_call", "id": called.id, "name": tool.name, "args": called.arguments})
        ids = tuple(message.artifact or ())
        return Look(tool.name, told, str(message.content), ids, message.status == "success")


def _fitting(said: Sequence[BaseMessage], room: int) -> list[BaseMessage]:
    """The conversation with the oldest answers of tools left out, so that the rest of them fits into the room."""
    fitting: list[BaseMessage] = []
    for message in reversed(said):
        if isinstance(message, ToolMessage):
            room -= len(str(message.content))
            if room < 0:
                message = ToolMessage(LEFT_OUT, tool_call_id=message.tool_call_id)
        fitting.append(message)
    return fitting[::-1]
