"""The callback handler, the tripwire that puts it into every call, and what it finds out about a call."""
