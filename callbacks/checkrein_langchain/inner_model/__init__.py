"""The model that is called in the end: what it tells of itself, its own formats, and changes that hold."""
