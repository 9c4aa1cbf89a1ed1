"""The support agent: finds help articles, looks up orders, refunds, and answers customers in their language.

Planted here: `lookup_order` times out since release 2.4.0; version 7 of the prompt "answer"; the faster `search_docs`;
and the rate limit that staging hits in every week.
"""

from __future__ import annotations

from hansei.demo import phrases
from hansei.demo.calendar import ANSWER_V7, LOOKUP_ORDER_TIMEOUTS, SEARCH_DOCS_FASTER
from hansei.demo.pricing import EMBEDDING, MINI, SONNET
from hansei.demo.run import Run, as_json

TIMEOUT = "TimeoutError: order-service did not answer within 8 s"
RATE_LIMIT = "RateLimitError: 429 Too Many Requests"
_INSTRUCTION = "You answer customers of Tanuki Outdoor. Use the articles and the order below, and nothing else."


def support_agent(run: Run) -> None:
    """One turn of a customer's conversation."""
    rng = run.rng
    words = {
        "order": f"TN-{rng.randrange(10_000, 99_999)}",
        "product": rng.choice(phrases.PRODUCTS),
        "day": rng.choice(phrases.DAYS_OF_WEEK),
    }
    question = rng.choice(phrases.SUPPORT_QUESTIONS[run.language]).format(**words)
    run.trace.input = as_json({"messages": [{"role": "user", "content": question}]})
    with run.span("AGENT", "support-agent", input=question) as agent:
        _route(run, question)
        if rng.random() < 0.88:
            _search_docs(run, question)
        if rng.random() < 0.5:
            _lookup_order(run, words["order"])
        if rng.random() < 0.09:
            amount = rng.randrange(900, 48_000)
            arguments = {"order_id": words["order"], "amount": amount, "currency": "JPY"}
            run.tool("refund", run.seconds(0.7), arguments, {"status": "accepted", "amount": amount})
        answer = _answer(run, question, words)
        if rng.random() < 0.6:
            verdict = as_json({"allowed": True, "policy": "no-personal-data"})
            run.step("GUARDRAIL", "check_policy", run.seconds(0.05), input=answer, output=verdict)
        agent.output = answer
    run.trace.output = None if answer is None else as_json({"role": "assistant", "content": answer})


def _route(run: Run, question: str) -> None:
    topic = run.rng.choice(("order_status", "returns", "warranty", "sizing", "payment"))
    error = RATE_LIMIT if run.rng.random() < 0.004 else None
    tokens = (run.rng.randrange(280, 420), 0, run.rng.randrange(8, 20))
    output = None if error else as_json({"topic": topic})
    run.generation("route", MINI, ("route", 3), tokens=tokens, input=question, output=output, error=error)


def _search_docs(run: Run, question: str) -> None:
    rng = run.rng
    tokens = (len(question) // 3 + 4, 0, 0)
    run.generation("embed_query", EMBEDDING, None, tokens=tokens, input=question, kind="EMBEDDING")
    faster = 0.6 if run.now >= SEARCH_DOCS_FASTER else 1.0
    count = rng.choices((2, 3, 4, 5, 24), (20, 40, 25, 12, 3))[0]
    articles = [
        {"id": f"kb-{rng.randrange(400)}", "score": round(rng.uniform(0.55, 0.93), 3), "text": text}
        for text in rng.choices(phrases.ARTICLES, k=count)
    ]
    query = as_json({"query": question, "top_k": count})
    failed = rng.random() < 0.003
    run.step(
        "RETRIEVER",
        "search_docs",
        run.seconds(0.55) * faster,
        input=query,
        output=None if failed else as_json(articles),
        level="ERROR" if failed else "DEFAULT",
        status_message="IndexUnavailable: shard 3 is recovering" if failed else None,
    )


def _lookup_order(run: Run, order: str) -> None:
    rng = run.rng
    times_out = rng.random() < (0.22 if run.now >= LOOKUP_ORDER_TIMEOUTS else 0.012)
    arguments = {"order_id": order}
    if times_out:
        seconds = 8 + rng.uniform(0.002, 0.05)
        run.tool("lookup_order", seconds, arguments, None, level="ERROR", status_message=TIMEOUT)
        return
    status = rng.choice(("packed", "shipped", "delivered", "returned"))
    result = {"order_id": order, "status": status, "carrier": "Yamato", "items": rng.randrange(1, 5)}
    run.tool("lookup_order", run.seconds(0.32), arguments, result)


def answer_version(run: Run) -> int:
    """Version of the prompt "answer" for this call: since version 7 came, half of the calls get it."""
    return 7 if run.now >= ANSWER_V7 and run.rng.random() < 0.5 else 6


def _answer(run: Run, question: str, words: dict[str, str]) -> str | None:
    rng = run.rng
    version = answer_version(run)
    model = SONNET if rng.random() < 0.25 else MINI
    tokens = (rng.randrange(700, 1_500), 1_024, max(40, round(rng.gauss(190, 45))))
    limited = rng.random() < (0.15 if run.trace.environment == "staging" else 0.006)
    texts = phrases.TERSE_ANSWERS if version == 7 else phrases.SUPPORT_ANSWERS[run.language]
    answer = None if limited else rng.choice(texts).format(**words)
    run.generation(
        "answer",
        model,
        ("answer", version),
        tokens=tokens,
        input=as_json([{"role": "system", "content": _INSTRUCTION}, {"role": "user", "content": question}]),
        output=answer,
        error=RATE_LIMIT if limited else None,
    )
    return answer
