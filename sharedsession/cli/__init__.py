"""The command line: one file for each command. Nothing else in the package imports it."""
