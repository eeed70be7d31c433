"""What a request and an answer of LiteLLM's say: found, read as segments, and written back in place."""
