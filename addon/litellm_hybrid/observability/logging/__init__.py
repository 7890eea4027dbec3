"""Log lines: their fields, their formats, where they go."""
