"""Personal data and secrets in texts of users and tools, masked before a model or a report sees them.

What is found by its shape is replaced by what it was: e-mail addresses, card, account and phone numbers, keys, tokens
and passwords. Names and addresses of people have no shape, so they stay: this keeps accidents away, it is no
anonymisation. Beside a number or a key may stand letters of a script that sets no blanks.
Every pattern needs time that grows with the text and not faster, whatever the text is.
"""

from __future__ import annotations

import re
from collections.abc import Callable

_EDGE = r"(?<![A-Za-z0-9_])"
_BEFORE = r"(?<![A-Za-z0-9０-９_.-])"
_AFTER = r"(?![A-Za-z0-9０-９_-])(?!\.\d)"
_DASH = "[-‐‑–—−－ー]"  # as people type them
_ELSEWHERE = r"\s{-\x7f\u2000-\u206f\u3000-\u9fff\uac00-\ud7af\uff00-\uffef"
"""What no address holds, and scripts that set no blanks."""

_EMAIL = re.compile(
    rf"[^!-$&-*,/:-@\[-^`{_ELSEWHERE}]{{1,64}}(?:[@＠]|%40)"
    rf"[^!-,./:-@\[-^`{_ELSEWHERE}]{{1,63}}(?:\.[^!-,./:-@\[-^`{_ELSEWHERE}]{{1,63}}){{1,8}}"
)
_PRIVATE_KEY = re.compile(
    r"(?si)-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----.*?"
    r"(?:-----END [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----|\Z)"
)
_KEYS = re.compile(
    # OpenAI, Anthropic, OpenRouter, Langfuse, Stripe; Tavily, Perplexity, xAI, LangSmith, Stripe's webhooks
    _EDGE + r"(?:(?:sk|pk|rk|tvly|pplx|xai|lsv2|whsec)[-_](?=[\w-]{0,200}\d)[\w-]{16,}|SK[0-9a-f]{32}"
    # Case does not matter, since SQL may have made all letters small.
    r"|(?i:gh[opsur]_[a-z0-9]{20,}|github_pat_\w{20,}|gl[a-z]{2,8}-[\w-]{16,}|at[ac]tt3[\w-]{20,}"
    r"|xox[a-z]-[a-z0-9-]{10,}|xapp-[a-z0-9-]{20,}|(?:akia|asia|abia|acca)[a-z0-9]{16}(?![a-z0-9])|absk[a-z0-9+/]{40,}"
    r"|aiza[\w-]{30,}|ya29\.[\w.-]{20,}|gocspx-[\w-]{20,}|hf_[a-z0-9]{20,}|npm_[a-z0-9]{30,}|gsk_[a-z0-9]{20,}"
    r"|r8_[a-z0-9]{30,}|pypi-[\w-]{40,}|sg\.[\w-]{16,}\.[\w-]{16,}|hv[sbr]\.[\w-]{20,}|do[opr]_v1_[a-f0-9]{32,}"
    r"|dapi[a-f0-9]{32}|dp\.[a-z]{2,5}\.\w{30,}|shp(?:at|ca|pa|ss)_[a-f0-9]{32}|lin_api_\w{20,}|ntn_\w{20,}"
    r"|sbp_[a-f0-9]{40}|key-[a-f0-9]{32}|\d{8,10}:aa[\w-]{30,}"  # the last: Mailgun, Telegram
    r"|eyj[\w-]{8,2000}\.[\w-]{8,}(?:\.[\w-]*){0,3}))"  # JSON web tokens
)
_WEBHOOK = re.compile(r"(?i)(hooks\.slack\.com/\w{1,20}/|discord(?:app)?\.com/api/webhooks/)[\w/-]{16,}")

_IS = r"[\\\"'”」]{0,4}\s{0,3}(?:=>|[:=：＝])\s{0,3}"
_NAMED = re.compile(
    r"(?i)((?:api[ _-]?(?:key|token)|secret(?:[ _-]?(?:access[ _-]?)?key)?|(?:private|account|shared|signing)[ _-]?key"
    r"|(?:access|refresh|auth|session|bearer|id|csrf|bot|device)[ _-]?token|client[ _-]?secret"
    r"|pass(?:word|wd|phrase|code)|pwd|passwort|contraseña|mot de passe|senha|パスワード|暗証番号|密码|비밀번호)"
    rf"{_IS})"
    r"(?:([\\]{0,3}[\"'])(?!\[)(?:[^\"'\\\n]|\\[^\"']){1,500}"  # a text in quotes, blanks and all
    r"|(?!null\b|none\b|true\b|false\b)[^\s\"'\\,;&<>{}\[\]、。」』]{4,})"
)
_TOKEN = re.compile(
    r"(?i)((?<![A-Za-z])(?:token|authorization|credentials?|sig|signature|jwt)" + _IS + r"[\\\"']{0,4}"
    r"(?:(?:token|apikey|key) {1,3})?)(?=[\w.~+/%-]{0,200}\d)[\w.~+/%-]{16,}=*"
)
_CODE = re.compile(
    rf"(?i)((?<![A-Za-z])(?:otp|cvv2?|cvc2?|pin code|one[ -]time (?:code|password)|認証コード){_IS}[\\\"']{{0,4}})"
    r"\d{3,8}(?![\w.])"
)
_SAID = re.compile(
    r"(?i)((?:pass(?:word|code)|passwort) (?:is|ist|was):? [\"'“]?|パスワードは ?[「『\"]?)"
    r"(?=[!-~]{0,100}\d)[!#-&(-~]{6,}"
)
_COOKIE = re.compile(
    r"(?i)((?<![A-Za-z])(?:set-)?cookie[\\\"']{0,4}\s{0,3}[:=]\s{0,3}[\\\"']{0,4})[\w.-]{1,64}=[^\s\"'\\][^\n\"'\\]{7,}"
)
_BEARER = re.compile(r"(?i)(?<![A-Za-z])(bearer|basic)( +)(?=[\w.~+/-]{0,200}\d)[\w.~+/-]{16,}=*")
_IN_URL = re.compile(r"(://[^\s/:@\"'<>]{0,64}:)[^\s/@\"'<>]{1,128}(?=@)")

