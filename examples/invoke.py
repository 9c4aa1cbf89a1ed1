"""One call, one report."""

import os

from hansei import Context, Report, build_graph

context = Context()  # HANSEI_CLICKHOUSE_URL; or Context(clickhouse_url="clickhouse://user:password@host:8123/default")
result = build_graph().invoke({"project_id": os.environ["HANSEI_PROJECT_ID"], "window": "7d"}, context=context)

report = Report.model_validate(result["report"])
print(report.headline)
for finding in report.findings:
    print(f"- {finding.severity}: {finding.title}")
