"""What the messages of a thread say: the last question of a person, and on a new thread what they want analysed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from hansei.contracts import Request
from hansei.errors import UsageError

_PROJECT = re.compile(
    r"(?:\bprojects?\b|プロジェクト)\s*[:=]?\s*[\"“「'`]?([A-Za-z0-9][\w.-]{0,199})[\"”」'`]?(?:を|の|について)?",
    re.IGNORECASE | re.ASCII,
)
_WINDOW = re.compile(
    r"\b(?:last|past|window(?: of)?)\s+(\d{1,3})\s*(h|d|w|hours?|days?|weeks?)\b|\b(?:last|past) (day|week)\b"
    r"|(?:過去|直近)\s*(\d{1,3})\s*(時間|日|週)",
    re.IGNORECASE,
)
_COMMAND = re.compile(
    r"\b(?:please|can you|could you|analy[sz]e|analysis|report|look|at|into|check|run|start|hello|hi|the|of|my|for|me"
    r"|in|this|langfuse|on)\b|(?:分析|解析)して(?:ください)?|調べて(?:ください)?|分析|レポート",
    re.IGNORECASE,
)
_UNITS = {"時間": "h", "日": "d", "週": "w"}


def last_is_a_persons(messages: Sequence[Any]) -> bool:
    """Whether a person spoke last, so that an answer is due."""
    return bool(messages) and getattr(messages[-1], "type", "") == "human"


def question_in(messages: Sequence[Any]) -> str:
    """The text of the last message; content blocks that are no text are left out."""
    if not messages:
        return ""
    content = messages[-1].content
    if isinstance(content, str):
        return content.strip()
    texts = [block if isinstance(block, str) else str(block.get("text", "")) for block in content]
    return " ".join(text for text in texts if text).strip()


def requested(fields: Mapping[str, Any], messages: Sequence[Any], project: str | None) -> Request:
    """The request of a run: the fields of the form; where they name no project, what a message and the context say.

    “Why did cost rise in project acme in the last 3 days?” names the project, the window and a question.

    Args:
        fields: of the form.
        messages: of the thread.
        project: that of the context.

    Raises:
        UsageError: no project is named anywhere.
        pydantic.ValidationError: a field does not fit.
    """
    values = {name: value for name, value in fields.items() if value is not None}
    text = question_in(messages) if last_is_a_persons(messages) and "project_id" not in values else ""
    rest = text
    if named := _PROJECT.search(text):
        values["project_id"], rest = named[1].rstrip("."), rest.replace(named[0], " ")
    if span := _WINDOW.search(text):
        count, unit = span[1] or span[4] or "1", span[2] or span[3] or span[5]
        values["window"], rest = f"{count}{_UNITS.get(unit, unit[0].lower())}", rest.replace(span[0], " ")
    if text and "question" not in values and re.sub(r"[\W_]+", "", _COMMAND.sub(" ", rest)):
        values["question"] = text[:2000]
    if re.search(r"[぀-ヿ]", text):
        values["language"] = "ja"
    if "project_id" not in values and project:
        values["project_id"] = project
    if "project_id" not in values:
        raise UsageError(
            "No project is named.",
            "Fill in project_id, write “analyse project …”, or set project_id in the context or HANSEI_PROJECT_ID.",
        )
    return Request.model_validate(values)
