-- One row a customer: recency, frequency, monetary value and tier, from the purchases of all days before the as-of day.
-- The as-of day is the end of the run's data interval. A run without one (on Airflow 3, by hand or by an asset) takes
-- the day it was due.
{% set as_of = data_interval_end | default(dag_run.run_after, true) | ds %}
SELECT
    customer_id,
    CAST(julianday('{{ as_of }}') - julianday(MAX(purchased_on)) AS INTEGER) AS recency_days,
    COUNT(*) AS frequency,
    ROUND(SUM(dollars), 2) AS monetary_value,
    CASE
        WHEN SUM(dollars) >= 250 THEN 'gold'
        WHEN SUM(dollars) >= 100 THEN 'silver'
        ELSE 'bronze'
    END AS tier,
    MAX(purchased_on) AS last_purchase_on
FROM purchases
WHERE purchased_on < '{{ as_of }}'
GROUP BY customer_id
ORDER BY customer_id
