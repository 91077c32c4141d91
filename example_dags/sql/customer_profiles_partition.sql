-- One share of customer_profiles.sql, by the remainder of the id: a customer is always in the same one, and in no other.
-- SQLite has no hash, and CDNOW's ids are numbers. For ids of any kind, with the parameters as the driver writes them:
--   PostgreSQL  MOD(ABS(hashtext(customer_id)::bigint), partitions) = partition
--   Snowflake   MOD(ABS(HASH(customer_id)), partitions) = partition
SELECT *
FROM (
{% include "sql/customer_profiles.sql" %}
) AS customers
WHERE CAST(customer_id AS INTEGER) % :partitions = :partition
