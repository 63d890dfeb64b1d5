"""Fuzzing: everything that takes bytes or text from outside, with its law. `python -m tests.fuzz` runs it for long."""
