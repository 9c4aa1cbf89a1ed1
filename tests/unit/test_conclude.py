"""From drafts to findings: chance over everything that was looked at, folding of echoes and twins, verdicts."""

from __future__ import annotations

import itertools

import pytest
from scipy import stats
from tests.support.drafts import FACTS, PLACE, built, concluded, draft_of, finding_of, measured

from hansei.contracts import Evidence, Finding, Segment
from hansei.tools.playbook.conclude import Conclusion, Draft, conclude
from hansei.tools.playbook.echoes import ECHO, cause_rank, is_twin, may_echo, several, share_left

WORSE, BEFORE = [(100, 10)] * 7, [(100, 2)] * 7
TOOL = {"tool_name": "lookup_order"}
CALL = {"observation_name": "answer"}


def error() -> Draft:
    return draft_of(WORSE, BEFORE, segment=TOOL)


def silent(*more: Evidence) -> Draft:
    return draft_of(WORSE, BEFORE, *more, metric="silent_failure_rate", segment=TOOL)


def cost(*more: Evidence, segment: Segment | None = None, metric: str = "cost_per_call") -> Draft:
    now, before = [(100, 150.0)] * 7, [(100, 100.0)] * 7
    return draft_of(now, before, *more, metric=metric, segment=CALL if segment is None else segment, spread=0.3)


def tokens(segment: Segment | None = None) -> Draft:
    now, before = [(100, 90_000.0)] * 7, [(100, 60_000.0)] * 7
    return draft_of(now, before, metric="tokens_per_call", segment=CALL if segment is None else segment, spread=90.0)


def score(name: str, place: Segment) -> Draft:
    return draft_of([(100, 60)] * 7, [(100, 80)] * 7, metric="score_rate", segment={"score_name": name, **place})


def told(conclusion: Conclusion) -> dict[str, list[tuple[str, Segment]]]:
    """kind → kinds and segments of its echoes, for what is confirmed."""
    return {found.kind: [(echo.kind, echo.segment) for echo in found.echoes] for found in conclusion.findings}


def reason(conclusion: Conclusion, kind: str) -> set[str]:
    """The checks that the refuted finding of that kind failed."""
    (found,) = [finding for finding in conclusion.refuted if finding.kind == kind]
    return {check.name for check in found.checks if check.passed is False}


# Verdicts


def test_what_the_critic_did_not_derive_again_is_not_confirmed_in_the_end() -> None:
    drafts = {error().id: error()}
    assert conclude(drafts, FACTS, {"error": 100}, PLACE, final=False).findings
    conclusion = conclude(drafts, FACTS, {"error": 100}, PLACE)
    assert not conclusion.findings
    assert conclusion.refuted[0].verdict == "not_measurable"
    assert reason(conclusion, "error") == {"rederived"}


def test_a_clear_change_is_confirmed_with_its_words() -> None:
    (found,) = concluded(error()).findings
    assert found.verdict == "confirmed"
    assert found.title == "10 % of calls of tool “lookup_order” fail, up from 2 %"
    assert found.recommendation


def test_q_values_are_over_all_slices_that_were_looked_at() -> None:
    drafts = [error(), cost(), tokens({"observation_name": "plan"})]
    conclusion = concluded(*drafts, slices=100)
    found = sorted([*conclusion.findings, *conclusion.refuted], key=lambda finding: finding.p_value or 0)
    p_values = [finding.p_value or 0.0 for finding in found]
    assert conclusion.p_values == p_values
    theirs = stats.false_discovery_control(p_values + [1.0] * 297)[:3]
    assert [finding.q_value for finding in found] == pytest.approx(list(theirs))


def test_what_is_clear_among_few_slices_is_chance_among_many() -> None:
    draft = draft_of([(100, 6)] * 7, [(100, 3)] * 7)
    (few,) = concluded(draft, slices=5).findings
    assert few.p_value is not None
    assert few.p_value > 1e-5
    many = concluded(draft, slices=100_000)
    assert many.findings == []
    assert reason(many, "error") == {"not_by_chance"}


