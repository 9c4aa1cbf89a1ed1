"""Checks of a trace's texts, one trace at a time: JSON and schema, language, personal data, what retrieval was for."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from hansei.tools.evaluation.texts import Output, TraceTexts
from hansei.tools.langfuse.masking import KINDS, mask
from hansei.tools.langfuse.untrusted import Text


@dataclass(frozen=True)
class Outcome:
    """Whether it passes, and where it shows."""

    passes: bool
    reason: str = ""
    quote: str = ""
    observation_id: str | None = None


def outcome(check: str, texts: TraceTexts, parameters: Mapping[str, Any]) -> Outcome | None:
    """The outcome of a check by its name; None: there is nothing to check in the trace, or too little to tell."""
    return _CHECKS[check](texts, parameters)


def _valid_json(texts: TraceTexts, parameters: Mapping[str, Any]) -> Outcome | None:
    step, schema = parameters.get("step"), parameters.get("schema")
    seen = False
    for call in texts.calls:
        text = _said(call.text)
        if call.text.tail or (call.name != step if step else not _begins_as_json(text)):
            continue  # a text whose middle was not read cannot be judged
        seen = True
        try:
            found = json.loads(_without_fence(text))
        except (ValueError, RecursionError):
            return Outcome(False, "it is not JSON", text[:200], call.id)
        if schema is not None and (wrong := _misfit(found, schema, "$")):
            return Outcome(False, wrong, text[:200], call.id)
    return Outcome(True) if seen else None


def _begins_as_json(text: str) -> bool:
    return re.match(r"\s*(```json|\{\s*[\"}]|\[\s*[\[{\"\]\d])", text) is not None


def _without_fence(text: str) -> str:
    fenced = re.fullmatch(r"\s*```(?:json)?\s*\n(.*?)\n?```\s*", text, re.DOTALL)
    return fenced[1] if fenced else text


_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,), "array": (list,), "string": (str,), "number": (int, float), "integer": (int,),
    "boolean": (bool,), "null": (type(None),),
}  # fmt: skip


def _misfit(value: Any, schema: Mapping[str, Any], place: str) -> str:
    """What does not fit a schema; '' when all of it that is looked at fits. Names places, never values."""
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and not any(_is(value, str(kind)) for kind in kinds):
        return f"{place} is no {' or '.join(map(str, kinds))}"
    if "enum" in schema and value not in schema["enum"]:
        return f"{place} is none of the values that it may be"
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        for name in schema.get("required", ()):
            if name not in value:
                return f"{place}.{name} is missing"
        if schema.get("additionalProperties") is False and set(value) - set(properties):
            return f"{place} holds something that it may not hold"
        for name, inner in properties.items():
            if name in value and (wrong := _misfit(value[name], inner, f"{place}.{name}")):
                return wrong
    if isinstance(value, list) and isinstance(schema.get("items"), dict):
        for i, item in enumerate(value):
            if wrong := _misfit(item, schema["items"], f"{place}[{i}]"):
                return wrong
    return ""


def _is(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    if kind == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES.get(kind, (object,)))


FEWEST_LETTERS = 40
"""Of question and answer, below which their language cannot be told."""

SURE = 0.95


def _language(texts: TraceTexts, parameters: Mapping[str, Any]) -> Outcome | None:
    question, answer = _said(texts.question, "user"), _said(texts.answer.text)
    first, second = _spoken(question), _spoken(answer)
    if first is None or second is None:
        return None
    if first == second:
        return Outcome(True)
    if _SCRIPTED.get(first, "Latin") == _SCRIPTED.get(second, "Latin") == "Latin" and "?" in (first, second):
        return None
    return Outcome(False, f"asked in {first}, answered in {second}", answer[:200], texts.answer.id or None)


_SCRIPTS = {
    "ja": r"[\u3040-\u30ff]", "ko": r"[\uac00-\ud7af]", "ru": r"[\u0400-\u04ff]", "ar": r"[\u0600-\u06ff]",
    "he": r"[\u0590-\u05ff]", "th": r"[\u0e00-\u0e7f]", "hi": r"[\u0900-\u097f]", "el": r"[\u0370-\u03ff]",
}  # fmt: skip
_SCRIPTED = {name: name for name in (*_SCRIPTS, "zh")}


def _spoken(text: str) -> str | None:
    """The language of a text by its script, or of Latin letters by their statistics; None: too short to tell."""
    text = re.sub(r"https?://\S+|\S+@\S+|`[^`]*`", " ", text)
    letters = [letter for letter in text if letter.isalpha()]
    han = sum("\u4e00" <= letter <= "\u9fff" for letter in letters)
    for name, pattern in _SCRIPTS.items():
        count = len(re.findall(pattern, text))
        if count >= 5 and count + (han if name == "ja" else 0) >= 0.3 * len(letters):
            return name
    if han >= 8 and han >= 0.3 * len(letters):
        return "zh"
    if len(letters) < FEWEST_LETTERS:
        return None
    name, sure = _identifier().classify(text[:4_000])
    return str(name) if sure >= SURE and name not in _SCRIPTED else None


@cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier  # type: ignore[import-untyped]

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def _personal_data(texts: TraceTexts, parameters: Mapping[str, Any]) -> Outcome | None:
    if not texts.answer.text:
        return None
    text = _said(texts.answer.text)
    masked = mask(text)
    kinds = [kind for kind in KINDS if masked.count(f"[{kind}]") > text.count(f"[{kind}]")]
    if not kinds:
        return Outcome(True)
    at = masked.find(f"[{kinds[0]}]")
    return Outcome(False, f"holds: {', '.join(kinds)}", masked[max(0, at - 80) : at + 80], texts.answer.id or None)


FEWEST_WORDS = 8
"""Words of their own that retrieved texts, and the answer, must hold for it to be told what became of them."""


def _unused(texts: TraceTexts, parameters: Mapping[str, Any]) -> Outcome | None:
    asked = _words(_said(texts.question, "user"))
    retrieved = {word for one in texts.retrieved for word in _words(_all(one.text))} - asked
    answered = _words(_said(texts.answer.text)) - asked
    if len(retrieved) < FEWEST_WORDS or len(answered) < FEWEST_WORDS:
        return None
    if _spoken(_said(texts.answer.text)) != _spoken(" ".join(_all(one.text) for one in texts.retrieved)):
        return None  # what was used in another language shares no words
    if retrieved & answered:
        return Outcome(True)
    first: Output = texts.retrieved[0]
    return Outcome(False, "the answer shares no word with what was retrieved", _all(first.text)[:200], first.id)


def _words(text: str) -> set[str]:
    """What tells texts apart: words of five letters and more, numbers, and pairs of Chinese or Japanese letters."""
    text = re.sub(r"https?://[^\s\"']+|\"\w+\"\s*:", " ", text.lower())
    latin = set(re.findall(r"[^\W\d_\u3040-\u30ff\u4e00-\u9fff]{5,}|\d{2,}", text))
    runs = re.findall(r"[\u30a0-\u30ff\u4e00-\u9fff]{2,}", text)
    return latin | {run[i : i + 2] for run in runs for i in range(len(run) - 1)}


def _all(text: Text) -> str:
    return f"{text.head} {text.tail}" if text.tail else text.head


_TEXTS = ("content", "text", "answer", "output", "message", "response", "question", "query", "input", "messages")


def _said(text: Text, role: str = "assistant") -> str:
    """The words in a text that may be a message, a list of messages or an object around them."""
    whole = _all(text)
    if text.tail or not whole.lstrip().startswith(("{", "[")):
        return whole
    try:
        found = json.loads(whole)
    except (ValueError, RecursionError):
        return whole
    said = _inner(found, role, 0)
    return whole if said is None else said


def _inner(value: Any, role: str, depth: int) -> str | None:
    """The text of the last message of a role, or the one text of an object that holds nothing else to say."""
    if isinstance(value, str):
        return value
    if depth > 6:
        return None
    if isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
        mine = [one for one in value if one.get("role", one.get("type")) in (role, {"user": "human"}.get(role, "ai"))]
        if mine or all("text" in one for one in value):
            parts = [_inner(one, role, depth + 1) for one in (mine[-1:] or value)]
            return " ".join(part for part in parts if part) or None
        return None
    if isinstance(value, dict):
        for key in _TEXTS:
            if key in value and (set(value) <= _ENVELOPE or key in ("messages", "message")):
                return _inner(value[key], role, depth + 1)
    return None


_ENVELOPE = {*_TEXTS, "role", "type", "id", "name", "finish_reason", "stop_reason", "model", "usage", "tool_calls",
             "refusal", "annotations", "additional_kwargs", "response_metadata"}  # fmt: skip

_CHECKS: dict[str, Callable[[TraceTexts, Mapping[str, Any]], Outcome | None]] = {
    "valid_json": _valid_json,
    "language": _language,
    "personal_data": _personal_data,
    "unused_retrieval": _unused,
}
