"""What is said to Adobe Target and what it answers. Knows no Airflow."""
