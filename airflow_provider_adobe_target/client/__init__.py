"""Client of Adobe Target's HTTP APIs. It does not depend on Airflow or on tables."""
