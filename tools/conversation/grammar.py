"""From phrases to an `Ask`: the forms of questions that are understood without a model.

A form says which words make it, which phrases it may hold and how many of each. A question is of the first form that
has a place for everything that it says: a word too many, and it is another question. So a question is either understood
as a whole, or not at all.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from hansei.contracts import Report
from hansei.contracts.asks import Ask, Listing, Named, ToDataset
from hansei.tools.conversation import continuing, naming
from hansei.tools.conversation.lexicon import normalised, vocabulary, words_of
from hansei.tools.conversation.looking import askable
from hansei.tools.conversation.naming import Unclear, World
from hansei.tools.conversation.phrases import Sentence, readings

Limits = dict[str, tuple[int, int]]


@dataclass(frozen=True)
class Form:
    """One form of question.

    Args:
        build: makes the `Ask`; raises `Unclear` when a name stands for nothing.
        needs: of each set, one word must be there.
        may: words that may be there besides.
        phrases: sort of phrase → fewest and most; what is not named must not be there.
    """

    build: Callable[[Sentence, World], Ask]
    needs: Sequence[frozenset[str]] = ()
    may: frozenset[str] = frozenset()
    phrases: Limits = field(default_factory=dict)

    def fits(self, sentence: Sentence) -> bool:
        """Whether the sentence has all that the form needs, and nothing that it has no place for."""
        if not all(group & sentence.heads for group in self.needs):
            return False
        allowed = self.may.union(*self.needs) if self.needs else self.may
        if not sentence.heads <= allowed:
            return False
        sizes = sentence.sizes()
        return all(low <= sizes[sort] <= high for sort in sizes for low, high in (self.phrases.get(sort, (0, 0)),))


def _form(build: Callable[[Sentence, World], Ask], needs: str = "", may: str = "", **phrases: tuple[int, int]) -> Form:
    groups = [frozenset(group.split("|")) for group in needs.split()]
    return Form(build, groups, frozenset(may.split()), phrases)


_ONE, _MAYBE, _SOME = (1, 1), (0, 1), (0, 4)

FORMS: tuple[Form, ...] = (
    _form(lambda s, w: Listing(what="forms"), "HELP", "SHOW"),
    _form(lambda s, w: Listing(what="refuted"), "REFUTED", "SHOW FINDINGS WHICH ABOUT"),
    _form(lambda s, w: Listing(what="gaps"), "GAPS", "SHOW WHICH ABOUT"),
    _form(lambda s, w: Listing(what="improvements"), "BETTER", "SHOW FINDINGS WHICH ABOUT CHANGED"),
    _form(lambda s, w: Listing(what="findings"), "FINDINGS", "SHOW WHICH ABOUT"),
    _form(naming.dataset, "MAKE DATASET", "EXAMPLES LANGFUSE", references=_MAYBE, names=_MAYBE),
    _form(naming.dataset, "MAKE LANGFUSE", "EXAMPLES TRACE", references=_MAYBE),
    _form(naming.trace, "TRACE", "SHOW ABOUT", traces=_ONE),
    _form(naming.compare, "COMPARE", "BY HOW_MUCH SHOW", slices=(2, 4), metrics=_MAYBE),
    _form(naming.day, "ALSO", "SHOW", days=_ONE),
    _form(continuing.compare_listed, "COMPARE", "BY HOW_MUCH SHOW EXAMPLES", references=_MAYBE, metrics=_MAYBE),
    _form(naming.day, "CHANGED", "WHICH SHOW HOW_MUCH", days=_ONE, slices=_SOME, references=_MAYBE),
    _form(naming.not_this, "WHY NOT", "ONLY", dimensions=_ONE, references=_MAYBE),
    _form(naming.not_this, "WHY NOT", "ONLY", slices=_ONE, references=_MAYBE),
    _form(naming.only, "ONLY", "WHY NOT CHANGED", slices=_ONE, references=_MAYBE),
    _form(naming.only, "ONLY", "NOT CHANGED", dimensions=_ONE, references=_MAYBE),
    _form(naming.breakdown, "BY|WHICH", "SHOW HOW_MUCH AFFECTED ALSO", dimensions=_ONE, metrics=_MAYBE,
          references=_MAYBE, slices=_SOME),
    _form(naming.course, "TREND", "SHOW HOW_MUCH", metrics=_MAYBE, references=_MAYBE, slices=_SOME),
    _form(continuing.when, "WHEN", "CHANGED SHOW", references=_MAYBE, metrics=_MAYBE),
    _form(continuing.priority, "PRIORITY", "ADVICE SHOW HOW_MUCH CHANGED"),
    _form(naming.breakdown, "AFFECTED", "SHOW", dimensions=_ONE, references=_MAYBE),
    _form(continuing.impact, "AFFECTED", "HOW_MUCH EXAMPLES TRACE SHOW ABOUT", references=_MAYBE, dimensions=_MAYBE),
    _form(naming.proof, "PROOF", "SHOW WHY NOT", references=_MAYBE),
    _form(naming.advice, "ADVICE", "SHOW ABOUT HOW_MUCH", references=_MAYBE),
    _form(naming.cause, "WHY", "CHANGED", references=_MAYBE, metrics=_MAYBE),
    _form(naming.cause, "WHY", "CHANGED", slices=(1, 4), metrics=_MAYBE),
    _form(naming.examples, "EXAMPLES|TRACE", "SHOW", counts=_MAYBE, references=_MAYBE, metrics=_MAYBE),
    _form(naming.examples, "SHOW", "", counts=_ONE, references=_MAYBE),
    _form(continuing.also, "ALSO", "HOW_MUCH SHOW", slices=(1, 4), metrics=_MAYBE),
    _form(continuing.also, "ALSO", "HOW_MUCH SHOW", metrics=_ONE),
    _form(continuing.also, "CHANGED", "HOW_MUCH", slices=(1, 4), references=_MAYBE),
    _form(naming.about, "ALSO", "ABOUT SHOW", references=_ONE),
    _form(naming.course, "HOW_MUCH", "CHANGED SHOW", references=_MAYBE),
    _form(naming.measure, "", "HOW_MUCH SHOW", metrics=_ONE, slices=_SOME, references=_MAYBE),
    _form(naming.about, "", "ABOUT SHOW", references=_ONE),
    _form(naming.about_slice, "", "ABOUT SHOW", slices=(1, 4)),
)  # fmt: skip
"""Most particular first."""


def understood(question: str, report: Report, named: Named) -> Ask:
    """What a question asks of a report.

    Raises:
        Unclear: it is of no form, or a name in it stands for nothing; says which word, where one is to blame.
    """
    words = words_of(question, vocabulary(report, named))
    if not words:
        raise Unclear("empty")
    strange = [word.text for word in words if not word.meanings]
    if strange:
        raise Unclear("word", word=strange[0])
    world, unclear = World(report, named), None
    for sentence in readings(words):
        for form in FORMS:
            if not form.fits(sentence):
                continue
            try:
                asked = askable(form.build(sentence, world), report)
                return _as_written(asked, question) if isinstance(asked, ToDataset) else asked
            except Unclear as error:
                unclear = unclear or error
    raise unclear or Unclear("form")


def _as_written(asked: ToDataset, question: str) -> ToDataset:
    """With the dataset's name in the letters of the question, since case tells names of Langfuse's apart."""
    at = normalised(question).find(asked.name)
    plain = " ".join(unicodedata.normalize("NFKC", question).split())
    same = at >= 0 and len(plain) == len(normalised(question))
    return asked.model_copy(update={"name": plain[at : at + len(asked.name)]}) if same else asked
