"""Django's sessions over the library: the engine alone, and with the middleware."""
