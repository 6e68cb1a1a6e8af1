"""The command line: every command works beside a running station, and every one has ``--json``."""
