"""Answers that fit a schema, from models that can do it in different ways."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from hansei.errors import ModelFailed
from hansei.tools.language_model.calling import Messages, Reply, and_then, call, letters_of
from hansei.tools.language_model.endpoint import Endpoint
from hansei.tools.language_model.habits import Way, forget_habits, habits_of, keep_habits
from hansei.tools.language_model.usage import ModelMeter

Answer = TypeVar("Answer", bound=BaseModel)
Said = TypeVar("Said")

HALVINGS = 4
"""How often a question is cut by half at most, when it is more than the model can read."""

_probing = threading.Lock()

NOT_KNOWN = (400, 404, 405, 415, 422, 500, 501)
"""Statuses with which servers answer a feature that they do not have; llama.cpp's for Python fails with 500."""

ANSWERED = ("empty", "refusal", "truncated")
"""Reasons of failures of a model that is there."""

BOUNDS = ("minLength", "maxLength", "minItems", "maxItems", "minimum", "maximum")
"""Keywords that some servers refuse in a strict schema; what an answer holds is validated here in any case."""

LONGEST_ECHO = 2_000
"""Letters of an unfit answer that are shown to the model again when it may repair it."""


class ModelAnswer(BaseModel):
    """Base of the schemas that a model answers in: what they do not name is refused."""

    model_config = ConfigDict(extra="forbid")


class _Ready(ModelAnswer):
    """What the probe asks for."""

    ready: Literal["yes"]


def ask(
    endpoint: Endpoint,
    meter: ModelMeter,
    node: str,
    messages: Messages,
    schema: type[Answer],
    until: float = math.inf,
) -> Answer:
    """Asks for an answer of a schema. One that does not fit may be repaired once by the model.

    Args:
        endpoint: which model, where.
        meter: counts the calls.
        node: who asks.
        messages: roles and texts; how to answer is added here.
        schema: what the answer is validated with; its docstring and descriptions reach the model.
        until: as in `call`.

    Raises:
        ModelFailed: no answer, or none that fits.
    """
    way = way_of(endpoint, meter, node)
    try:
        try:
            reply = _send(endpoint, meter, node, messages, schema, way, until)
        except ModelFailed as failure:
            if failure.status not in NOT_KNOWN:
                raise
            if habits_of(endpoint).recalled:
                # Another server may have taken the place of the one that was known.
                forget_habits(endpoint)
                way = way_of(endpoint, meter, node)
            elif way != "prompt" and failure.reason == "request":
                way = "prompt"  # the probe's schema was taken and this one is not: servers know parts of JSON schema
            else:
                raise
            reply = _send(endpoint, meter, node, messages, schema, way, until)
        return _parse(reply, schema)
    except _Unfit as unfit:
        said, wrong = unfit.said[:LONGEST_ECHO], unfit.wrong
    except ModelFailed as failure:
        if failure.reason not in ("empty", "invalid"):
            raise
        said, wrong = "(nothing)", "the answer was empty or no JSON"
    repair = f"Your answer does not fit the schema: {wrong}. Answer again with JSON of the schema, and nothing else."
    try:
        return _parse(
            _send(endpoint, meter, node, and_then(messages, ("assistant", said), ("user", repair)), schema, way, until),
            schema,
        )
    except _Unfit:
        raise ModelFailed(
            "The model answered twice with something that does not fit the schema.", "Choose another model.",
            reason="invalid",
        ) from None  # fmt: skip


def ask_fitting(
    endpoint: Endpoint,
    meter: ModelMeter,
    node: str,
    messages: Callable[[int], Messages],
    letters: int,
    schema: type[Answer],
) -> Answer:
    """As `ask`; a model that cannot read so much is asked with half of it, down to a sixteenth.

    Args:
        messages: gives the messages with so many letters of what can be cut.
        letters: of it, at first.

    Raises:
        ModelFailed: as `ask`.
    """
    return fitted(endpoint, messages, letters, lambda told: ask(endpoint, meter, node, told, schema))[0]


def fitted(
    endpoint: Endpoint, messages: Callable[[int], Messages], letters: int, asked: Callable[[Messages], Said]
) -> tuple[Said, int]:
    """Asks with as many letters as the model can read: halved until they fit, and not sent where more was refused.

    Returns:
        What was answered, and with how many letters.

    Raises:
        ModelFailed: as `asked`; with the reason ``too_long`` where a sixteenth is still too much.
    """
    habits = habits_of(endpoint)
    for _ in range(HALVINGS):
        told = messages(letters)
        if letters_of(told) < habits.too_many:
            try:
                return asked(told), letters
            except ModelFailed as failure:
                if failure.reason != "too_long":
                    raise
        letters //= 2
    return asked(messages(letters)), letters


