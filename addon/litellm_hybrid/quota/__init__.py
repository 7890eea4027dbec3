"""What a response means: an answer, or one of the failures that a request may fall back from. Pure."""
