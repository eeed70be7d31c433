"""Agents: LangChain's by a middleware, LangGraph's by a gate before their tools, both told of decisions."""
