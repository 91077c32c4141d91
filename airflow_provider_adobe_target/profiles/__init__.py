"""Rows to batch files: tables in, encoded files out. Knows no Airflow and no HTTP."""
