"""The same on an event loop, which stays free: ClickHouse is waited for in threads."""

import asyncio
import os

from hansei import Context, build_graph


async def main() -> None:
    graph = build_graph()
    result = await graph.ainvoke({"project_id": os.environ["HANSEI_PROJECT_ID"]}, context=Context())
    print(result["report"]["headline"])


asyncio.run(main())
