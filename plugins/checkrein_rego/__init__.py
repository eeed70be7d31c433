"""Rego, embedded."""
