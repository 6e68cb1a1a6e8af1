"""Benchmarks of a running station; see README.md."""
