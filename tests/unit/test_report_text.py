"""Hostile text becomes visible, short and harmless."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hansei.tools.report.text import excerpt, one_line, safe_url, visible


def test_hidden_and_reordering_characters_are_named() -> None:
    assert visible("a\u202egnp.exe\u202c") == "a⟨U+202E⟩gnp.exe⟨U+202C⟩"
    assert visible("zero\u200bwidth\ufeff") == "zero⟨U+200B⟩width⟨U+FEFF⟩"
    assert visible("\x1b[31m") == "⟨U+001B⟩[31m"
    assert visible("\u3164\U000e0041\ud800") == "⟨U+3164⟩⟨U+E0041⟩⟨U+D800⟩"


def test_ordinary_text_stays_as_it_is() -> None:
    text = "Grüße, 検索 שלום 🙂\n\ttabbed & <b>"
    assert visible(text) == text
    assert visible("one\r\ntwo") == "one\ntwo"


@given(st.text(st.characters(codec=None)))
def test_nothing_hidden_is_left(text: str) -> None:
    shown = visible(text)
    assert not [c for c in shown if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") and c not in "\n\t"]
    assert visible(shown) == shown
    assert "\n" not in one_line(text)


def test_excerpt_says_how_much_is_missing() -> None:
    assert excerpt("abc", 3) == "abc"
    assert excerpt("a" * 1500, 200) == "a" * 200 + "… (+1,300)"


@pytest.mark.parametrize(
    "url",
    ["https://langfuse.example.com/project/p/traces/1?x=1&y=2#z", "http://127.0.0.1:3000/project/p/traces/%E2%82%AC"],
)
def test_plain_web_addresses_are_links(url: str) -> None:
    assert safe_url(url) == url


@pytest.mark.parametrize(
    "url",
    [
        None,
        "",
        "javascript:alert(1)",
        "JAVASCRIPT://example.com/%0aalert(1)",
        "data:text/html,<script>",
        "file:///etc/passwd",
        "//example.com/x",
        "https://",
        "https:///path",
        "https://user:password@example.com/x",
        "https://example.com/ onmouseover=1",
        'https://example.com/"onmouseover="alert(1)',
        "https://example.com/\u202egnp",
        "https://exa\nmple.com",
        "http://[::1",
    ],
)
def test_everything_else_is_no_link(url: str | None) -> None:
    assert safe_url(url) is None
