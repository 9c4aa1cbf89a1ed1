"""What the nodes work with, one job to a folder or file: ClickHouse, Langfuse, statistics, the playbook of
detectors, reports."""
