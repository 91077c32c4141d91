-- One row per customer: recency, frequency, monetary value and tier, from the purchases before the end of the run's data
-- interval. In Airflow 3, manual and asset-triggered runs have no data interval. They use the time of the run.
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
