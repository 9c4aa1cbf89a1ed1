"""What leaves this process about a run: cut to a size, and without secrets.

A state, an error or a model's answer may quote anything. So the last step before sending looks at every free text of
every span: inputs, outputs, metadata, status messages and events.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import quote, unquote, urlsplit

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

LONGEST_TEXT = 200_000
"""Characters of one input, output or other text; what is beyond is cut off and said so."""

_IDENTITY = frozenset(
    {
        "session.id", "user.id", "langfuse.trace.name", "langfuse.trace.tags", "langfuse.environment",
        "langfuse.release", "langfuse.version", "langfuse.observation.type", "langfuse.observation.level",
        "langfuse.observation.model.name",
    }
)  # fmt: skip
"""Attributes that name something and hold no free text. A password such as “hansei” must not rename the environment."""


def secrets_in(environment: Mapping[str, str], urls: Iterable[str] = ()) -> list[str]:
    """The secrets that this process was given: keys, and the passwords in the addresses of ClickHouse and the model."""
    found = {environment.get(name, "") for name in ("LANGFUSE_SECRET_KEY", "OPENAI_API_KEY")}
    for url in (*(environment.get(name, "") for name in ("HANSEI_CLICKHOUSE_URL", "OPENAI_BASE_URL")), *urls):
        try:
            found.add(urlsplit(url).password or "")
        except ValueError:  # no URL: then it is reported where it is used, and holds no password that we could find
            found.add(url)
    return sorted(found - {""})


def redact(request: ExportTraceServiceRequest, secrets: Sequence[str]) -> None:
    """Takes every secret out of a request's free texts, in place, and cuts texts that are too long."""
    spellings = _spellings(secrets)
    for batch in request.resource_spans:
        for scope in batch.scope_spans:
            for span in scope.spans:
                span.status.message = _clean(span.status.message, spellings)
                for pair in span.attributes:
                    if pair.key not in _IDENTITY:
                        _clean_value(pair.value, spellings)
                for event in span.events:
                    for pair in event.attributes:
                        _clean_value(pair.value, spellings)


def _spellings(secrets: Sequence[str]) -> list[str]:
    """Each secret as it may be written: plain, percent-encoded, inside JSON; longest first, so that no tail is left."""
    found = set()
    for secret in secrets:
        for plain in (secret, unquote(secret)):
            quoted = json.dumps(plain)[1:-1]
            found |= {plain, quote(plain), quote(plain, safe=""), quoted, json.dumps(quoted)[1:-1]}
    return sorted(found - {""}, key=len, reverse=True)


def _clean(text: str, spellings: Sequence[str]) -> str:
    for spelling in spellings:
        text = text.replace(spelling, "[secret]")
    if len(text) > LONGEST_TEXT:
        text = f"{text[:LONGEST_TEXT]} … (cut: {len(text)} characters)"
    return text


def _clean_value(value: AnyValue, spellings: Sequence[str]) -> None:
    match value.WhichOneof("value"):
        case "string_value":
            value.string_value = _clean(value.string_value, spellings)
        case "array_value":
            for item in value.array_value.values:
                _clean_value(item, spellings)
        case "kvlist_value":
            for pair in value.kvlist_value.values:
                _clean_value(pair.value, spellings)
