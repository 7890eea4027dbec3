"""Requests and responses of the four APIs as readable text. Pure."""
