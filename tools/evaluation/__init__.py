"""Traces judged by criteria, by code and by models: which traces, at what cost, and what it comes to."""
