"""Many requests, a few at a time; one that fails does not hurt the others.

On a server three or four at a time are well; the embedded engine gives each query all cores, so one at a time is right.
From the command line: `hansei analyze --projects FILE`.
"""

import asyncio
import os

from hansei import Context, build_graph

ids = [os.environ["HANSEI_PROJECT_ID"], "no-such-project"]


async def main() -> None:
    context = Context()
    requests = [{"project_id": project} for project in ids]
    outcomes = await build_graph().abatch(requests, {"max_concurrency": 4}, context=context, return_exceptions=True)
    for project, outcome in zip(ids, outcomes, strict=True):
        if isinstance(outcome, BaseException):
            print(f"{project}: could not be done: {outcome}")
        else:
            print(f"{project}: {outcome['report']['headline']}")


asyncio.run(main())
