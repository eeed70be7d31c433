"""Streamed answers: what of them may leave, what is held, and the flow that gives them out."""
