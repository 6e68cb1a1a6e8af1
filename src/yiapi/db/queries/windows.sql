-- A window is a task that the vendor has and that waits for words. `window_until` is set until it was surely used: queued
-- is open, submitting is being filled, unknown was perhaps filled.

-- name: life
SELECT now_ms() AS now, (SELECT min(expires_at) FROM assets WHERE task_id = :parent_id AND deleted_at IS NULL) AS parent_until

-- name: open
UPDATE tasks SET status = 'queued', vendor_task_id = :vendor_task_id, channel_id = :channel_id,
    credential_id = :credential_id, asked = :asked, held = 0, opened_by = request_id, started_at = now_ms(),
    window_until = :until, deadline_at = :until, next_look_at = :until, version = version + 1, node_id = NULL
WHERE id = :id AND status = 'submitting'

-- name: is_open
SELECT 1 AS found FROM tasks
WHERE id = :id AND account_id = :account_id AND mode = :mode AND status = 'queued' AND window_until > now_ms()

-- name: fill
UPDATE tasks SET status = 'submitting', node_id = :owner, hold_id = :hold_id, held = :held, usage = :usage,
    model = :model, price_version = :price_version, multiplier = :multiplier, request_id = :request_id, key_id = :key_id,
    hook_url = coalesce(:hook_url, hook_url), asked = :asked, deadline_at = now_ms() + :deadline_ms, next_look_at = NULL,
    version = version + 1
WHERE id = :id AND account_id = :account_id AND mode = :mode AND status = 'queued' AND window_until > now_ms()
RETURNING *

-- name: reopen
UPDATE tasks SET status = 'queued', held = 0, request_id = opened_by, deadline_at = window_until,
    next_look_at = window_until, started_at = created_at, version = version + 1, node_id = NULL,
    asked = coalesce(CAST(:asked AS TEXT), asked)
WHERE id = :id AND status IN ('submitting', 'unknown') AND window_until IS NOT NULL AND (CAST(:fence AS BIGINT) = 0
    OR EXISTS (SELECT 1 FROM task_buckets b WHERE b.number = tasks.bucket AND b.fence = CAST(:fence AS BIGINT)))

-- name: fail_request
UPDATE requests SET status = 'failed', error_code = :error_code, error_message = :error_message
WHERE id = :id AND status = 'accepted'
