-- One partition of customer_profiles.sql, by the remainder of the id. Each customer is in exactly one partition.
-- SQLite has no hash function, and the ids are numbers. For other ids, with the parameter style of the driver:
--   PostgreSQL  MOD(ABS(hashtext(customer_id)::bigint), partitions) = partition
--   Snowflake   MOD(ABS(HASH(customer_id)), partitions) = partition
SELECT *
FROM (
{% include "sql/customer_profiles.sql" %}
) AS customers
WHERE CAST(customer_id AS INTEGER) % :partitions = :partition
