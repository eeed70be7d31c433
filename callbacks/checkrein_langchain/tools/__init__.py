"""Guarded tools: one governed use of a tool, its approvals, and how LangChain calls it."""
