"""One colour's open, load and commit."""