def test_too_little_data_is_not_measurable_rather_than_refuted() -> None:
    (found,) = concluded(draft_of([(3, 3)], [(100, 0)] * 7)).refuted
    assert found.verdict == "not_measurable"


def test_a_draft_without_a_row_in_the_window_gives_no_finding() -> None:
    conclusion = concluded(draft_of([], BEFORE))
    assert (conclusion.findings, conclusion.refuted, conclusion.p_values) == ([], [], [])


def test_without_drafts_there_is_nothing() -> None:
    conclusion = concluded()
    assert (conclusion.findings, conclusion.refuted) == ([], [])


# Twins


def test_more_tokens_of_the_dearer_calls_are_told_with_the_cost() -> None:
    conclusion = concluded(cost(), tokens())
    assert told(conclusion) == {"cost": [("token_usage", CALL)]}
    assert reason(conclusion, "token_usage") == {"own_cause"}


def test_more_tokens_of_other_calls_are_told_apart() -> None:
    conclusion = concluded(cost(), tokens({"observation_name": "plan"}))
    assert told(conclusion) == {"cost": [], "token_usage": []}


def test_two_scores_of_one_place_are_one_finding() -> None:
    place = {"prompt_name": "answer", "prompt_version": "7"}
    conclusion = concluded(score("helpful", place), score("correct", place))
    assert len(conclusion.findings) == 1
    assert [echo.segment["prompt_version"] for echo in conclusion.findings[0].echoes] == ["7"]


def test_scores_of_the_whole_project_are_no_twins() -> None:
    assert len(concluded(score("helpful", {}), score("correct", {})).findings) == 2


def test_the_same_share_against_baseline_and_against_the_rest_is_told_once() -> None:
    hotspot = draft_of(WORSE, [(900, 18)] * 7, segment=TOOL, direction="hotspot", rest=True)
    conclusion = concluded(error(), hotspot)
    (found,) = conclusion.findings
    assert found.direction == "regression"
    assert len(found.echoes) == 1


def test_an_improvement_is_no_twin_of_a_regression() -> None:
    worse, better = finding_of(segment=TOOL), finding_of(direction="improvement", segment=TOOL)
    assert not is_twin(worse, better)
    assert not is_twin(better, worse)


# Echoes


def without(cause: Draft, now: list[tuple[int, float]], spread: float | None = None) -> Evidence:
    return measured(now, [(100, 100.0)] * 7, purpose=f"without:{cause.id}", spread=spread)


def test_what_is_gone_without_the_traces_of_another_is_its_echo() -> None:
    per_trace = cost(without(cost(), [(20, 21.0)] * 7, 0.3), segment={"trace_name": "support"}, metric="cost_per_trace")
    conclusion = concluded(cost(), per_trace)
    assert told(conclusion) == {"cost": [("cost", {"trace_name": "support"})]}
    assert reason(conclusion, "cost") == {"own_cause"}


def test_what_is_left_without_the_traces_of_another_has_a_cause_of_its_own() -> None:
    per_trace = cost(without(cost(), [(20, 29.0)] * 7, 0.3), segment={"trace_name": "support"}, metric="cost_per_trace")
    conclusion = concluded(cost(), per_trace)
    assert len(conclusion.findings) == 2
    checks = {check.name: check.passed for finding in conclusion.findings for check in finding.checks}
    assert checks["own_cause"] is True


def test_what_is_not_confirmed_explains_nothing() -> None:
    chance = draft_of([(100, 2)] * 7, BEFORE, segment=TOOL)
    draft = cost(without(chance, [(20, 20.0)] * 7, 0.3), segment={"trace_name": "support"}, metric="cost_per_trace")
    assert told(concluded(chance, draft)) == {"cost": []}


def test_echoes_of_an_echo_are_told_with_the_first_cause() -> None:
    """The tool's failures make the calls dearer, and the calls the whole traces."""
    gone = [(20, 20.0)] * 7
    calls = cost(without(error(), gone, 0.3))
    traces = cost(without(calls, gone, 0.3), without(error(), gone, 0.3), segment={}, metric="cost_per_trace")
    conclusion = concluded(error(), calls, traces)
    assert {kind: len(echoes) for kind, echoes in told(conclusion).items()} == {"error": 2}


