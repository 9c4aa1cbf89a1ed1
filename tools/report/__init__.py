"""From a report to files: Markdown, HTML, JSON, charts; and the verification of a report."""