_ACCOUNT = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}\d{2}(?=((?: ?[A-Za-z0-9]){11,30}))")
_ACCOUNTS = {
    code[:2]: int(code[2:])
    for code in re.findall(
        r"\w+",
        "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DK18 DO28 EE20 EG29 ES24 "
        "FI18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 "
        "LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MR27 MT31 MU30 NL18 NO15 PK24 PL28 PS29 PT25 QA29 RO24 RS22 "
        "SA24 SC31 SE24 SI19 SK24 SM27 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20",
    )
}
"""Length of an account's number (IBAN), by its country."""
_CARD = re.compile(rf"{_BEFORE}[2-6２-６](?:[ -]?\d){{13,18}}{_AFTER}")
_PHONE = re.compile(
    rf"{_BEFORE}(?:[+＋][1-9]\d{{0,2}}(?:[ ().-]{{0,2}}\d){{6,12}}"  # international
    r"|[(（]\d{2,5}[)）][ -]?\d{1,4}[ .-]?\d{3,4}"  # (03) 1234-5678, (555) 123-4567
    rf"|[0０](?:\d{_DASH}\d{{4}}|\d{{2}}{_DASH}\d{{3,4}}|\d{{3}}{_DASH}\d{{2,3}}|\d{{4}}{_DASH}\d){_DASH}\d{{4}}"
    r"|[0０]\d{1,4}[(（]\d{1,4}[)）]\d{4}"  # 03(1234)5678
    rf"|[0０][5789５７８９][0０](?: ?\d{{4}}){{2}}|[0０]120{_DASH}\d{{3}}{_DASH}\d{{3}}"  # 09012345678
    r"|(?:1[-. ])?\d{3}[-.]\d{3}[-.]\d{4}|\d{3} \d{3} \d{4}"  # 555-123-4567
    rf"|0[1-9](?:[ .]\d{{2}}){{4}}|07\d{{3}} \d{{6}}){_AFTER}"  # 06 12 34 56 78, 07700 900123
)
_ENCODED = re.compile(r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{400,}={0,2}")


KINDS = ("e-mail", "card", "account", "phone", "secret")
"""What stands in brackets in the place of what was masked."""


def mask(text: str) -> str:
    """`text` with what looks like personal data or a secret replaced by ``[e-mail]``, ``[card]``, ``[account]``,
    ``[phone]``, ``[secret]``.

    Long runs of encoded bytes (images, files), which tell a reader nothing, become ``[encoded, N characters]``.
    """
    text = _ENCODED.sub(lambda match: f"[encoded, {len(match[0]):,} characters]", text)
    text = _PRIVATE_KEY.sub("[secret]", text)
    text = _IN_URL.sub(r"\1[secret]", text)
    text = _KEYS.sub("[secret]", text)
    text = _BEARER.sub(r"\1\2[secret]", text)
    text = _NAMED.sub(lambda match: f"{match[1]}{match[2] or ''}[secret]", text)
    for named in (_WEBHOOK, _TOKEN, _CODE, _SAID, _COOKIE):
        text = named.sub(r"\1[secret]", text)
    if any(at in text for at in ("@", "＠", "%40")):
        text = _EMAIL.sub("[e-mail]", text)
    text = _without_accounts(text)
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


def _without_accounts(text: str) -> str:
    """What looks like the end of a number may be the next word: its country tells how long it is."""
    parts, last = [], 0
    for match in _ACCOUNT.finditer(text):
        length = _ACCOUNTS.get(match[0][:2].upper(), 0)
        places = [place for place, character in enumerate(match[0] + match[1]) if character != " "]
        if match.start() < last or not 0 < length <= len(places):
            continue
        end = match.start() + places[length - 1] + 1
        number = text[match.start() : end].replace(" ", "").upper()
        is_whole = not text[end : end + 1].isascii() or not text[end : end + 1].isalnum()
        if is_whole and int("".join(str(int(character, 36)) for character in number[4:] + number[:4])) % 97 == 1:
            parts += [text[last : match.start()], "[account]"]
            last = end
    return "".join([*parts, text[last:]])
