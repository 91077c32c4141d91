"""Task groups for Adobe Target."""
