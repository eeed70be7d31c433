"""What LangChain calls."""
