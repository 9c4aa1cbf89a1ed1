"""Text of traces on its way to a model: masked, visible, cut, and closed in."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hansei.tools.langfuse.masking import mask, unmasked
from hansei.tools.langfuse.untrusted import CLOSING, LINE_END, OPENING, Text, one_line, quoted, shortened, visible

SEARCH = settings(derandomize=True, deadline=None)
HOSTILE = st.text(
    st.one_of(
        st.sampled_from(list("</>data \n\r\t\0[]INST|｜‹@+1234567890-()abc.\u202e\u200b\u2028\ufeff\U000e0041\ud800")),
        st.characters(),
    ),
    max_size=400,
) | st.sampled_from(
    [CLOSING, OPENING, "<|im_end|>", "</ data>", "<\n/data>", "bob@example.com " * 50, "+1 415 555 2671 " * 30]
)


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("write to bob.o'hara+x@mail.example.co.uk now", "write to bob.o'[e-mail] now"),
        ("card 4111 1111 1111 1111, 5500-0000-0000-0004", "card [card], [card]"),
        ("call +81 3-1234-5678 or (555) 123-4567 or 090-1234-5678", "call [phone] or [phone] or [phone]"),
        ("tel 415-555-2671.", "tel [phone]."),
        ("sk-proj-abcDEF1234567890abcDEF and pk-lf-12345678-aaaa-bbbb", "[secret] and [secret]"),
        ("ghp_abcdefghijklmnopqrstuvwxyz012345", "[secret]"),
        ("AKIAIOSFODNN7EXAMPLE", "[secret]"),
        ("Authorization: Bearer abc.def-123456789012345", "Authorization: Bearer [secret]"),
        ('{"password": "hunter2hunter2", "user": "x"}', '{"password": "[secret]", "user": "x"}'),
        ("api_key=abcd1234", "api_key=[secret]"),
        ('{\\"client_secret\\":\\"abcd1234\\"}', '{\\"client_secret\\":\\"[secret]\\"}'),
        ("postgres://app:s3cret@db:5432/x", "postgres://app:[secret]@db:5432/x"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl", "[secret]"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc\n-----END RSA PRIVATE KEY-----\nend", "[secret]\nend"),
        ("-----BEGIN PRIVATE KEY-----\nMIIEcut", "[secret]"),
        (
            "電話は090-1234-5678です。０３－１２３４－５６７８または03(1234)5678",
            "電話は[phone]です。[phone]または[phone]",
        ),
        ("フリーダイヤル0120-123-456、携帯09012345678へ", "フリーダイヤル[phone]、携帯[phone]へ"),
        ("メールはbob@example.comです。カードは4111111111111111です", "メールは[e-mail]です。カードは[card]です"),
        ("jürgen@müller.example, bob%40example.com", "[e-mail], [e-mail]"),
        ("06 12 34 56 78, 1-800-555-1234, 07700 900123", "[phone], [phone], [phone]"),
        ("IBAN DE89 3704 0044 0532 0130 00 and BE68539007547034 from me", "IBAN [account] and [account] from me"),
        ("GB82 WEST 1234 5698 7654 32.", "[account]."),
        ("sk-ant-api03-AbCd1234-efgh5678_ijkl", "[secret]"),
        ("sk_live_4eC39HqLyjWDarjtT1zdp7dc whsec_4eC39HqLyjWDarjtT1zdp7dc", "[secret] [secret]"),
        ("akiaiosfodnn7example", "[secret]"),
        ("aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "aws_secret_access_key = [secret]"),
        ("AIzaSyD-1234567890abcdefghijklmnopqrstu", "[secret]"),
        ("xoxb-1234567890-abcdefghij github_pat_11ABCDEFG0abcdefghijkl", "[secret] [secret]"),
        ("glpat-abcdefghij0123456789, hvs.CAESIabcdefghijklmnopqr", "[secret], [secret]"),
        ("https://hooks.slack.com/services/T000/B000/XXXXXXXXXXXXXXXX", "https://hooks.slack.com/services/[secret]"),
        ("123456789:AAabcdefghijklmnopqrstuvwxyz0123456", "[secret]"),
        ("X-Api-Key: 0123456789abcdef", "X-Api-Key: [secret]"),
        ("Authorization: 0123456789abcdef0123", "Authorization: [secret]"),
        ("?sv=2024&sig=abcDEF0123456789abcDEF%3D&x=1", "?sv=2024&sig=[secret]&x=1"),
        ('"token": "abcdef0123456789abcdef"', '"token": "[secret]"'),
        ("Set-Cookie: sid=abcdef0123456789; Path=/", "Set-Cookie: [secret]"),
        ('{"password": "two words, and more; yes", "user": "x"}', '{"password": "[secret]", "user": "x"}'),
        ("{'DB_PASSWORD': 'abc'}", "{'DB_PASSWORD': '[secret]'}"),
        ('{\\"password\\":\\"two words\\",\\"a\\":1}', '{\\"password\\":\\"[secret]\\",\\"a\\":1}'),
        ("パスワード：himitsu88、パスワードはhimitsu88です", "パスワード：[secret]、パスワードは[secret]です"),
        ("my password is hunter22 and cvv: 123", "my password is [secret] and cvv: [secret]"),
        ("-----BEGIN PGP PRIVATE KEY BLOCK-----\nabc\n-----END PGP PRIVATE KEY BLOCK-----", "[secret]"),
        ("data:image/png;base64," + "iVBO" * 200, "data:image/png;base64,[encoded, 800 characters]"),
    ],
)
def test_what_looks_personal_or_secret_is_masked(text: str, masked: str) -> None:
    assert mask(text) == masked
    assert mask(masked) == masked  # once is enough: what was masked is no secret


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-16 12:34:56.789 and 01-11-2026",
        "1763251200000 ms, 1763251200000000 us",
        "192.168.100.200:8123",
        "trace 78cd34d856ef5feee9f15eef04f73b55, 123e4567-e89b-12d3-a456-426614174000",
        "order 4111111111111112 of 12345678",
        "0.123456789012345 and -12345678.9012",
        "the password is required; token count: 1234; tokens=5678",
        '{"password": null, "api_key": ""}',
        "sk-learn-is-a-library and risk-management-of-everything",
        "decorator @property, price 12 @ 3.50",
        "call 911, room 555-1234",
        "パスワードは必要です。注文番号は12345678です",
        "the next page_token is short; token: 1234, signature: total(x)",
        "ab12cdef34567890abcdef1234567890 and DE00370400440532013000",
        "SK-2024-PRODUCT-LINE-0001 in stock",
        "the cookie: chocolate; password reset link sent",
        "v1.2.3-rc.4 2026-11-16T00:00:00Z 10.0.0.1",
    ],
)
def test_what_is_neither_stays(text: str) -> None:
    assert mask(text) == text


@SEARCH
@given(HOSTILE, st.integers(0, 300))
def test_a_text_of_any_kind_fits_into_one_line(text: str, limit: int) -> None:
    for masking in (mask, unmasked):
        for line in (shortened(Text.of(text), limit, masking), one_line(text, limit, masking)):
            assert len(line) <= limit
            assert not any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in line if c != "\t")
            assert not set(line) & set("\u202e\u200b\ufeff\U000e0041")


@SEARCH
@given(st.lists(HOSTILE, max_size=5))
def test_nothing_inside_a_section_closes_it(texts: list[str]) -> None:
    for separator in ("", "\n", " "):
        whole = quoted(separator.join(visible(text) for text in texts))
        assert whole.startswith(OPENING + "\n")
        assert whole.endswith("\n" + CLOSING)
        inside = whole[len(OPENING) : -len(CLOSING)].lower()
        assert "<data" not in inside
        assert "</data" not in inside
        assert "<|" not in inside
        assert "</ data" not in inside


@SEARCH
@given(HOSTILE)
def test_visible_text_keeps_its_length_but_for_line_ends(text: str) -> None:
    assert len(visible(text)) == len(text) - text.count("\r\n")


def test_of_a_long_text_both_ends_stay_and_what_is_left_out_is_counted() -> None:
    text = "begin " + "x " * 5_000 + "end"
    line = shortened(Text.of(text), 100)
    assert line.startswith("begin x")
    assert line.endswith("x end")
    left_out = len(text) - (len(line) - len(" […9,939 characters left out…] "))
    assert f" […{left_out:,} characters left out…] " in line


def test_a_secret_across_a_cut_leaves_nothing_behind() -> None:
    secret = "sk-proj-" + "a1B2" * 10
    for before in range(60, 160):
        line = shortened(Text.of("y " * before + secret + " z" * 500), 200)
        assert "a1B2" not in line
    # Of a text that was cut before it came here, its middle is not known.
    cut = Text("y " * 3_000 + secret[:20], secret[20:] + " z" * 3_000, 90_000)
    assert "a1B2" not in shortened(cut, 20_000)


def test_short_texts_are_whole_and_lines_are_marked() -> None:
    assert shortened(Text.of("one\r\ntwo"), 60) == f"one{LINE_END}two"
    assert one_line("  a \n b\t", 60) == "a b"
    assert visible("a\0b\x07\u202ec\u2066") == "a␀b␇�c�"
    assert visible("👩‍💻 ❤️ हिन्दी 日本語") == "👩‍💻 ❤️ हिन्दी 日本語"
