"""The command line: one file per command; all printing happens here."""

from hansei.cli.app import main

__all__ = ["main"]
