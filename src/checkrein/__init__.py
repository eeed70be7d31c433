"""Policy-as-code in front of every LLM call."""
