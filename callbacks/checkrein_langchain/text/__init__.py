"""All text of calls, answers and tool outputs, piece by piece, with the way back."""
