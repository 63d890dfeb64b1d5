"""One memcached, or a ring of them: our own driver for the meta protocol."""
