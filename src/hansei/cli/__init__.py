"""The command line: one file per command; all printing happens here."""
