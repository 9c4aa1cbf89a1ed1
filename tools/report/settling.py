"""What becomes of a model's sentences about a report: kept, written anew once, or given up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from hansei.contracts import Finding
from hansei.tools.report.catalogue import Catalogue
from hansei.tools.report.causes import unsupported
from hansei.tools.report.directions import contradicted
from hansei.tools.report.grounding import Facts, is_sentence, sentences_of, unfounded


@dataclass(frozen=True)
class Sentence:
    """A sentence, the findings that it is about, and whether it says what to do."""

    text: str
    about: tuple[Finding, ...] = ()
    advice: bool = False


@dataclass(frozen=True)
class Settled:
    """The sentences in their order, '' for each that was given up; and how many were written anew or given up."""

    texts: list[str]
    rewritten: int = 0
    given_up: int = 0


Rewrite = Callable[[Sequence[tuple[str, list[str]]]], Sequence[str]]
"""(sentences, each with what is wrong in it) → as many sentences."""


@dataclass(frozen=True)
class Own:
    """By what a sentence that says why is judged.

    Args:
        facts: of one finding: what a text about it alone may say.
        names: all that the report's findings are told to be in.
    """

    facts: Callable[[Finding], Facts]
    names: frozenset[str] = frozenset()


def wrong_in(sentence: Sentence, facts: Facts, own: Own | None = None) -> list[str]:
    """What in a sentence is not found in the facts, goes the other way than its findings, or tells as a cause what no
    single one of them holds; empty: it may stand."""
    if not is_sentence(sentence.text):
        return ["it is no whole sentence"]
    found: list[str] = []
    for part in sentences_of(sentence.text):  # a model may put two where one was asked for
        found += unfounded(part, facts) or (unsupported(part, sentence.about, own.facts, own.names) if own else [])
        found += contradicted(part, sentence.about, advice=sentence.advice)
    return list(dict.fromkeys(found))


def settle(
    sentences: Sequence[Sentence], facts: Facts, rewrite: Rewrite | None = None, own: Own | None = None
) -> Settled:
    """Holds sentences against the facts and their findings.

    Args:
        sentences: what the model wrote.
        facts: what it may say.
        own: what says why is held against one finding. None: it is not.
        rewrite: asks for others, once; None: the wrong ones are given up at once. Too few answers give up the rest.
    """
    texts = [" ".join(sentence.text.split()) for sentence in sentences]
    plain = [replace(sentence, text=text) for sentence, text in zip(sentences, texts, strict=True)]
    wrong = {i: found for i, sentence in enumerate(plain) if (found := wrong_in(sentence, facts, own))}
    again = list(rewrite([(texts[i], found) for i, found in wrong.items()])) if rewrite and wrong else []
    rewritten = given_up = 0
    for number, i in enumerate(wrong):
        better = " ".join(again[number].split()) if number < len(again) else ""
        if better and not wrong_in(replace(plain[i], text=better), facts, own):
            texts[i], rewritten = better, rewritten + 1
        else:
            texts[i], given_up = "", given_up + 1
    return Settled(texts, rewritten, given_up)


def marked(text: str, findings: Sequence[Finding], words: Catalogue) -> str:
    """A sentence of a summary, which says so when it tells of scores that an evaluator gave and that nobody held
    against people.

    Args:
        text: one sentence, or a few.
        findings: those that it is about.
        words: of the report's language.
    """
    mark, word = words.text("say.quality.uncalibrated_title", title="").strip(), words.text("evaluation.uncalibrated")
    told = any(one.kind == "quality" and one.title.endswith(mark) for one in findings)
    if not told or word in text.casefold():
        return text
    end = text[-1:] if text[-1:] in ".!?。！？" else ""
    gap = "" if words.language == "ja" else " "
    return f"{text.removesuffix(end)}{gap}{mark}{end}"
