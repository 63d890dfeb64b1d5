"""Keywords and environment become checked parts."""
