"""Adobe Target sensors."""
