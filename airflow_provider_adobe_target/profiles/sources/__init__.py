"""Row sources: DataFrames, dicts, files, cursors and partitioned folders, read as Arrow record batches."""
