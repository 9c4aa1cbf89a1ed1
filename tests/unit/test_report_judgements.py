"""What traces were judged by, in the report: every kind of judge, none without how far it can be believed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import pytest
from tests.support.sample_report import sample_report

from hansei.contracts import Estimate, Window
from hansei.contracts.calibration import Calibration, DriftOfJudge, Numeric
from hansei.contracts.evaluation import Compared, Criterion, CriterionResult, EvaluationResult, Pairwise
from hansei.tools.evaluation.judgements import with_judgements
from hansei.tools.report.html import render_html
from hansei.tools.report.markdown import render_markdown

END = datetime(2026, 11, 2, tzinfo=UTC)


def _share(value: float, n: int = 40) -> Estimate:
    return Estimate(value=value, n=n, low=max(0.0, value - 0.1), high=min(1.0, value + 0.1))


def _result(name: str, calibration: Any, *, kind: str = "judge", **more: Any) -> CriterionResult:
    criterion = {key: more.pop(key) for key in ("type", "categories", "lowest", "highest", "compared") if key in more}
    told = Criterion.model_validate({"name": name, "kind": kind, "definition": f"Of {name}.", **criterion})
    return CriterionResult.model_validate(
        {"criterion": told, "n": 40, "unscored": 1, "calibration": calibration, **more}
    )  # fmt: skip


RESULTS = [
    _result("made_up", Calibration(labels=90, tested=50, tpr=_share(0.8), tnr=_share(0.7)), rate=_share(0.25)),
    _result("rude", "uncalibrated", rate=_share(0.15)),
    _result(
        "fickle", Calibration(labels=90, tested=50, tpr=_share(0.8), tnr=_share(0.7), drift=[
            DriftOfJudge(by=by, groups=[], p=p) for by, p in (("week", 0.001), ("version", 0.2))]),  # type: ignore[arg-type]
        rate=_share(0.35),
    ),
    _result(
        "tone", Calibration(labels=70, tested=40, agreement=_share(0.65), confusion={"kind": {"kind": 40}}),
        type="categorical", categories=["kind", "<b>curt|"], shares={"kind": _share(0.55), "<b>curt|": _share(0.45)},
    ),
    _result("mood", "uncalibrated", type="categorical", categories=["a", "b"], shares={"a": _share(0.5)}),
    _result(
        "depth", Calibration(labels=60, tested=40, numeric=Numeric(
            spearman=_share(0.85), within=_share(0.75), tolerance=1.0, bias=_share(0.35))),
        type="numeric", lowest=0, highest=10, mean=Estimate(value=6.5, n=40, low=6.0, high=7.0),
    ),
    _result(
        "clearer", Calibration(labels=30, tested=20, agreement=_share(0.95), confusion={"tie": {"tie": 20}}),
        kind="pairwise", compared=Compared(dimension="release", first="1.0", second="2.0"),
        pairwise=Pairwise(pairs=40, first=3, second=30, tie=5, order_dependent=_share(0.05)),
    ),
    _result("shorter", Calibration(labels=2, note="2 test labels: at least 10 are needed"), kind="pairwise",
            compared=Compared(dimension="release", first="1.0", second="2.0"),
            pairwise=Pairwise(pairs=40, first=20, second=20, tie=0, order_dependent=_share(0.0))),
]  # fmt: skip
"""Each kind of judge, one that was held against people and one that was not."""


@pytest.mark.parametrize(
    ("language", "none", "drifts"),
    [("en", "uncalibrated", "agreementdiffersbyweek"), ("ja", "未校正", "週によって一致率が異なる")],
)
def test_every_kind_of_judge_is_told_with_its_calibration(
    language: Literal["en", "ja"], none: str, drifts: str
) -> None:
    evaluation = EvaluationResult(
        hansei_version="0", run_id="r", started_at=END, project_id="p", model="m", plan="uniform", population=40,
        traces=40, window=Window(start=END - timedelta(days=7), end=END), results=RESULTS,
    )  # fmt: skip
    told = with_judgements(sample_report(language), evaluation)
    assert [one.calibration for one in told.judgements].count("uncalibrated") == 3
    page = render_markdown(told)
    lines = ["".join(line.split()) for line in page.splitlines()]
    rows = {one.criterion.name: next(line for line in lines if f"Of{one.criterion.name}." in line) for one in RESULTS}
    expected = {
        "made_up": ("25%", "80%", "70%"), "tone": ("55%", "45%", "65%"), "depth": ("6.5", "0.85", "75%"),
        "clearer": ("30", "95%"), "rude": ("15%", none), "mood": ("50%", none), "shorter": ("20", none),
        "fickle": ("35%", drifts),
    }  # fmt: skip
    for name, parts in expected.items():
        assert all(part in rows[name] for part in parts), rows[name]
        assert (none in rows[name]) == (none in parts), rows[name]
    html = render_html(told)
    assert "<b>curt" not in html
    assert html.count(none) >= 3