def test_what_no_cause_explains_alone_is_told_by_those_that_explain_it_together() -> None:
    calls = cost()

    def per_trace(*more: Evidence) -> Draft:
        return cost(*more, segment={"trace_name": "support"}, metric="cost_per_trace")

    def left(cause: Draft, value: float) -> Evidence:
        return without(cause, [(100, value)] * 7, 0.3)

    halves = [left(error(), 126.0), left(silent(), 122.0)]
    assert told(concluded(error(), silent(), per_trace(*halves))).keys() == {"error", "silent_failure", "cost"}
    standing = [built(draft) for draft in (error(), silent(), calls)]
    assert [one.kind for one in several(built(per_trace(*halves)), standing, FACTS)] == ["silent_failure", "error"]
    assert several(built(per_trace(left(error(), 126.0), left(silent(), 146.0))), standing, FACTS) == ()
    for value, stands in ((102.0, False), (122.0, True)):  # the other half, or the same half again
        both = without(silent(), [(100, value)] * 7, 0.3)
        both = both.model_copy(update={"purpose": f"without:{silent().id}+{error().id}"})
        conclusion = concluded(error(), silent(), per_trace(*halves, both))
        assert ("cost" in told(conclusion)) is stands
    (found,) = concluded(error(), silent(), per_trace(*halves, both.model_copy(update={"rows": []}))).refuted
    detail = next(check.detail for check in found.checks if check.name == "own_cause")
    assert detail.count("calls of tool “lookup_order”") == 2
    # Together they explain no more than each of them does, and what is not confirmed explains nothing.
    chance = draft_of([(100, 2)] * 7, BEFORE, segment={"tool_name": "other"})
    one_of_them = both.model_copy(update={"purpose": f"without:{silent().id}+{chance.id}", "rows": []})
    assert "cost" in told(concluded(chance, silent(), per_trace(*halves, one_of_them)))


def test_the_order_of_drafts_changes_nothing() -> None:
    gone = [(20, 20.0)] * 7
    calls = cost(without(error(), gone, 0.3))
    drafts = [error(), calls, tokens(), score("helpful", CALL), score("correct", CALL), silent()]
    dumps = [
        ([f.model_dump() for f in conclusion.findings], [f.model_dump() for f in conclusion.refuted])
        for conclusion in (concluded(*order) for order in itertools.islice(itertools.permutations(drafts), 0, 720, 97))
    ]
    assert len(dumps) > 5
    assert all(dump == dumps[0] for dump in dumps)


def test_every_confirmed_or_folded_finding_is_told_exactly_once() -> None:
    drafts = [error(), cost(), tokens(), silent(), score("helpful", CALL), score("correct", CALL)]
    conclusion = concluded(*drafts)
    assert len(conclusion.findings) + len(conclusion.refuted) == len(drafts)
    echoes = [echo for finding in conclusion.findings for echo in finding.echoes]
    folded = [f for f in conclusion.refuted if any(c.name == "own_cause" and c.passed is False for c in f.checks)]
    assert len(echoes) == len(folded)


# What may explain what


def failing(segment: Segment, now: tuple[int, int], before: tuple[int, int] = (100, 2)) -> Draft:
    """Calls that fail: (calls, failures) of each day now and before."""
    return draft_of([now] * 7, [before] * 7, segment=segment)


REGION = {"metadata.region": "eu-west"}


@pytest.mark.parametrize(
    ("segment", "echo", "before"),
    [
        # Nearly all failures of the release are in the region, and nearly all of the region's came with the release.
        pytest.param({**TOOL, **REGION}, {**TOOL, "release": "3"}, 1, id="release"),
        pytest.param(REGION, {"prompt_name": "chat", "prompt_version": "3"}, 1, id="no step"),
        pytest.param({**TOOL, **REGION}, TOOL, 0, id="never before"),
    ],
)
def test_of_what_explains_each_other_stands_what_tells_best_where_it_is(
    segment: Segment, echo: Segment, before: int
) -> None:
    place, wide = failing(segment, (40, 9), (40, before)), failing(echo, (100, 9 + 2 * before), (100, 2 * before))
    assert cause_rank(built(place)) < cause_rank(built(wide))
    gone = measured([(60, 1)] * 7, [(100, 2)] * 7, purpose=f"without:{place.id}")
    conclusion = concluded(place, wide.model_copy(update={"evidence": [*wide.evidence, gone]}))
    assert [found.segment for found in conclusion.findings] == [segment]


