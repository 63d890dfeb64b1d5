"""Connections to network stores, in both colours, under any protocol whose replies come in order."""
