"""A conversation's history without the parts that only their maker can read. Pure."""
