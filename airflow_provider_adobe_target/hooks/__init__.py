"""Adobe Target hooks."""
