"""What the texts of a tool's call say without a model: an output that is an error or empty, an input that repeats.

The first 200 characters decide, which is what v4's events_core keeps.
"""

from __future__ import annotations

TOOLS = "type IN ('TOOL', 'RETRIEVER', 'SPAN')"
"""Steps that are called with an input and give a result."""

_COMPARABLE = "lengthUTF8(input) < 200 AND input NOT IN ('', '{}', 'null', '[]')"
"""Inputs that are known whole and say something: two that were cut could differ."""

REPEATS = 4
"""This many calls with the same input, or nearly the same, in one trace are a loop."""

QUIET = f"{TOOLS} AND level NOT IN ('ERROR', 'WARNING') AND end_time IS NOT NULL"
"""Calls that say that all is well."""

_TEXT = "lower(leftUTF8(output, 200))"
# A field that says there was no error is taken out before the words of an error are looked for.
_NO_ERROR = r'"(error|errors|exception|is_error|iserror)"\\s*:\\s*(null|none|false|""|\\[\\]|\\{\\}|0)'
_REPORT = "|".join(
    (
        r'"(error|errors|exception|error_message|error_code)"\\s*:',
        r'"(is_error|iserror)"\\s*:\\s*true',
        r'"(status|status_code|code)"\\s*:\\s*"?(4[0-9][0-9]|5[0-9][0-9]|error|failed|failure)',
        r'"(success|ok)"\\s*:\\s*false',
        r"^\\W*(error|exception|traceback|fatal|failed)\\b",
    )
)
_ERROR = "|".join(
    (
        _REPORT,
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
    f"(multiSearchAny({_TEXT}, {list(_WORDS)}) AND match(replaceRegexpAll({_TEXT}, '{_NO_ERROR}', ''), '{_ERROR}')"
    f" AND (type != 'SPAN' OR match(replaceRegexpAll({_TEXT}, '{_NO_ERROR}', ''), '{_REPORT}')))"
)
"""Whether an output is an error message. A span may hold a whole answer, in which the words of an error mean nothing:
of spans only the form of a report of one counts."""

LOOKS_EMPTY = "(type != 'SPAN' AND trim(BOTH ' \\n' FROM output) IN ('', 'null', 'None', '[]', '{}', '\"\"'))"
"""Whether an output says nothing. Of spans it is often not recorded, so an empty one is no sign."""

SEARCHES = (
    "(type = 'RETRIEVER' OR type IN ('TOOL', 'SPAN') AND match(name, '(^|[^A-Za-z])search|Search|[Rr]etriev'))"
    " AND level NOT IN ('ERROR', 'WARNING') AND end_time IS NOT NULL AND output != ''"
)
"""Searches that ended well and whose result was recorded."""

_FOUND = "lower(trim(BOTH ' \\n\\t' FROM leftUTF8(output, 200)))"
_RESULTS = "results?|documents?|docs|hits|items|matches|chunks|nodes|passages|sources|records|rows|articles|entries"
# Only before any other list or object: in {"results": [{"sources": []}]} something was found.
_NOTHING = "|".join(
    (
        r'^(\\[\\s*\\]|\\{\\s*\\}|null|none|""|\\(\\s*\\))$',
        rf'^\\{{[^\\[{{]*"({_RESULTS}|data)"\\s*:\\s*(\\[\\s*\\]|null|\\{{\\s*\\}})',
        r'^\\{[^\\[]*"(total|count|total_results|num_results|found|hits)"\\s*:\\s*(\\{\\s*"value"\\s*:\\s*)?0\\s*[,}]',
        rf'^(\\{{\\s*"(output|result|text|content|message|answer)"\\s*:\\s*)?["\\s]*(sorry,? )?(no|0|zero) '
        rf"([a-z]+ ){{0,2}}({_RESULTS}|information|data)( (were|was|could be))?"
        r" ?(found|available|returned|match|for |\\W*$)",
        r'^["\\s]*(nothing( was)? found|found (0|no) |(i )?(could not|couldn.?t|did not|didn.?t) find any)',
        "見つかりません|該当.{0,12}(なし|ありません)|ヒットしません",
    )
)
FINDS_NOTHING = f"(match({_FOUND}, '{_NOTHING}') AND NOT {LOOKS_FAILED})"
"""Whether the result of a search says that nothing was found. What says that the search failed says nothing of that."""

STUCK = f"(level = 'ERROR' OR {QUIET} AND {LOOKS_FAILED} OR {SEARCHES} AND {FINDS_NOTHING})"
"""Calls that bring nobody further: they fail or find nothing. Empty answers do not tell: acting tools give no other."""


def input_keys(stuck: str = STUCK) -> str:
    """SQL of a call's keys, an array of hashes; calls of a tool in one trace that share one are a repetition.

    Empty for inputs that cannot be compared, since they are not known whole or say nothing.

    - the input as it is, whatever was answered;
    - the input but for case, white space, punctuation and order of its words (so of its JSON's keys), when the answer
      is the same as well: its first 200 bytes;
    - that input without its numbers and ids too, but only of calls that bring nobody further: the next page of a
      result, or the next of ten orders, is progress; the third variation of an order number that nobody knows is not.

    Args:
        stuck: SQL that tells whether the call brings nobody further.
    """
    bare = _words("replaceRegexpAll(lower(input), '[0-9a-f]*[0-9][0-9a-f-]*', '')")
    varied = f"{bare}, replaceRegexpAll({_ANSWER}, '[0-9]+', '')"
    same = f"[cityHash64(input), cityHash64('alike', {_words('lower(input)')}, {_ANSWER})]"
    return f"if({_COMPARABLE}, arrayConcat({same}, if({stuck}, [cityHash64('stuck', {varied})], [])), [])"


_ANSWER = "substring(output, 1, 200)"


def _words(text: str) -> str:
    """SQL of a hash of a text's words in any order."""
    return f"arraySum(word -> cityHash64(word), splitByNonAlpha({text}))"


ANSWERED = "type = 'GENERATION' AND level != 'ERROR' AND end_time IS NOT NULL AND output != ''"
"""Model calls that ended well and whose answer was recorded."""

_LEAD = (
    r"""^[^\\pL]*((unfortunately|sorry|i apologi[sz]e|my apologies|(i|we)( a|.)?[mr]e? (really |very |so |truly )?"""
)
_LEAD += r"""(sorry|afraid)|as an ai( language model| assistant)?)[,.;:]?( but| that)? ?)*"""
_CANNOT = (
    r"(can(.|..|...)?t|cannot|can not|(a|.)?m (unable|not able) to|are (unable|not able) to|won(.|..|...)?t|will not)"
)
_HELP = (
    "help|assist|provide|fulfil|answer|comply|do (that|this)|complete (that|this|your)|create|generate|discuss|share"
    "|engage|continue with|support (that|this|your)|process (that|this|your)|offer|disclose|respond|participate"
)
# Each says: not able or willing, and to do what; “I am sorry to hear that” and “it cannot be returned” do not.
_REFUSALS = "|".join(
    (
        rf"{_LEAD}(i|we) ?{_CANNOT} (be able to )?(directly |further )?({_HELP})",
        rf"{_LEAD}(i|we) (must|have to|need to) (respectfully )?(decline|refuse)",
        "^.{0,60}(お答え|お応え|お手伝い|ご対応|対応|ご提供|提供|お伝え|回答|ご案内|お受け)(することは|することが)?(は|が)?"
        "(できません|できかねます|いたしかねます|致しかねます)",
        "^[^.]{0,20}(tut mir leid|leider|bedau)[^.]{0,40}(kann|können|darf) (ich|wir)[^.]{0,60}nicht[^.]{0,40}"
        "(helfen|beantworten|unterstützen|bereitstellen|nachkommen)",
        "^[^.]{0,20}(désolé|regrette|malheureusement)[^.]{0,40}je ne (peux|puis)[^.]{0,40}(aider|répondre|fournir)",
        "^[^.]{0,20}(lo siento|lamento|disculp)[^.]{0,40}no puedo[^.]{0,40}(ayudar|responder|proporcionar|cumplir)",
        "^.{0,4}(抱歉|对不起|很抱歉|不好意思).{0,20}(无法|不能|没办法).{0,20}(帮助|回答|提供|协助|满足|处理)",
        "^.{0,4}죄송.{0,60}(도와드릴|답변드릴|답변할|제공할|제공해 드릴|응할) 수 (가 )?없",
    )
)
_INNER = r'^.{0,150}"(content|text|answer|output|message|response)"\\s*:\\s*(\\[\\s*)?"'
_ANSWER_TEXT = f"lower(trim(BOTH ' \\n\\t\"' FROM replaceRegexpOne(leftUTF8(output, 200), '{_INNER}', '')))"
REFUSES = f"match({_ANSWER_TEXT}, '{_REFUSALS}')"
"""Whether an answer begins by refusing: in English, Japanese, German, French, Spanish, Chinese or Korean."""

_NO_CONTENT = r'"content"\\s*:\\s*(""|null|\\[\\s*\\])\\s*[,}]'
SAYS_NOTHING = (
    "(trim(BOTH ' \\n\\t' FROM leftUTF8(output, 200)) IN ('', '\"\"', 'null', 'None')"
    f" OR lengthUTF8(output) < 200 AND match(output, '{_NO_CONTENT}') AND NOT match(output, '(?i)call|tool'))"
)
"""Whether an answer has no text and asks for no tool either."""


_MOST_TOKENS = "max_tokens|max_output_tokens|max_completion_tokens|max_new_tokens|maxTokens|maxOutputTokens|num_predict"
TOKEN_LIMIT = f'toUInt64OrZero(extract(model_parameters, \'"(?:{_MOST_TOKENS})"\\\\s*:\\\\s*"?([0-9]+)\'))'
"""The most tokens that a call may answer with; 0 when that is not recorded."""

_NOTED = (
    "lower(concat(if(match(output, '^[[{]'), leftUTF8(output, 200), ''), ' ', arrayStringConcat(arrayMap("
    "(k, v) -> concat('\"', k, '\": ', leftUTF8(v, 200)), mapKeys(metadata), mapValues(metadata)), ' ')))"
)
_REASON = r'(finish|stop)_?reasons?[\\\\"]*\\s*[:=]\\s*\\[?[\\s\\\\"]*(finish_?reason[._])?'
ENDS_KNOWN = f"match({_NOTED}, '{_REASON}[a-z]')"
"""Whether an SDK noted in the output or the metadata why the model stopped."""
ENDS_AT_LIMIT = f"match({_NOTED}, '{_REASON}(length|max_tokens|max_output_tokens|model_length|token_limit)')"
"""Whether the noted reason is the limit on tokens."""
