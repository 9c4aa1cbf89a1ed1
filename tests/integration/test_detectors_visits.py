"""Traffic that moves, and traces that run away, of one user, tag, language or value of metadata are told as that."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from tests.support.faults import carrying, on_visits, wanders
from tests.support.in_memory import Analyse
from tests.support.schemas import both
from tests.support.world import PERIODS, Visit, make_world

from hansei.contracts import Finding, Report, Segment
from hansei.demo.tables import SCHEMAS, Schema

QUESTIONS = {"en": "Where is my order? I have not received it yet.", "ja": "注文がまだ届いていません。いつ届きますか。"}


def of_tenants(visit: Visit) -> None:
    """Eight tenants, a tag for a fifth of the visits, and two languages."""
    carrying(visit)
    source = visit.random
    visit.metadata["tenant"] = f"t{source.randrange(8)}"
    visit.tags = ["nightly"] if source.random() < 0.2 else []
    visit.input = QUESTIONS["ja" if source.random() < 0.2 else "en"]


def only(report: Report) -> Finding:
    told = [(found.kind, found.direction, found.segment) for found in report.findings]
    assert len(told) == 1, told
    return report.findings[0]


def at_random(visit: Visit, share: float) -> bool:
    return visit.random.random() < share


Which = Callable[[Visit], bool]
LEAVES: dict[str, tuple[Which, Segment]] = {
    "tenant": (lambda visit: visit.metadata["tenant"] == "t3", {"metadata.tenant": "t3"}),
    "tag": (lambda visit: "nightly" in visit.tags, {"tag": "nightly"}),
    "language": (lambda visit: visit.input == QUESTIONS["ja"], {"language": "ja"}),
    "tenant of an app": (
        lambda visit: visit.app == "support" and visit.metadata["tenant"] == "t3",
        {"metadata.tenant": "t3", "trace_name": "support"},
    ),
    "hours": (lambda visit: 2 <= visit.at.hour < 5, {"hour_of_day": "02:00-05:00"}),
}


@pytest.mark.parametrize("name", [*LEAVES])
@pytest.mark.parametrize("schema", both("v4"))
def test_who_goes_away_is_told_by_what_their_traces_carry(name: str, schema: Schema, engine: Analyse) -> None:
    which, segment = LEAVES[name]
    rows = make_world(
        of_tenants, seed=41, per_day=200, days=35,
        comes=lambda visit: not (visit.day >= 2 and which(visit) and at_random(visit, 0.95)),
    )  # fmt: skip
    found = only(engine(rows, schema))
    assert (found.kind, found.direction) == ("traffic", "regression")
    assert found.segment == segment
    assert found.onset == PERIODS.window.start + timedelta(days=2)
    held = [row for row in rows.traces if PERIODS.window.start <= row.timestamp < PERIODS.window.end]
    assert found.current.n < len(held) / 10


def test_of_very_many_traces_two_days_tell_who_goes_away(engine: Analyse, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("attributes", "visits"):
        monkeypatch.setattr(f"hansei.tools.playbook.{module}.ENOUGH", 20_000)
    which, segment = LEAVES["tenant"]
    rows = make_world(
        of_tenants, seed=46, per_day=1000, comes=lambda visit: not (visit.day >= 2 and which(visit))
    )  # fmt: skip
    found = only(engine(rows, "v3"))
    assert (found.kind, found.direction, found.segment) == ("traffic", "regression", segment)


@pytest.mark.parametrize("schema", both("v3"))
def test_a_user_who_comes_all_the_time_is_told_as_that(schema: Schema, engine: Analyse) -> None:
    def crawls(visit: Visit) -> None:
        if visit.day >= 3 and at_random(visit, 0.3):
            visit.user = "crawler"

    rows = make_world(
        of_tenants, crawls, seed=42, per_day=200, days=35, volume=lambda day, app: 1.4 if day >= 3 else 1.0
    )
    found = only(engine(rows, schema))
    assert (found.kind, found.direction, found.segment) == ("traffic", "hotspot", {"user_id": "crawler"})


@pytest.mark.parametrize("schema", both("v4"))
def test_what_moves_for_all_is_told_of_the_app(schema: Schema, engine: Analyse) -> None:
    rows = make_world(
        of_tenants, seed=43, per_day=200, days=35,
        volume=lambda day, app: 0.4 if app == "support" and day >= 3 else 1.0,
    )  # fmt: skip
    assert only(engine(rows, schema)).segment == {"trace_name": "support"}


@pytest.mark.parametrize("schema", both("v3"))
def test_a_new_value_in_place_of_another_is_no_traffic(schema: Schema, engine: Analyse) -> None:
    def renamed(visit: Visit) -> None:
        visit.metadata["build"] = "2.4.1" if visit.day >= 2 else "2.4.0"
        if visit.day >= 1 and visit.metadata["tenant"] == "t3":
            visit.metadata["tenant"] = "t3-gmbh"

    report = engine(make_world(of_tenants, renamed, seed=44, per_day=200, days=35), schema)
    assert report.findings == [], [found.title for found in report.findings]


@pytest.mark.parametrize(
    ("which", "segment"),
    [
        (lambda visit: visit.metadata["region"] == "eu", {"metadata.region": "eu"}),
        (lambda visit: visit.user == "user-7", {"user_id": "user-7"}),
        (lambda visit: visit.input == QUESTIONS["ja"], {"language": "ja"}),
    ],
    ids=["metadata", "user", "language"],
)
@pytest.mark.parametrize("schema", both("v4"))
def test_traces_that_run_away_for_some_are_told_as_that(
    which: Which, segment: Segment, schema: Schema, engine: Analyse
) -> None:
    def fewer_users(visit: Visit) -> None:
        visit.user = f"user-{visit.random.randrange(8)}"

    fault = on_visits(which, wanders("research", "web_search", 30, share=0.3))
    found = only(engine(make_world(of_tenants, fewer_users, fault, seed=45, per_day=400), schema))
    assert (found.kind, found.direction) == ("runaway", "regression")
    assert found.segment == {"trace_name": "research", **segment}
    assert found.parameters == {"many_steps": 25.0}


@pytest.mark.long
def test_quiet_projects_whose_traces_carry_much_have_no_finding(engine: Analyse) -> None:
    for seed in range(6):
        report = engine(make_world(of_tenants, seed=seed, per_day=80, days=35), SCHEMAS[seed % 2])
        assert report.findings == [], [found.title for found in report.findings]
