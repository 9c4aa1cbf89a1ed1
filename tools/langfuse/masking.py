"""Personal data and secrets in texts of users and tools, masked before a model or a report sees them.

What is found by its shape is replaced by what it was: e-mail addresses, card and phone numbers, keys, tokens and
passwords. Names and addresses of people have no shape, so they stay: this keeps accidents away, it is no anonymisation.
Every pattern needs time that grows with the text and not faster, whatever the text is.
"""

from __future__ import annotations

import re
from collections.abc import Callable

_EDGE = r"(?<![A-Za-z0-9_])"

_EMAIL = re.compile(r"[\w.+%-]{1,64}[@＠][\w-]{1,63}(?:\.[\w-]{1,63}){1,8}")
_PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----.*?(?:-----END [A-Z ]{0,30}PRIVATE KEY-----|\Z)", re.S
)
_KEYS = re.compile(
    _EDGE + r"(?:(?:sk|pk|rk)[-_](?=[\w-]{0,200}\d)[\w-]{16,}"  # OpenAI, Anthropic, Langfuse, Stripe
    r"|gh[opsur]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}"
    r"|xox[a-z]-[A-Za-z0-9-]{10,}|(?:AKIA|ASIA)[A-Z0-9]{16}|AIza[\w-]{30,}|ya29\.[\w.-]{20,}"
    r"|hf_[A-Za-z0-9]{20,}|npm_[A-Za-z0-9]{30,}|SG\.[\w-]{16,}\.[\w-]{16,}|pypi-[\w-]{40,}"
    r"|eyJ[\w-]{8,2000}\.[\w-]{8,}(?:\.[\w-]*)?)"  # JSON web tokens
)
_NAMED = re.compile(
    r"(?i)((?:api[ _-]?key|secret(?:[ _-]?(?:access[ _-]?)?key)?|access[ _-]?token|refresh[ _-]?token|auth[ _-]?token"
    r"|client[ _-]?secret|password|passwd|passphrase|pwd)[\\\"']{0,4}\s{0,3}[:=]\s{0,3}[\\\"']{0,4})"
    r"(?!\[|null\b|none\b|true\b|false\b)([^\s\"'\\,;&<>{}\[\]]{4,})"
)
_BEARER = re.compile(r"(?i)\b(bearer|basic)( +)(?=[\w.~+/-]{0,200}\d)[\w.~+/-]{16,}=*")
_IN_URL = re.compile(r"(://[^\s/:@\"'<>]{0,64}:)[^\s/@\"'<>]{1,128}(?=@)")
_CARD = re.compile(r"(?<![\w.-])[2-6](?:[ -]?\d){13,18}(?![\w-])(?!\.\d)")
_PHONE = re.compile(
    r"(?<![\w.-])(?:\+[1-9]\d{0,2}(?:[ ().-]{0,2}\d){6,12}"  # international
    r"|\(\d{2,5}\)[ -]?\d{1,4}[ .-]?\d{3,4}"  # (03) 1234-5678, (555) 123-4567
    r"|0\d-\d{4}-\d{4}|0\d{2}-\d{3,4}-\d{4}|0\d{3}-\d{2,3}-\d{4}|0\d{4}-\d-\d{4}|0[5789]0\d{8}"  # 03-1234-5678
    r"|\d{3}[-.]\d{3}[-.]\d{4}|\d{3} \d{3} \d{4})(?![\w-])(?!\.\d)"  # 555-123-4567
)
_ENCODED = re.compile(r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{400,}={0,2}")


def mask(text: str) -> str:
    """`text` with what looks like personal data or a secret replaced by ``[e-mail]``, ``[card]``, ``[phone]``,
    ``[secret]``.

    Long runs of encoded bytes (images, files), which tell a reader nothing, become ``[encoded, N characters]``.
    """
    text = _ENCODED.sub(lambda match: f"[encoded, {len(match[0]):,} characters]", text)
    text = _PRIVATE_KEY.sub("[secret]", text)
    text = _IN_URL.sub(r"\1[secret]", text)
    text = _KEYS.sub("[secret]", text)
    text = _BEARER.sub(r"\1\2[secret]", text)
    text = _NAMED.sub(r"\1[secret]", text)
    text = _EMAIL.sub("[e-mail]", text)
    text = _CARD.sub(_if_card, text)
    return _PHONE.sub("[phone]", text)


def unmasked(text: str) -> str:
    """The text as it is: takes `mask`'s place where masking was switched off."""
    return text


Mask = Callable[[str], str]


def _if_card(match: re.Match[str]) -> str:
    digits = [int(character) for character in match[0] if character not in " -"]
    doubled = [digit * 2 - 9 * (digit > 4) if i % 2 else digit for i, digit in enumerate(reversed(digits))]
    return "[card]" if len(set(digits)) > 1 and sum(doubled) % 10 == 0 else match[0]
