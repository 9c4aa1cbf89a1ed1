"""Findings across runs: what is kept (entries, sqlite, clickhouse), what follows from it (identity, fold), what a run
measures again (judge), and what a fix has done (effect, asking)."""
