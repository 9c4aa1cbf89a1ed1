"""What a model says of a hand-made report."""

from __future__ import annotations

from hansei.contracts import Report, TextChange, Wording
from hansei.contracts.spent import Usage


def worded(text: str) -> Wording:
    """What a model says of a finding, with this text everywhere."""
    change = TextChange(
        target="tool", name=text, trace_id=text, observation_id=text, diff=f"@@ {text}\n-{text}\n+{text}"
    )
    return Wording(cause=text, recommendation=text, change=change)


def told_so(text: str, report: Report) -> Report:
    """The report with this text wherever a model may say something."""
    findings = [finding.model_copy(update={"worded": worded(text)}) for finding in report.findings]
    return report.model_copy(update={"summary": text, "findings": findings})


def told(report: Report) -> Report:
    """The report with what a model says of it and of its first finding."""
    diff = "--- prompt/answer\n+++ prompt/answer (proposed)\n@@ -1,2 +1,2 @@\n Answer briefly.\n-Guess.\n+Say so.```"
    change = TextChange(target="prompt", name="answer", trace_id="t1", observation_id="o1", diff=diff)
    told = Wording(cause="The pool may be too small.", recommendation="Make it larger.", change=change)
    findings = [report.findings[0].model_copy(update={"worded": told}), *report.findings[1:]]
    run = report.run.model_copy(update={"model": "some-model", "usage": {"writer": Usage(calls=2, input_tokens=9)}})
    return report.model_copy(update={"summary": "Look at the pool first.", "findings": findings, "run": run})
