"""LiteLLM's functions in an application: each call judged, sent, and its answer judged."""
