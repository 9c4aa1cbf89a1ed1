"""A capable model, played from a session that was written by hand: see the files in `sessions/`.

A session holds what the model answers to each kind of question, in order. What cannot be known beforehand is written as
it is decided: evidence is cited by the number of the look that gave it (``@2``), and traces are labelled by what stands
in them, as a reader would.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from tests.support.openai_server import Answer, Request, says, text, tool_calls

SESSIONS = Path(__file__).parent / "sessions"


class CapableModel:
    """A script for `OpenAiServer`: a session by the name of its file, or as it stands there."""

    def __init__(self, session: str | dict[str, Any]) -> None:
        self.session: dict[str, Any] = (
            json.loads((SESSIONS / f"{session}.json").read_text("utf-8")) if isinstance(session, str) else session
        )
        self.turns: list[str] = []
        """What was asked, in order."""

    def __call__(self, request: Request) -> Answer:
        if request.is_probe:
            return says({"ready": "yes"})
        kind = kind_of(request)
        self.turns.append(kind)
        if kind not in self.session:
            return text("I have nothing to say to that.")
        answer = self.session[kind]
        if isinstance(answer, Answer):
            return answer  # a failure, each time
        if callable(answer):
            found = answer(request)
            return found if isinstance(found, Answer) else says(found)
        if kind == "looks":
            said = sum(message["role"] == "assistant" for message in request.body["messages"])
            turn = answer[said] if said < len(answer) else "I have seen enough."
            return (
                text(turn) if isinstance(turn, str) else tool_calls(*[(one["tool"], one["arguments"]) for one in turn])
            )
        if kind == "conclusion":
            return says(_cited(answer, re.findall(r"Evidence (q[0-9a-f]{8})", _looks(request.prompt))))
        if kind == "marks":
            return says({"marks": _marked(answer, request.prompt)})
        return says(answer)


def kind_of(request: Request) -> str:
    """What a request is about, by its prompt: also the key of its answer in a session."""
    if request.tools:
        return "looks"
    system = str(request.body["messages"][0]["content"])
    for words, kind in (
        ("You choose which analyses", "question"),
        ("You plan the analysis", "plan"),
        ("You conclude an investigation", "conclusion"),
        ("You read traces", "labels"),
        ("You sort bad traces", "marks"),
        ("You doubt the findings", "rivals"),
        ("You tell a team", "summary"),
        ("You explain one finding", "explanation"),
        ("Write each anew", "anew"),
        ("You turn a question", "form"),
    ):
        if words in system:
            return kind
    return "other"


def _looks(prompt: str) -> str:
    return prompt.partition("<looks>")[2]


def _cited(value: Any, ids: list[str]) -> Any:
    """The same with ``@2`` as the id of the second evidence."""
    if isinstance(value, dict):
        return {key: _cited(item, ids) for key, item in value.items()}
    if isinstance(value, list):
        return [_cited(item, ids) for item in value]
    if isinstance(value, str) and (match := re.fullmatch(r"@(\d+)", value)):
        return ids[int(match[1]) - 1]
    return value


def _marked(rules: list[dict[str, str]], prompt: str) -> list[dict[str, str]]:
    """Each trace with the first label whose pattern is found in it."""
    traces = prompt.partition("<traces>")[2]
    found = re.findall(r"^(t\d+).*?:\n(.*?)</data>", traces, re.DOTALL | re.MULTILINE)
    return [
        {"trace": mark, "label": next((one["label"] for one in rules if re.search(one["if_it_holds"], said)), "other")}
        for mark, said in found
    ]
