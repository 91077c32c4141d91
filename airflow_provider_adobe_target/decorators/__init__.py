"""TaskFlow decorators for Adobe Target."""
