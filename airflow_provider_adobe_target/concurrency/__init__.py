"""Worker pool, reader thread, keyed workers, file lock, run lock, temporary folder and clock."""
