"""One SQLite file as a backend, in both colours."""
