"""Adobe Target triggers."""
