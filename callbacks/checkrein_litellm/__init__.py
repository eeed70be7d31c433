"""What LiteLLM calls."""
