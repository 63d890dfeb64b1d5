"""Whether the web nodes agree."""