def test_few_events_of_the_past_decide_nothing_between_a_part_and_the_whole() -> None:
    """All failures of the baseline were in the part by chance; now nearly all are."""
    whole, part = failing(TOOL, (30, 10), (55, 1)), failing({**TOOL, **REGION}, (19, 9), (29, 1))
    assert may_echo(built(whole), built(part))
    assert not may_echo(built(part), built(whole))


def test_a_part_of_what_fails_everywhere_explains_nothing() -> None:
    everywhere, part = failing(TOOL, (100, 20)), failing({**TOOL, **REGION}, (40, 9), (40, 1))
    assert cause_rank(built(everywhere)) < cause_rank(built(part))


def test_a_fault_of_the_same_days_is_not_taken_for_the_cause() -> None:
    """Of the days since then few traces are left without those of the other one, but as many of them fail."""
    now = [(200, 2), (200, 2), (120, 24), (130, 26), (30, 6), (30, 6), (30, 6)]
    left = [(200, 2), (200, 2), (20, 4), (20, 4), (5, 1), (5, 1), (5, 1)]
    other = failing({"observation_name": "reply"}, (200, 70))
    gone = measured(left, [(100, 1)] * 7, purpose=f"without:{other.id}")
    mine = draft_of(now, [(100, 1)] * 7, gone, segment=TOOL)
    assert {found.id for found in concluded(mine, other).findings} == {mine.id, other.id}


def test_what_ended_is_told_where_it_was() -> None:
    def ended(segment: Segment, before: tuple[int, int]) -> Finding:
        return built(draft_of([(before[0], 0)] * 7, [before] * 7, segment=segment, direction="improvement"))

    everywhere, part = ended(TOOL, (100, 10)), ended({**TOOL, **REGION}, (40, 10))
    assert cause_rank(part) < cause_rank(everywhere)
    some = ended({**TOOL, **REGION}, (40, 4))
    assert cause_rank(everywhere) < cause_rank(some)


def slow(segment: Segment, seconds: float) -> Finding:
    found = finding_of("error", segment=segment)
    current = found.current.model_copy(update={"value": seconds})
    return found.model_copy(update={"kind": "latency", "metric": "step_latency_p95", "current": current})


@pytest.mark.parametrize(
    ("slower_by", "calls", "is_it"), [(15, 1, True), (9, 1, False), (9, 2, True), (9, 0.5, False), (25, 1, True)]
)
def test_a_slow_step_explains_no_more_seconds_than_it_got_slower(slower_by: float, calls: float, is_it: bool) -> None:
    """Where both are in the same traces nothing is left without either, whether one is in the other or beside it."""
    agent, tool = slow({"observation_name": "agent"}, 30), slow(TOOL, 1 + slower_by)
    agent = agent.model_copy(update={"effect": 20.0})
    current = tool.current.model_copy(update={"n": round(agent.current.n * calls)})
    tool = tool.model_copy(update={"effect": float(slower_by), "current": current})
    nothing = measured([], [], purpose="without:it")
    assert may_echo(agent, tool)
    assert (share_left(agent, (tool,), nothing, FACTS) < ECHO) is is_it
    median = tool.model_copy(update={"metric": "step_latency_p50"})
    assert share_left(agent, (median,), nothing, FACTS) == 0.0


def test_a_step_is_the_shorter_one_only_among_the_same_traffic() -> None:
    """A step's slow hours are slower than all the day's calls of the step around it, and explain them."""
    agent, answer = {"observation_name": "agent"}, {"observation_name": "answer"}
    hours = {"hour_of_day": "13:00-18:00"}
    assert may_echo(slow(agent, 25), slow({**answer, **hours}, 32))
    assert not may_echo(slow({**answer, **hours}, 32), slow(agent, 25))
    assert may_echo(slow({**agent, **hours}, 33), slow({**answer, **hours}, 32))
    assert may_echo(slow({**agent, "trace_name": "support"}, 50), slow({"model": "large"}, 32))


