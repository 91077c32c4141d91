"""Airflow assets for Adobe Target."""
