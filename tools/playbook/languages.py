"""Which language a text is in, in SQL: by its script, and of those in Latin letters by the words that hold it together.

ClickHouse's own detection of languages is not allowed unless it is switched on. Only the beginning of a text is looked
at; what is too short to tell, mixed, or a list of messages that begins with a system prompt, is in no language ('').
"""

from __future__ import annotations

_LOOKED_AT = 200

_FUNCTION_WORDS = {
    "en": "the and is are what how my you your of to for with can please do does it this that why when where have has "
    "not an was were would could should i we be there which",
    "de": "der die das und ist nicht ich mein meine meinen ein eine einen wie für mit auf wo kann bitte den dem zu von "
    "wann warum habe sind es wird auch",
    "fr": "le la les des est une un et je vous que pour dans mon ma mes pas avec sur quel quelle comment où du au ce "
    "pourquoi quand puis suis",
    "es": "el la los las de que y en es un una por para mi mis con cómo qué está no se cuándo dónde puedo quiero del "
    "cuál hay",
    "pt": "o os as um uma não que de para com é meu minha como do da em por você quando onde posso está no na qual",
    "it": "il lo la gli che di è un una per non con come mio mia del della sono quando dove posso perché si le i",
    "nl": "het een de van en ik niet is mijn voor met hoe wat dat op te kan zijn waar wanneer waarom mag",
}

_LEAST_WORDS = 2
_LEAST_LETTERS = 4
"""Letters of a script that make a text one in it: names and quotations are shorter."""

_SCRIPTS = {
    "ja": r"[\\p{Hiragana}\\p{Katakana}]|\\\\u30[4-9a-f][0-9a-f]",
    "ko": r"\\p{Hangul}|\\\\u(a[c-f]|[bc][0-9a-f]|d[0-7])[0-9a-f]{2}",
    "zh": r"\\p{Han}|\\\\u[4-9][0-9a-f]{3}",
    "ru": r"\\p{Cyrillic}|\\\\u04[0-9a-f]{2}",
    "ar": r"\\p{Arabic}",
    "he": r"\\p{Hebrew}",
    "hi": r"\\p{Devanagari}",
    "th": r"\\p{Thai}",
    "el": r"\\p{Greek}",
}
"""Also as JSON escapes them. Japanese comes before Chinese, whose characters it uses."""

LANGUAGES = (*_SCRIPTS, *_FUNCTION_WORDS)


def language_of(text: str) -> str:
    """SQL of the code of the language that the SQL `text` is in: en, ja, de, …; '' when that cannot be told."""
    bits: dict[str, int] = {}
    for place, words in enumerate(_FUNCTION_WORDS.values()):
        for word in words.split():
            bits[word] = bits.get(word, 0) | 1 << place
    words = f"splitByNonAlpha(lower(leftUTF8({text}, {_LOOKED_AT})))"
    known = f"transform(w, {list(bits)}, {list(bits.values())}, 0)"
    scripts = ", ".join(
        f"countMatches(t, '{pattern}') >= {_LEAST_LETTERS}, '{code}'" for code, pattern in _SCRIPTS.items()
    )
    counts = ", ".join(f"arrayCount(b -> bitTest(b, {place}), told)" for place in range(len(_FUNCTION_WORDS)))
    # A shared first place is none.
    latin = (
        f"arrayMap(counts -> if(arrayMax(counts) >= {_LEAST_WORDS} AND countEqual(counts, arrayMax(counts)) = 1,"
        f" arrayElement({list(_FUNCTION_WORDS)}, indexOf(counts, arrayMax(counts))), ''), [[{counts}]])[1]"
    )
    other = "match(t, '[^\\\\x00-\\\\x7F]|\\\\\\\\u[0-9a-f]{4}')"
    script = f"if({other}, multiIf({scripts}, ''), '')"
    return (
        f"arrayMap((t, told) -> if(match(t, '\"system\"'), '',"
        f" arrayMap(script -> if(script != '', script, {latin}), [{script}])[1]),"
        f" [leftUTF8({text}, {_LOOKED_AT})], [arrayMap(w -> {known}, {words})])[1]"
    )
