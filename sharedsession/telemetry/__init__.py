"""What happens to sessions, for monitoring systems: one file each, imported only where it is used."""
