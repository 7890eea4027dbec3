"""What is known of the four LLM APIs beyond routing: histories and readable transcripts. Pure."""