def way_of(endpoint: Endpoint, meter: ModelMeter, node: str) -> Way:
    """How the endpoint gives structured answers: found out by small questions, once, then kept.

    Raises:
        ModelFailed: it cannot be asked at all.
    """
    if endpoint.dry:
        return "json_schema"
    with _probing:
        habits = habits_of(endpoint)
        if habits.way is None:
            habits.way = _probe(endpoint, meter, node)
            keep_habits(endpoint)
        return habits.way


def _probe(endpoint: Endpoint, meter: ModelMeter, node: str) -> Way:
    question = [("user", "This is a test of the connection: answer that you are ready, with the word yes.")]
    ways: tuple[Way, ...] = ("json_schema", "function")
    there = False
    for way in ways:
        try:
            _parse(_send(endpoint, meter, node, question, _Ready, way), _Ready)
        except _Unfit:
            there = True
        except ModelFailed as failure:
            there |= failure.reason in ANSWERED
            if failure.reason not in (*ANSWERED, "invalid") and failure.status not in NOT_KNOWN:
                raise
        else:
            return way
    if not there:  # a model or an address that does not exist refuses the ways as well
        try:
            _send(endpoint, meter, node, question, _Ready, "prompt")
        except ModelFailed as failure:
            if failure.reason not in ANSWERED:
                raise
    return "prompt"


def _send(
    endpoint: Endpoint,
    meter: ModelMeter,
    node: str,
    messages: Messages,
    schema: type[BaseModel],
    way: Way,
    until: float = math.inf,
) -> Reply:
    def keep(reply: Reply) -> bool:
        return schema is not _Ready and _fits(reply, schema)

    name, described = schema.__name__.strip("_").lower(), schema.model_json_schema()
    if way == "json_schema":
        closed = _closed(described)
        wanted = {"name": name, "schema": closed, "strict": not _is_open(closed)}
        wanted = {"type": "json_schema", "json_schema": wanted}
        return call(endpoint, meter, node, messages, response_format=wanted, keep=keep, until=until)
    if way == "function":
        tool = {"name": name, "description": described.get("description", ""), "parameters": described}
        return call(endpoint, meter, node, messages, tool=tool, keep=keep, until=until)
    told = f"Answer with one JSON object of this schema, and nothing else:\n{json.dumps(described, ensure_ascii=False)}"
    return call(endpoint, meter, node, and_then(messages, ("user", told)), keep=keep, until=until)


def _closed(schema: Any) -> Any:
    """The schema as OpenAI's strict mode takes it: every property required, no default, none besides."""
    if isinstance(schema, list):
        return [_closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    left_out = ("default", "title", *BOUNDS)
    out: dict[str, Any] = {key: _closed(value) for key, value in schema.items() if key not in left_out}
    if isinstance(schema.get("properties"), dict):
        out["properties"] = {key: _closed(value) for key, value in schema["properties"].items()}
        out["required"] = list(schema["properties"])
        out["additionalProperties"] = False
    return out


def _is_open(schema: Any) -> bool:
    """Whether an object in it may have any properties, which strict mode does not know."""
    if isinstance(schema, list):
        return any(map(_is_open, schema))
    if not isinstance(schema, dict):
        return False
    return (schema.get("type") == "object" and "properties" not in schema) or any(map(_is_open, schema.values()))


class _Unfit(Exception):
    """An answer that does not fit: what it said, and what is wrong with it, without its values."""

    def __init__(self, said: str, wrong: str) -> None:
        super().__init__(wrong)
        self.said, self.wrong = said, wrong


def _parse(reply: Reply, schema: type[Answer]) -> Answer:
    found: Any = reply.calls[0].arguments if reply.calls else _json_in(reply.text)
    said = reply.text or json.dumps(found, ensure_ascii=False)
    if found is None:
        raise _Unfit(said, "it holds no JSON object")
    try:
        return schema.model_validate(found)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise _Unfit(said, f"{place}: {first['msg']}") from None


def _fits(reply: Reply, schema: type[BaseModel]) -> bool:
    try:
        _parse(reply, schema)
    except _Unfit:
        return False
    return True


def _json_in(text: str) -> Any:
    """The first JSON object in a text that may have other text around it (thoughts, a fence); None: there is none."""
    decoder = json.JSONDecoder()
    start, tries = text.find("{"), 0
    while start >= 0 and tries < 50:
        try:
            found, _ = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            start, tries = text.find("{", start + 1), tries + 1
            continue
        return found
    return None
