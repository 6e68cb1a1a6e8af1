-- name: usage_sums
SELECT CASE :group_by
        WHEN 'model' THEN model WHEN 'provider' THEN provider WHEN 'operation' THEN operation WHEN 'key' THEN key_id
        ELSE CAST(created_at / 86400000 AS TEXT) END AS name,
    count(*) AS requests, sum(charge) AS charge
FROM requests
WHERE account_id = :account_id AND mode = :mode AND created_at >= :from_ms AND created_at < :to_ms
GROUP BY 1
LIMIT :limit

-- name: usage_units
SELECT CASE :group_by
        WHEN 'model' THEN model WHEN 'provider' THEN provider WHEN 'operation' THEN operation WHEN 'key' THEN key_id
        ELSE CAST(created_at / 86400000 AS TEXT) END AS name,
    line.value/*postgresql*/::json/*end*/ ->> 'unit' AS unit,
    sum(CAST(line.value/*postgresql*/::json/*end*/ ->> 'quantity' AS BIGINT)) AS quantity
FROM requests, json_each(requests.usage) AS line
WHERE account_id = :account_id AND mode = :mode AND created_at >= :from_ms AND created_at < :to_ms
GROUP BY 1, 2
ORDER BY 1, 2

-- name: ping
SELECT 1 AS ok
