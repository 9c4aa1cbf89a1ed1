"""The research agent: plans, searches the web, fetches pages, summarises, and writes a report.

Planted here: version 4 of the prompt "summarise" lost its cached prefix; `web_search` repeats itself; runaway runs;
`fetch_page` calls that never end.
"""

from __future__ import annotations

from dataclasses import dataclass

from hansei.demo import phrases
from hansei.demo.calendar import FETCH_PAGE_HANGS, RUNAWAYS, SUMMARISE_V4, WEB_SEARCH_LOOPS
from hansei.demo.pricing import LARGE, MINI
from hansei.demo.run import Run, as_json


class Quota:
    """Lets through an exact share of the times it is asked, spread evenly: for what is rare and must happen."""

    def __init__(self, start: float = 0.5) -> None:
        self._due = start

    def take(self, share: float) -> bool:
        """True when the next one is due."""
        self._due += share
        if self._due < 1:
            return False
        self._due -= 1
        return True


@dataclass
class ResearchAgent:
    """One run answers one question of a colleague. `runaway_share` is the share of runs that run away once they do."""

    runaway_share: float = 0.008

    def __post_init__(self) -> None:
        self._loops = Quota()
        self._runaways = Quota()

    def __call__(self, run: Run) -> None:
        rng = run.rng
        topic = rng.choice(phrases.RESEARCH_TOPICS)
        question = f"What should we know about {topic}?"
        run.trace.input = question
        runs_away = run.now >= RUNAWAYS and self._runaways.take(self.runaway_share)
        loops = not runs_away and self._loops.take(0.042 if run.now >= WEB_SEARCH_LOOPS else 0.001)
        with run.span("AGENT", "research-agent", input=question) as agent:
            angles = rng.sample(phrases.RESEARCH_ANGLES, rng.choices((1, 2, 3, 4), (25, 40, 25, 10))[0])
            plan = as_json([f"{topic} {angle}" for angle in angles])
            tokens = (rng.randrange(600, 1_100), 0, rng.randrange(60, 160))
            run.generation("plan", LARGE, ("plan", 2), tokens=tokens, input=question, output=plan)
            for number, angle in enumerate(angles):
                with run.span("CHAIN", "research-step", input=f"{topic} {angle}"):
                    _search(run, topic, angle, repeats=rng.randrange(12, 26) if loops and number == 0 else 1)
            if runs_away:
                _run_away(run, topic)
            report = _paragraphs(run, topic, "summary", 3)
            tokens = (rng.randrange(1_800, 3_600), 0, rng.randrange(450, 900))
            run.generation("report", LARGE, ("report", 5), tokens=tokens, input=plan, output=report)
            agent.output = run.trace.output = report


def _search(run: Run, topic: str, angle: str, repeats: int) -> None:
    """Searches, reads what it found, and summarises it."""
    rng = run.rng
    query = {"query": f"{topic} {angle}", "max_results": 5}
    hits = [f"https://{site}/{rng.randrange(90_000)}" for site in phrases.RESEARCH_SITES[: rng.randrange(1, 4)]]
    for _ in range(repeats):
        failed = rng.random() < 0.008
        run.tool(
            "web_search",
            run.seconds(0.8),
            query,
            None if failed else {"results": hits},
            level="ERROR" if failed else "DEFAULT",
            status_message="SearchError: upstream returned 502" if failed else None,
        )
    for url in hits:
        _fetch_page(run, url, topic, angle)
    _summarise(run, topic, angle)


def _fetch_page(run: Run, url: str, topic: str, angle: str) -> None:
    rng = run.rng
    hangs = rng.random() < (0.095 if run.now >= FETCH_PAGE_HANGS else 0.003)
    forbidden = not hangs and rng.random() < 0.02
    page = None if hangs or forbidden else {"url": url, "text": _paragraphs(run, topic, angle, rng.randrange(1, 6))}
    row = run.tool(
        "fetch_page",
        run.seconds(1.1),
        {"url": url},
        page,
        level="ERROR" if forbidden else "DEFAULT",
        status_message="HTTPError: 403 Forbidden" if forbidden else None,
    )
    if hangs:
        row.end_time = None


def _summarise(run: Run, topic: str, angle: str) -> None:
    rng = run.rng
    lost_prefix = run.now >= SUMMARISE_V4
    if lost_prefix:
        fresh, cached = round(rng.gauss(8_000, 700)), 0
    else:
        fresh, cached = round(rng.gauss(3_600, 500)), 1_408
    tokens = (max(fresh, 800), cached, max(60, round(rng.gauss(350, 60))))
    source = _paragraphs(run, topic, angle, 2)
    version = 4 if lost_prefix else 3
    output = _paragraphs(run, topic, angle, 1)
    run.generation("summarise", MINI, ("summarise", version), tokens=tokens, input=source, output=output)


def _run_away(run: Run, topic: str) -> None:
    """The agent never finds that it is done: it thinks on and on, and its context grows."""
    rng = run.rng
    context = 9_000
    for number in range(rng.randrange(85, 140)):
        thought = (
            f"Step {number + 1}: not sure yet about {topic}; compare once more with source {rng.randrange(9_000)}."
        )
        tokens = (context, 0, rng.randrange(60, 180))
        run.generation("plan", LARGE, ("plan", 2), tokens=tokens, input=thought, output=f"Continue. {thought}")
        context += rng.randrange(200, 420)


def _paragraphs(run: Run, topic: str, angle: str, count: int) -> str:
    return "".join(
        phrases.PARAGRAPH.format(topic=topic, angle=angle, number=run.rng.randrange(2, 40)) for _ in range(count)
    )
