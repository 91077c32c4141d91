"""One upload from rows to report, independent of Airflow operators."""
