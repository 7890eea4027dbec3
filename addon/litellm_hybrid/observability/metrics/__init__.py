"""Prometheus metrics, of one process or of several workers."""
