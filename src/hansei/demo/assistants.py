"""Two healthy assistants: a cheap one and an expensive one. Their mix shifts in the window, nothing else about them."""

from __future__ import annotations

from hansei.demo import phrases
from hansei.demo.pricing import LARGE, MINI
from hansei.demo.run import Run


def quick_answer(run: Run) -> None:
    """A short question, a short answer, one call."""
    rng = run.rng
    question = f"In one sentence: what is new about {rng.choice(phrases.RESEARCH_TOPICS)}?"
    run.trace.input = question
    with run.span("SPAN", "quick-answer", input=question) as span:
        answer = f"Prices rose by {rng.randrange(2, 30)} percent, and two suppliers changed hands."
        tokens = (rng.randrange(90, 160), 0, rng.randrange(20, 60))
        run.generation("reply", MINI, ("reply", 1), tokens=tokens, input=question, output=answer)
        span.output = run.trace.output = answer


def deep_research_brief(run: Run) -> None:
    """A long brief, one section after the other, by the large model."""
    rng = run.rng
    topic = rng.choice(phrases.RESEARCH_TOPICS)
    run.trace.input = f"Write a brief on {topic}."
    with run.span("CHAIN", "deep-research-brief", input=run.trace.input) as chain:
        sections = rng.sample(phrases.RESEARCH_ANGLES, 6)
        for section in sections:
            text = phrases.PARAGRAPH.format(topic=topic, angle=section, number=rng.randrange(2, 40)) * 2
            tokens = (rng.randrange(2_400, 3_600), 0, rng.randrange(500, 800))
            run.generation("write_section", LARGE, ("section", 2), tokens=tokens, input=section, output=text)
        chain.output = run.trace.output = f"A brief on {topic} in {len(sections)} sections."
