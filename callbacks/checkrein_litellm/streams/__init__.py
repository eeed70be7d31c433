"""Streamed answers, endpoint by endpoint: what of them is text, what may leave, and what is held."""