def dearer(segment: Segment, times: float, *more: Evidence) -> Draft:
    now = [(100, 100.0 * times)] * 7
    return draft_of(now, [(100, 100.0)] * 7, *more, metric="cost_per_call", segment=segment, spread=0.3)


PROMPT = {"prompt_name": "answer", "prompt_version": "7"}


@pytest.mark.parametrize(("times", "stands"), [(1.6, False), (3.0, True)])
def test_a_part_of_what_got_dearer_is_told_apart_only_if_it_got_much_dearer(times: float, stands: bool) -> None:
    """Calls of a tag are told by the step's name, those of the new prompt by the prompt: the rows are the same."""
    whole = dearer(PROMPT, 1.5)
    part = dearer({**CALL, "tag": "legal"}, times)
    assert may_echo(built(part), built(whole)) != may_echo(built(whole), built(part))
    nothing = measured([], [], purpose=f"without:{whole.id}", spread=0.3)
    conclusion = concluded(whole, part.model_copy(update={"evidence": [*part.evidence, nothing]}))
    assert [found.segment for found in conclusion.refuted] == ([] if stands else [part.candidate.segment])


def test_slowness_is_told_with_the_cost_of_the_same_calls_only_as_far_as_that_rose() -> None:
    """An answer half as long again takes half as long again: what makes it three times as long is another thing."""
    dear = (built(dearer(PROMPT, 1.5)),)
    nothing = measured([], [], purpose="without:it")
    for seconds, stands in ((1.6, False), (3.0, True)):
        call = slow({**CALL, "tag": "legal"}, seconds)
        before = call.current.model_copy(update={"value": 1.0})
        call = call.model_copy(update={"baseline": before})
        assert may_echo(call, *dear)
        assert (share_left(call, dear, nothing, FACTS) >= ECHO) == stands


def test_dearer_calls_of_an_app_make_its_traces_dearer_whichever_costs_more() -> None:
    app = {"trace_name": "support"}
    calls, traces = built(cost(segment=app)), built(cost(segment=app, metric="cost_per_trace"))
    for spent in (1.0, 1000.0):
        impact = traces.impact.model_copy(update={"cost_per_week": spent})
        dear = traces.model_copy(update={"impact": impact})
        assert may_echo(dear, calls)
        assert not may_echo(calls, dear)


def test_what_takes_longer_costs_no_more() -> None:
    assert not may_echo(finding_of("cost", segment={**CALL, "tag": "legal"}), slow(CALL, 3.0))


def test_a_score_that_fell_for_a_language_and_its_locale_is_told_once() -> None:
    language, locale = score("rating", {"language": "ja"}), score("rating", {"metadata.locale": "ja-JP"})
    assert may_echo(built(language), built(locale)) != may_echo(built(locale), built(language))
    assert not may_echo(built(language), built(score("correct", {"metadata.locale": "ja-JP"})))
    first, second = sorted((language, locale), key=lambda draft: cause_rank(built(draft)))
    nothing = measured([], [], purpose=f"without:{first.id}")
    conclusion = concluded(first, second.model_copy(update={"evidence": [*second.evidence, nothing]}))
    assert [found.id for found in conclusion.findings] == [first.id]


def test_what_an_echo_explains_is_told_where_the_echo_is() -> None:
    """The agent does as the call in it does, and the call as its prompt."""
    gone = [(100, 2)] * 7
    prompt = dearer(PROMPT, 1.5)
    call = failing(PROMPT, (100, 20))
    call = call.model_copy(update={"evidence": [*call.evidence, measured(gone, gone, purpose=f"without:{prompt.id}")]})
    agent = failing({"observation_name": "agent"}, (100, 18))
    agent = agent.model_copy(update={"evidence": [*agent.evidence, measured(gone, gone, purpose=f"without:{call.id}")]})
    (found,) = concluded(prompt, call, agent).findings
    assert found.id == prompt.id
    assert len(found.echoes) == 2
