"""The guard of a LiteLLM proxy: its hooks, the gate in front of them, and the check before it starts."""
