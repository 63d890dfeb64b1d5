"""The ring: several nodes as one backend, with copies of each record."""
