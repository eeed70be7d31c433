"""Finds personal data, secrets and injection phrases in text."""
