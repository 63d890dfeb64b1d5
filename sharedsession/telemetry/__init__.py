"""What happens to sessions, told to systems that watch: one file each, imported by whoever asks for it."""
