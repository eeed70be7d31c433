"""Policy packs: the same rules in every language, with scenarios."""
