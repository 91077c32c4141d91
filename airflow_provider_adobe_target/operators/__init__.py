"""Adobe Target operators."""
