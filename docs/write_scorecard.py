"""Writes the scorecard's figures into README.md, between the two marks: `make scorecard`.

    python docs/write_scorecard.py [FILE] [--any-version]

FILE holds the results as `benchmarks/quality/run.py` keeps them; only those of this version of the code count.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from benchmarks.quality.readme import table  # noqa: E402
from benchmarks.quality.run import read_results, version  # noqa: E402

PATH = ROOT / "README.md"
BLOCK = re.compile(r"(?<=<!-- scorecard -->\n).*?(?=<!-- /scorecard -->)", re.DOTALL)

if __name__ == "__main__":
    given = [argument for argument in sys.argv[1:] if argument != "--any-version"]
    file = Path(given[0] if given else "quality-results.jsonl")
    found = read_results(file, "" if "--any-version" in sys.argv else None)
    if not found:
        sys.exit(f"{file} has no results of this version of the code: run benchmarks/quality/run.py first.")
    PATH.write_text(BLOCK.sub(lambda _: table(found, version()), PATH.read_text(encoding="utf-8")), encoding="utf-8")
