"""The file of verdicts: what a verdict is kept under, what a run has spent, and files of older Hanseis."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from hansei.contracts.evaluation import Criterion, Verdict
from hansei.contracts.spent import Usage
from hansei.errors import UsageError
from hansei.tools.evaluation.asking import Judge
from hansei.tools.evaluation.store import VERSION, VerdictStore
from hansei.tools.language_model import Endpoint, Prompt


def test_what_a_run_has_spent_counts_until_it_has_come_to_its_end(tmp_path: Path) -> None:
    store = VerdictStore(tmp_path / "verdicts.sqlite")
    assert store.spent("run", but="here") == Usage()
    assert not (tmp_path / "verdicts.sqlite").exists()
    store.spend("run", "first", "judge a", Usage(calls=2, input_tokens=20, output_tokens=4, usd=0.2))
    store.spend("run", "first", "judge a", Usage(calls=1, input_tokens=10, output_tokens=2, usd=0.1))  # came too late
    store.spend("run", "first", "judge b", Usage(calls=1, input_tokens=5, output_tokens=1))
    store.spend("run", "second", "judge a", Usage(calls=4, input_tokens=40))
    store.spend("other", "first", "judge a", Usage(calls=9, input_tokens=90))
    assert store.spent("run", but="second") == Usage(calls=3, input_tokens=25, output_tokens=5, usd=0.2)
    store.settle("run")
    assert store.spent("run", but="") == Usage()
    assert store.spent("other", but="").calls == 9


def test_a_file_of_an_older_hansei_is_gone_on_with_and_a_newer_one_refused(tmp_path: Path) -> None:
    path = tmp_path / "verdicts.sqlite"
    store, verdict = VerdictStore(path), Verdict(trace_id="t", criterion="c", version="v", value=True)
    store.keep([("key", verdict)])
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        file.execute("DROP TABLE spent")
        file.execute("PRAGMA user_version = 1")
    store.spend("run", "part", "judge", Usage(calls=1))
    assert store.find(["key"]) == {"key": verdict}
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        assert file.execute("PRAGMA user_version").fetchone() == (VERSION,)
        file.execute(f"PRAGMA user_version = {VERSION + 1}")
    with pytest.raises(UsageError, match="newer Hansei"):
        store.find(["key"])


def test_what_a_run_told_before_it_began_anew_is_kept_as_another_runs(tmp_path: Path) -> None:
    store = VerdictStore(tmp_path / "verdicts.sqlite")

    def verdict(trace: str, by: str) -> Verdict:
        return Verdict(trace_id=trace, criterion="c", version="v", value=True, judged_by=by)

    for by in ("one", "two", "three"):
        store.forget("run")
        store.tell("run", [verdict("t", by), *([verdict("only", by)] if by == "one" else [])])
    assert [one.judged_by for one in store.told("run")] == ["three"]
    assert sorted((one.trace_id, one.judged_by) for one in store.told_of(["c"], but="run")) == [
        ("only", "one"), ("t", "two"),
    ]  # fmt: skip


def test_a_verdict_is_kept_under_all_that_it_depends_on() -> None:
    def key(
        *, project: str = "p", trace: str = "t", shown: str = "text", definition: str = "d", prompt: str = "Judge.",
        model: str = "m", url: str | None = None, language: str = "English", masked: bool = True,
    ) -> str:  # fmt: skip
        endpoint = cast(Endpoint, SimpleNamespace(place=(model, url), masked=masked))
        criterion = Criterion(name="c", kind="judge", definition=definition)
        judge = Judge(criterion, Prompt(prompt, "{{trace}}"), endpoint, language, project)
        return judge.key(trace, shown)

    changes: list[dict[str, Any]] = [
        {}, {"project": "q"}, {"trace": "u"}, {"shown": "other"}, {"definition": "e"}, {"prompt": "Judge again."},
        {"model": "n"}, {"url": "http://127.0.0.1"}, {"language": "Japanese"}, {"masked": False},
    ]  # fmt: skip
    keys = [key(**one) for one in changes]
    assert len(set(keys)) == len(keys)
    assert key() == key()
