"""Answers in another language than the question: where they begin, and where they are meant so."""

from __future__ import annotations

import pytest
from tests.support.in_memory import Analyse
from tests.support.schemas import both
from tests.support.world import PERIODS, Fault, Step, Visit, make_world

from hansei.demo.tables import Schema
from hansei.tools.clickhouse import open_writer
from hansei.tools.playbook.languages import language_of

ASKED = {
    "en": "How do I change the address of my order, and what is it that I have to do?",
    "ja": "注文の配送先を変更するにはどうすればよいですか。手順を教えてください。",
    "de": "Wie kann ich die Adresse für meine Bestellung ändern und was ist zu tun?",
}
SAID = {
    "en": "You can change it in your account: open the order and choose the new address.",
    "ja": "アカウントの注文画面を開き、新しい住所を選んでください。変更できます。",
    "de": "Sie können die Adresse in Ihrem Konto ändern, und das ist für die Bestellung nicht zu spät.",
}


def speaks(*apps: str) -> Fault:
    """Questions in three languages, each answered in its own."""

    def fault(visit: Visit) -> None:
        if visit.app in apps:
            language = ("en", "en", "ja", "de")[visit.random.randrange(4)]
            visit.metadata["asked"] = language
            visit.input, visit.output = ASKED[language], SAID[language]

    return fault


def in_english(language: str, share: float, *, day: int, prompt: int | None = None) -> Fault:
    """Questions in a language are answered in English since a day, or since a version of the prompt."""

    def fault(visit: Visit) -> None:
        if visit.app == "support" and visit.day >= day:
            if prompt is not None:
                answer: Step = next(step for step in visit.steps if step.type == "GENERATION")
                answer.prompt = ("answer", prompt)
            if visit.metadata.get("asked") == language and visit.random.random() < share:
                visit.output = SAID["en"]

    return fault


@pytest.mark.parametrize("schema", both("v4"))
def test_answers_that_lose_a_language_are_told_with_it_and_since_when(engine: Analyse, schema: Schema) -> None:
    rows = make_world(speaks("support", "research"), in_english("ja", 0.7, day=2), per_day=120)
    (found,) = engine(rows, schema).findings
    assert (found.kind, found.metric, found.direction) == ("silent_failure", "wrong_language_rate", "regression")
    assert found.segment == {"language": "ja", "trace_name": "support"}
    assert found.onset is not None
    assert (found.onset - PERIODS.window.start).days == 2
    asked = [r for r in rows.traces if r.name == "support" and r.metadata.get("asked") == "ja"]
    now = [r for r in asked if PERIODS.window.start <= r.timestamp < PERIODS.window.end]
    assert found.current.n == len(now)
    assert found.current.value == pytest.approx(sum(r.output == SAID["en"] for r in now) / len(now))
    assert found.cause is not None
    assert "in Japanese in English" in found.cause


@pytest.mark.long
def test_a_prompt_that_loses_the_instruction_is_told_by_its_version(engine: Analyse) -> None:
    rows = make_world(speaks("support"), in_english("ja", 0.9, day=1, prompt=9), per_day=120)
    (found,) = engine(rows, "v3").findings
    assert found.metric == "wrong_language_rate"
    assert found.segment.get("prompt_version") == "9" or found.segment.get("language") == "ja"
    assert "version 9" in f"{found.cause} {found.recommendation}"


@pytest.mark.long
def test_a_language_that_is_missed_all_the_time_now_and_then_stands_out(engine: Analyse) -> None:
    rows = make_world(speaks("support"), in_english("de", 0.3, day=-7), per_day=120)
    (found,) = engine(rows, "v4").findings
    assert (found.metric, found.direction) == ("wrong_language_rate", "hotspot")
    assert found.segment == {"language": "de", "trace_name": "support"}
    assert found.comparison.segment == {"trace_name": "support"}


def test_what_translates_or_is_asked_more_in_a_language_it_never_speaks_is_no_finding(engine: Analyse) -> None:
    def more_japanese(visit: Visit) -> None:
        if visit.app == "support" and visit.day >= 0 and visit.random.random() < 0.4:
            visit.input, visit.output, visit.metadata["asked"] = ASKED["ja"], SAID["ja"], "ja"

    rows = make_world(speaks("support"), more_japanese, in_english("ja", 1.0, day=-7), per_day=120)
    assert [found.title for found in engine(rows, "v3").findings] == []


TEXTS = {
    "en": ("The order left the warehouse yesterday and should arrive in two days.", "Set output format to a number"),
    "de": ("Sie können das in den Einstellungen ändern. Wählen Sie das Konto und speichern Sie.",),
    "fr": (
        "La formule supérieure comprend plus de places et un historique plus long de vos données.",
        "La recherche de la commande a été annulée par manque de stock.",
    ),
    "es": ("El plan superior incluye más usuarios y un historial más largo de sus datos.",),
    "pt": ("O plano maior inclui mais lugares e um histórico mais longo dos seus dados.",),
    "it": ("Il piano superiore comprende più posti e una cronologia più lunga dei tuoi dati.",),
    "nl": ("Het grotere abonnement heeft meer plaatsen en een langere geschiedenis van je gegevens.",),
    "": ("OK", "SELECT id FROM orders", "Lisboa, Roma, Paris", "Indique la date de livraison de la commande."),
}


def test_a_language_is_not_taken_for_its_neighbour() -> None:
    texts = [text for said in TEXTS.values() for text in said]
    client = open_writer("chdb://")
    try:
        sql = f"SELECT text, {language_of('text')} FROM (SELECT arrayJoin({{texts:Array(String)}}) AS text)"
        found = dict(client.query(sql, parameters={"texts": texts}).result_rows)
    finally:
        client.close()
    assert found == {text: language for language, said in TEXTS.items() for text in said}
