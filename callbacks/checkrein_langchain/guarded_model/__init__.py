"""The guarded model: a chat model around a chat model, and how it is made."""
