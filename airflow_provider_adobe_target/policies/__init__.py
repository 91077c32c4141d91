"""When Airflow is to try a task again."""
