"""What the texts of a tool's call say without a model: an output that is an error or empty, an input that repeats.

The first 200 characters decide, which is what v4's events_core keeps.
"""

from __future__ import annotations

TOOLS = "type IN ('TOOL', 'RETRIEVER', 'SPAN')"
"""Steps that are called with an input and give a result."""

COMPARABLE = "lengthUTF8(o.input) < 200 AND o.input NOT IN ('', '{}', 'null', '[]')"
"""Inputs (of a relation named o) that are known whole and say something: two that were cut could differ."""

REPEATS = 4
"""This many calls with the identical input in one trace are a loop."""

QUIET = "type IN ('TOOL', 'RETRIEVER') AND level NOT IN ('ERROR', 'WARNING') AND end_time IS NOT NULL"
"""Calls that say that all is well."""

_TEXT = "lower(leftUTF8(output, 200))"
# A field that says there was no error is taken out before the words of an error are looked for.
_NO_ERROR = r'"(error|errors|exception|is_error|iserror)"\\s*:\\s*(null|none|false|""|\\[\\]|\\{\\}|0)'
_ERROR = "|".join(
    (
        r'"(error|errors|exception|error_message|error_code)"\\s*:',
        r'"(is_error|iserror)"\\s*:\\s*true',
        r'"(status|status_code|code)"\\s*:\\s*"?(4[0-9][0-9]|5[0-9][0-9]|error|failed|failure)',
        r'"(success|ok)"\\s*:\\s*false',
        r"^\\W*(error|exception|traceback|fatal|failed)\\b",
        r"\\b(timed out|connection refused|connection reset|internal server error|service unavailable|bad gateway)\\b",
        r"\\b(permission denied|unauthorized|rate limit exceeded|too many requests)\\b",
    )
)
# Every text that _ERROR finds holds one of these. Looking for them first spares most texts the slow patterns.
_WORDS = (
    "error", "exception", "traceback", "fatal", "fail", "status", "code", "false", "timed out", "connection re",
    "unavailable", "bad gateway", "permission denied", "unauthorized", "rate limit", "too many requests",
)  # fmt: skip
LOOKS_FAILED = (
    f"(multiSearchAny({_TEXT}, {list(_WORDS)}) AND match(replaceRegexpAll({_TEXT}, '{_NO_ERROR}', ''), '{_ERROR}'))"
)
"""Whether an output is an error message."""

LOOKS_EMPTY = "trim(BOTH ' \\n' FROM output) IN ('', 'null', 'None', '[]', '{}', '\"\"')"
"""Whether an output says nothing."""
