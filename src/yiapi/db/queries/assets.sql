-- Files that were kept. A row is written in the transaction that ends the task or settles the call.

-- name: insert
-- Files of one call are a millisecond apart, so that they list in the order in which the vendor named them.
INSERT INTO assets (id, account_id, mode, request_id, task_id, type, content_type, size_bytes, sha256, width, height,
    duration_s, original_url, created_at, expires_at)
VALUES (:id, :account_id, :mode, :request_id, :task_id, :type, :content_type, :size_bytes, :sha256, :width, :height,
    :duration_s, :original_url, now_ms() + :position, now_ms() + :life_ms)
RETURNING *, 0 AS is_gone

-- name: get
SELECT *, CASE WHEN deleted_at IS NOT NULL OR expires_at <= now_ms() THEN 1 ELSE 0 END AS is_gone
FROM assets WHERE account_id = :account_id AND mode = :mode AND id = :id

-- name: of_task
SELECT *, CASE WHEN deleted_at IS NOT NULL OR expires_at <= now_ms() THEN 1 ELSE 0 END AS is_gone
FROM assets WHERE task_id = :task_id ORDER BY created_at, id

-- name: mark_deleted
UPDATE assets SET deleted_at = now_ms() WHERE id = :id AND deleted_at IS NULL

-- name: expired
SELECT *, 1 AS is_gone FROM assets WHERE deleted_at IS NULL AND expires_at <= now_ms()
ORDER BY expires_at LIMIT :count_max

-- name: is_kept
SELECT 1 AS kept FROM assets WHERE account_id = :account_id AND id = :id AND deleted_at IS NULL

-- name: stored_bytes
SELECT CAST(COALESCE(SUM(size_bytes), 0) AS BIGINT) AS stored_bytes FROM assets
WHERE account_id = :account_id AND mode = :mode AND deleted_at IS NULL AND expires_at > now_ms()
