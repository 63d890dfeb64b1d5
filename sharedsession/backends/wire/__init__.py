"""Connections to network stores, of both colours, for any protocol whose replies come in order."""
