"""The event streams of the four APIs, put together."""
