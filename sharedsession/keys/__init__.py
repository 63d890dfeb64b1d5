"""Secrets, and what is made from them."""
