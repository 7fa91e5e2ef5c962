"""A promise to a verdict."""
