"""A simulated company in Langfuse's own tables, with planted problems, traps, and the truth beside the data."""
