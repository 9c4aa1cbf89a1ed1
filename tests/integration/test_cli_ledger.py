"""`hansei ledger`: what it lists and shows of a run's findings, and what is said about them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.support.cli import Done, hansei_here
from tests.support.sample_report import sample_report

from hansei.tools.ledger.opening import FILE, open_ledger
from hansei.tools.ledger.recording import record

PROBLEMS = [one for one in sample_report().findings if one.direction != "improvement"]
FIRST = PROBLEMS[0].id


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a ledger in which one run stands."""
    store = open_ledger(str(tmp_path / FILE))
    assert record(store, sample_report(), (), datetime(2026, 11, 20, tzinfo=UTC))
    store.close()
    return tmp_path


def _json(done: Done) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_list_tells_every_finding_once_with_its_state(folder: Path) -> None:
    found = _json(hansei_here(folder, "ledger", "list", "--json"))["findings"]
    assert sorted(one["id"] for one in found) == sorted(one.id for one in PROBLEMS)
    assert {one["state"] for one in found} == {"new"}
    shown = hansei_here(folder, "ledger", "list")
    assert (shown.returncode, all(one.id in shown.stdout for one in PROBLEMS)) == (0, True)
    assert "No finding in that state." in hansei_here(folder, "ledger", "list", "--state", "fixed").stdout
    wrong = hansei_here(folder, "ledger", "list", "--state", "broken")
    assert (wrong.returncode, "Choose among" in wrong.stderr) == (2, True)
    assert "No run of this project" in hansei_here(folder, "ledger", "list", "--project", "another").stdout


def test_show_tells_all_that_is_known_of_one(folder: Path) -> None:
    hansei_here(folder, "ledger", "note", FIRST, "asked the search team")
    found = _json(hansei_here(folder, "ledger", "show", FIRST, "--json"))
    assert (found["id"], found["state"], len(found["history"])) == (FIRST, "new", 1)
    assert found["notes"][0]["body"] == {"text": "asked the search team"}
    shown = hansei_here(folder, "ledger", "show", FIRST)
    assert (shown.returncode, "asked the search team" in shown.stdout) == (0, True)


def test_what_is_muted_is_told_with_its_reason_and_counts_again_when_unmuted(folder: Path) -> None:
    muted = hansei_here(folder, "ledger", "mute", FIRST, "--reason", "repaired in May", "--until", "2099-05-31")
    assert (muted.returncode, muted.stdout.startswith("Muted")) == (0, True)
    found = _json(hansei_here(folder, "ledger", "list", "--state", "muted", "--json"))["findings"]
    assert [(one["id"], one["muted"]["reason"], one["measured_state"]) for one in found] == [
        (FIRST, "repaired in May", "new")
    ]
    assert "Muted until" in hansei_here(folder, "ledger", "show", FIRST).stdout
    assert hansei_here(folder, "ledger", "unmute", FIRST).returncode == 0
    assert _json(hansei_here(folder, "ledger", "list", "--state", "muted", "--json"))["findings"] == []
    past = hansei_here(folder, "ledger", "mute", FIRST, "--reason", "late", "--until", "2020-01-01")
    assert (past.returncode, "over already" in past.stderr) == (2, True)


def test_what_was_done_is_kept_with_what_will_be_measured(folder: Path) -> None:
    acted = _json(hansei_here(folder, "ledger", "acted", FIRST, "--release", "2.4.1", "--json"))
    assert (acted["acted"]["release"], acted["acted"]["metric"]) == ("2.4.1", PROBLEMS[0].metric)
    assert "with release 2.4.1" in hansei_here(folder, "ledger", "show", FIRST).stdout
    unclear = hansei_here(folder, "ledger", "acted", FIRST)
    assert (unclear.returncode, "since when" in unclear.stderr) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("show", "zz"), "no finding"),
        (("show", FIRST[:2]), f"may be {len(PROBLEMS)} findings"),
        (("note", FIRST, "  "), "empty"),
        (("note", FIRST, "x" * 3000), "at most 2,000"),
        (("mute", FIRST), "--reason"),
        (("list", "--ledger", "nowhere.sqlite"), "nowhere.sqlite"),
    ],
)
def test_what_cannot_be_done_is_one_line(folder: Path, arguments: tuple[str, ...], said: str) -> None:
    done = hansei_here(folder, "ledger", *arguments)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert said in done.stderr
