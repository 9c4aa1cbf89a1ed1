"""Progress while it runs: the `custom` stream carries events, valid for `hansei.contracts.Progress`."""

import os

from hansei import Context, build_graph

request = {"project_id": os.environ["HANSEI_PROJECT_ID"]}
headline = ""
for part in build_graph().stream(request, context=Context(), stream_mode=["custom", "values"], version="v2"):
    if part["type"] == "custom":
        event = part["data"]
        print(f"{event['step']:<8} {event['status']:<8} {event['message']}")
    elif "report" in part["data"]:
        headline = part["data"]["report"]["headline"]
print(headline)
