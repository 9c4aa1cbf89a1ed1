"""The detectors: one file per kind of finding, each with its SQL and how to read it."""
