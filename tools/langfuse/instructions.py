"""What a model call was told: its prompt's text and the definitions of its tools, as they stand in the call's input.

Clients write them in several forms: a list of messages; an object with ``messages`` and ``tools``; definitions of tools
as messages of the role ``tool`` (Langfuse's handler for LangChain).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from hansei.tools.langfuse.trace_tree import Step

_ROLES = ("system", "developer")


@dataclass(frozen=True)
class Instruction:
    """A prompt's text, or a tool's definition as indented JSON; `name` is the prompt's, the step's or the tool's."""

    kind: Literal["prompt", "tool"]
    name: str
    trace_id: str
    observation_id: str
    text: str


def instructions_of(trace_id: str, step: Step) -> Iterator[Instruction]:
    """What a step was told; nothing when its input has another form, or is too long to be here as a whole."""
    if step.input.tail or not step.input:
        return
    try:
        given = json.loads(step.input.head)
    except (ValueError, RecursionError):
        return
    parts: dict[str, Any] = given if isinstance(given, dict) else {"messages": given}
    messages = [one for one in _list(parts.get("messages")) if isinstance(one, dict)]
    tools = [*_list(parts.get("tools")), *(one.get("content") for one in messages if one.get("role") == "tool")]
    name = step.prompt_name or step.name
    for message in messages:
        if message.get("role") in _ROLES and (text := _text(message.get("content")).strip()):
            yield Instruction("prompt", name, trace_id, step.id, text)
    for tool in tools:
        if isinstance(tool, dict) and isinstance(function := tool.get("function", tool), dict):
            called = function.get("name")
            if isinstance(called, str) and called and ("parameters" in function or "description" in function):
                yield Instruction("tool", called, trace_id, step.id, json.dumps(function, indent=2, ensure_ascii=False))


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(content: Any) -> str:
    """A message's text, which may come in parts."""
    if isinstance(content, str):
        return content
    return "\n".join(str(part.get("text", "")) for part in _list(content) if isinstance(part, dict))
