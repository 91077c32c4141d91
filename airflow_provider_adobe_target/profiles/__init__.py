"""Convert rows to encoded batch files. The package imports neither Airflow nor HTTP clients."""
