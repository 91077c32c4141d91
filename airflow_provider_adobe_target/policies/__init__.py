"""Retry policies for Airflow tasks."""
