"""One upload from rows to report. It does not depend on Airflow operators."""
