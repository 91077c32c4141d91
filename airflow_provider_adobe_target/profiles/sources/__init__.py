"""Read rows from DataFrames, dicts, files, cursors and partitions as Arrow record batches."""
