"""Airflow notifiers for Adobe Target."""
