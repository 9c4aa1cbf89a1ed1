"""Langfuse: its two table schemas as three logical relations, and the tracing of Hansei's own runs."""
