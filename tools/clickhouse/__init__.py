"""The one way to ClickHouse: connection URLs, engines (embedded or server) and the read-only session."""
