"""Extra links of operators in Airflow's web interface."""
