"""The ring: who holds a key, and whom to ask now."""
