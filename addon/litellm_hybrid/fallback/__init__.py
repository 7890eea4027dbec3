"""Fallback: which responses are held, what replaces a failed one, what is remembered between requests."""
