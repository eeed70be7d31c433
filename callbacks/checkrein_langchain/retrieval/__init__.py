"""The guarded retriever."""
