"""The page in Airflow's web interface: runs, attributes and tokens from the sync log."""
