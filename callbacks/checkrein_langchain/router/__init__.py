"""The router over several models, and its calls."""
