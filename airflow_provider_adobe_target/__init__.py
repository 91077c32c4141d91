"""Apache Airflow provider for Adobe Target."""

__version__ = "0.1.0"
