"""Which language a text is in, in SQL: by its script, and of those in Latin letters by the words that hold it together.

ClickHouse's own detection of languages is not allowed unless it is switched on. Only the beginning of a text is looked
at; what is too short to tell, mixed, or a list of messages that begins with a system prompt, is in no language ('').
"""

from __future__ import annotations

_LOOKED_AT = 200

_FUNCTION_WORDS = {
    "en": "the and is are was were be been to of in on at for with from by as that this it its i you he she we "
    "they your my our can will would could should do does did not no have has had an a or but if what how "
    "why when where which who please there here so all any more about after before than then into out up",
    "de": "der die das den dem des und oder aber ist sind war waren wird werden wurde ein eine einen einem "
    "einer eines nicht kein keine ich du er sie es wir ihr ihre ihren ihrem mein meine meinen dein von "
    "vom zu zum zur mit für auf an am im in aus bei nach über unter wie was wer wo wann warum wenn dass "
    "hat haben habe kann können soll bitte auch noch nur sich mehr als diese dieser dieses alle durch "
    "ohne",
    "fr": "le la les un une des du de et ou mais est sont était sera être ce cette ces il elle nous vous je tu "
    "on ne pas plus que qui quoi dans en sur sous avec sans pour par au aux à mon ma mes votre vos notre "
    "nos son sa ses leur si comment où quand pourquoi quel quelle a ont avez été puis suis très tout "
    "aucun aucune peut peuvent doit fait comme entre lors car",
    "es": "el la los las un una unos de del al y o pero es son era está están ser que qué quien en con sin por "
    "para como cómo cuando cuándo dónde cuál no sí se su sus mi mis tu lo le les me te nos yo hay ha han "
    "he puede puedo quiero más muy este esta esto desde hasta ya también a todo todos entre sobre donde "
    "ni",
    "pt": "o a os as um uma uns de do da dos das em no na nos nas ao à às e ou mas é são era foi está estão ser "
    "que quem com sem por pelo pela para como quando onde qual não sim se seu sua seus meu minha meus "
    "você eu ele ela isso este esta já mais muito também há tem posso pode até foram seja entre sobre "
    "todos nem",
    "it": "il lo la i gli le un una uno di del della dei delle da dal nel nella e o ma è sono era sarà essere "
    "che chi con senza per su sul quando dove perché quale non si mio mia suo sua ho ha hai hanno posso "
    "può più molto questo questa anche se ci vi al alla ed a come nello degli agli dalla dai alle ogni "
    "viene",
    "nl": "de het een van en of maar is zijn was waren wordt worden dat die dit deze ik jij hij zij wij je mijn "
    "uw niet geen met voor op aan in bij naar om te uit over tot als hoe wat wie waar wanneer waarom kan "
    "kunt mag moet heeft hebben ook nog meer er kunnen alle andere door",
}
"""The commonest words of each, about as many of each language: one whose own words are missing here would be taken for
its neighbour, with which it shares the rest. Letters that stand for options or units are none."""

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
