-- Tasks. A write of a worker names the fence of the task's bucket; a write with fence 0 is of somebody who needs none.

-- name: insert
INSERT INTO tasks (id, account_id, mode, key_id, request_id, operation, provider, model, status, progress, version, bucket,
    node_id, hold_id, held, captured, usage, price_version, multiplier, external_id, hook_url, metadata, parent_id,
    names, asked, created_at, deadline_at)
VALUES (:id, :account_id, :mode, :key_id, :request_id, :operation, :provider, :model, 'submitting', 0, 1, :bucket,
    :node_id, :hold_id, :held, 0, :usage, :price_version, :multiplier, :external_id, :hook_url, '{}', :parent_id,
    :names, :asked, :now, :now + CAST(:deadline_ms AS BIGINT))
ON CONFLICT DO NOTHING

-- name: now
SELECT now_ms() AS now

-- name: open_counts
SELECT account_id, mode, count FROM open_tasks
WHERE account_id IN (SELECT value FROM json_each(CAST(:accounts AS TEXT)))

-- name: open_more
INSERT INTO open_tasks (account_id, mode, count)
SELECT :account_id, :mode, CAST(:more AS BIGINT) WHERE CAST(:more AS BIGINT) <= CAST(:most AS BIGINT)
ON CONFLICT (account_id, mode) DO UPDATE SET count = open_tasks.count + excluded.count
WHERE open_tasks.count + excluded.count <= CAST(:most AS BIGINT)

-- name: open_fewer
UPDATE open_tasks SET count = count - :fewer WHERE account_id = :account_id AND mode = :mode

-- name: sending
UPDATE tasks SET channel_id = :channel_id, credential_id = :credential_id
WHERE id = :id AND status = 'submitting' AND node_id = :owner

-- name: to_send
SELECT id FROM tasks
WHERE id IN (SELECT value FROM json_each(CAST(:ids AS TEXT))) AND status = 'submitting' AND node_id = :owner

-- name: accepted
UPDATE tasks SET status = :status, vendor_task_id = :vendor_task_id, channel_id = :channel_id,
    credential_id = :credential_id, answer = :answer, started_at = now_ms(), version = version + 1, node_id = NULL,
    window_until = NULL, next_look_at = now_ms() + :look_ms
WHERE id = :id AND status IN ('submitting', 'unknown')

-- name: not_accepted
SELECT id FROM tasks
WHERE id IN (SELECT value FROM json_each(CAST(:ids AS TEXT))) AND (vendor_task_id IS NULL OR finished_at IS NOT NULL)

-- name: accepted_late
-- It ended here before the vendor's answer came: what the vendor makes of it is still ours to know.
UPDATE tasks SET vendor_task_id = :vendor_task_id, channel_id = :channel_id, credential_id = :credential_id,
    bucket = :bucket, next_look_at = now_ms()
WHERE id = :id AND finished_at IS NOT NULL AND vendor_task_id IS NULL

-- name: unclear
UPDATE tasks SET status = 'unknown', channel_id = coalesce(:channel_id, channel_id),
    credential_id = coalesce(:credential_id, credential_id), started_at = now_ms(), version = version + 1, node_id = NULL,
    next_look_at = now_ms() + :look_ms
WHERE id = :id AND status = 'submitting'

-- name: remove
DELETE FROM tasks WHERE id = :id AND status = 'submitting'

-- name: is_any_orphan
SELECT 1 AS found FROM tasks
WHERE node_id IS NOT NULL AND node_id NOT IN (SELECT id FROM nodes WHERE lease_until > 0)
LIMIT 1

-- name: orphans
SELECT * FROM tasks
WHERE node_id IS NOT NULL AND node_id NOT IN (SELECT id FROM nodes WHERE lease_until > 0)
LIMIT :limit

-- name: finish_orphan_claim
UPDATE idempotency SET state = 'finished', status = 200, headers = :headers, body = :body, task_id = :task_id,
    completed_at = now_ms()
WHERE request_id = :request_id AND account_id = :account_id AND state = 'running'

-- Reading

-- name: get
SELECT * FROM tasks WHERE account_id = :account_id AND mode = :mode AND id = :id

-- name: by_external_id
SELECT * FROM tasks
WHERE account_id = :account_id AND mode = :mode AND provider = :provider AND external_id = :external_id

-- name: by_id
SELECT * FROM tasks WHERE id = :id

-- name: by_ids
SELECT * FROM tasks WHERE id IN (SELECT value FROM json_each(CAST(:ids AS TEXT)))

-- name: page
SELECT * FROM tasks
WHERE account_id = :account_id AND mode = :mode AND operation = :operation
ORDER BY created_at DESC, id DESC
LIMIT :limit OFFSET :offset

-- name: list
SELECT * FROM tasks
WHERE account_id = :account_id AND mode = :mode
  AND (created_at < :before OR (created_at = :before AND id < :before_id))
  AND (:status = '' OR status = :status)
  AND (:provider = '' OR provider = :provider)
  AND (:operation = '' OR operation = :operation)
ORDER BY created_at DESC, id DESC
LIMIT :limit

-- name: open
-- For the operator: of every tenant. Only what has not ended is in a bucket and without an end.
SELECT * FROM tasks
WHERE bucket IS NOT NULL AND finished_at IS NULL
  AND (:status = '' OR status = :status)
  AND (:provider = '' OR provider = :provider)
  AND (:operation = '' OR operation = :operation)
ORDER BY created_at DESC, id DESC
LIMIT :limit

-- name: open_by_status
SELECT status, count(*) AS count FROM tasks WHERE bucket IS NOT NULL AND finished_at IS NULL GROUP BY status

-- name: ended_of
SELECT id FROM tasks WHERE id IN (SELECT value FROM json_each(CAST(:ids AS TEXT))) AND finished_at IS NOT NULL

-- name: watch
UPDATE tasks SET watched_until = now_ms() + :watch_ms,
    next_look_at = CASE WHEN node_id IS NOT NULL THEN next_look_at   -- it is being submitted: there is nothing to ask yet
        WHEN next_look_at IS NULL OR next_look_at > now_ms() + :soon_ms THEN now_ms() + :soon_ms
        ELSE next_look_at END
WHERE id = :id AND finished_at IS NULL

-- name: ring
SELECT /*postgresql*/ pg_notify('yiapi_tasks', ''), /*end*/ 1 AS rung

-- The owners of buckets

-- name: join_workers
INSERT INTO task_workers (node_id) VALUES (:node_id) ON CONFLICT DO NOTHING

-- name: leave_workers
DELETE FROM task_workers WHERE node_id = :node_id

-- name: forget_workers
DELETE FROM task_workers WHERE node_id NOT IN (SELECT id FROM nodes WHERE lease_until >= now_ms())

-- name: workers
SELECT w.node_id FROM task_workers w JOIN nodes n ON n.id = w.node_id WHERE n.lease_until >= now_ms() ORDER BY w.node_id

-- name: free_buckets
SELECT count(*) AS count FROM task_buckets
WHERE owner IS NULL OR lease_until < now_ms() OR owner NOT IN (SELECT id FROM nodes WHERE lease_until >= now_ms())

-- name: take_buckets
UPDATE task_buckets SET owner = :owner, lease_until = now_ms() + :lease_ms, fence = fence + 1
WHERE number IN (
    SELECT number FROM task_buckets
    WHERE owner IS NULL OR lease_until < now_ms() OR owner NOT IN (SELECT id FROM nodes WHERE lease_until >= now_ms())
    ORDER BY number LIMIT :limit
    /*postgresql*/ FOR UPDATE SKIP LOCKED /*end*/
)
RETURNING number, fence

-- name: renew_buckets
UPDATE task_buckets SET lease_until = now_ms() + :lease_ms WHERE owner = :owner AND lease_until >= now_ms()
RETURNING number, fence

-- name: hand_back
UPDATE task_buckets SET owner = NULL, lease_until = 0
WHERE owner = :owner AND number IN (SELECT CAST(value AS INTEGER) FROM json_each(CAST(:numbers AS TEXT)))

-- What an owner reads

-- name: is_any_due
SELECT 1 AS due FROM tasks t JOIN task_buckets b ON b.number = t.bucket
WHERE t.next_look_at <= now_ms() AND b.owner = :owner LIMIT 1

-- name: take_up
-- The buckets are locked, so that a new owner reads these rows only after they are written.
UPDATE tasks SET next_look_at = NULL
WHERE id IN (
    SELECT t.id FROM tasks t JOIN task_buckets b ON b.number = t.bucket
    WHERE t.next_look_at <= now_ms() AND b.owner = :owner AND b.lease_until >= now_ms()
    ORDER BY t.next_look_at LIMIT :limit
    /*postgresql*/ FOR UPDATE OF t SKIP LOCKED FOR SHARE OF b /*end*/
)
RETURNING id, bucket, operation, request_id, status, progress, channel_id, credential_id, vendor_task_id, watched_until,
    window_until, succeeded_at, created_at, started_at, finished_at, deadline_at, now_ms() AS now,
    CASE WHEN hook_url IS NOT NULL AND hook_is_gone = 0 THEN account_id END AS told

-- name: waiting
SELECT id, bucket, operation, request_id, status, progress, channel_id, credential_id, vendor_task_id, watched_until,
    window_until, succeeded_at, created_at, started_at, finished_at, deadline_at, now_ms() AS now,
    CASE WHEN hook_url IS NOT NULL AND hook_is_gone = 0 THEN account_id END AS told
FROM tasks WHERE bucket = :bucket AND id > :after AND next_look_at IS NULL AND node_id IS NULL
ORDER BY id LIMIT :limit

-- name: waiting_ids
SELECT id FROM tasks WHERE bucket = :bucket AND next_look_at IS NULL AND node_id IS NULL

-- name: waiting_one
SELECT id, bucket, operation, request_id, status, progress, channel_id, credential_id, vendor_task_id, watched_until,
    window_until, succeeded_at, created_at, started_at, finished_at, deadline_at, now_ms() AS now,
    CASE WHEN hook_url IS NOT NULL AND hook_is_gone = 0 THEN account_id END AS told
FROM tasks WHERE id = :id AND bucket IS NOT NULL

-- What an owner writes

-- name: progress
UPDATE tasks SET status = :status, progress = :progress, answer = :answer, version = version + 1, window_until = NULL,
    vendor_task_id = coalesce(vendor_task_id, :vendor_task_id)
WHERE id = :id AND finished_at IS NULL
    AND EXISTS (SELECT 1 FROM task_buckets b WHERE b.number = tasks.bucket AND b.fence = :fence)

-- name: note_success
UPDATE tasks SET succeeded_at = coalesce(succeeded_at, now_ms()),
    status = CASE WHEN status = 'unknown' THEN 'running' ELSE status END, window_until = NULL,
    vendor_task_id = coalesce(vendor_task_id, :vendor_task_id)
WHERE id = :id AND finished_at IS NULL
    AND EXISTS (SELECT 1 FROM task_buckets b WHERE b.number = tasks.bucket AND b.fence = :fence)

-- name: held
SELECT t.id, b.fence FROM tasks t JOIN task_buckets b ON b.number = t.bucket
WHERE t.id IN (SELECT value FROM json_each(CAST(:ids AS TEXT))) AND t.finished_at IS NULL
/*postgresql*/ FOR UPDATE OF t /*end*/

-- name: to_end
SELECT t.*, b.fence, now_ms() AS now FROM tasks t LEFT JOIN task_buckets b ON b.number = t.bucket
WHERE t.id IN (SELECT value FROM json_each(CAST(:ids AS TEXT)))
/*postgresql*/ FOR UPDATE OF t /*end*/

-- name: finish
UPDATE tasks SET status = :status, progress = :progress, answer = coalesce(:answer, answer), result = :result,
    captured = :captured, error_code = :error_code, error_message = :error_message, finished_at = now_ms(),
    version = version + 1, node_id = NULL, watched_until = NULL,
    vendor_task_id = coalesce(vendor_task_id, :vendor_task_id),
    bucket = CASE WHEN CAST(:late_look_ms AS BIGINT) > 0 AND vendor_task_id IS NOT NULL THEN bucket END,
    next_look_at = CASE WHEN CAST(:late_look_ms AS BIGINT) > 0 AND vendor_task_id IS NOT NULL
        THEN now_ms() + CAST(:late_look_ms AS BIGINT) END
WHERE id = :id AND finished_at IS NULL AND (CAST(:fence AS BIGINT) = 0
    OR EXISTS (SELECT 1 FROM task_buckets b WHERE b.number = tasks.bucket AND b.fence = CAST(:fence AS BIGINT)))

-- name: forget
-- Nothing is looked for any more; whoever does this first notes what the late result cost.
UPDATE tasks SET bucket = NULL, next_look_at = NULL
WHERE id = :id AND finished_at IS NOT NULL
    AND EXISTS (SELECT 1 FROM task_buckets b WHERE b.number = tasks.bucket AND b.fence = :fence)
RETURNING request_id, provider, usage

-- name: add_cost
UPDATE requests SET cost = cost + :cost WHERE id = :id

-- name: add_attempt_cost
-- The last attempt is the one that made the task.
UPDATE attempts_apart SET cost = cost + :cost
WHERE request_id = :id AND number = (SELECT MAX(number) FROM attempts_apart WHERE request_id = :id)

-- name: finish_request
UPDATE requests SET status = :status, usage = :usage, charge = :charge, loss = :loss, cost = cost + :cost,
    error_code = :error_code, error_message = :error_message, duration_ms = now_ms() - created_at
WHERE id = :id

-- Families: follow-ups, refusals with a name, lists of a provider

-- name: taken_ids
SELECT id FROM tasks WHERE id IN (SELECT value FROM json_each(CAST(:ids AS TEXT)))

-- name: note
UPDATE tasks SET asked = :asked WHERE id = :id

-- name: refuse_named
UPDATE tasks SET status = 'failed', error_code = :error_code, error_message = :error_message, finished_at = now_ms(),
    version = version + 1, node_id = NULL, bucket = NULL, next_look_at = NULL
WHERE id = :id AND status = 'submitting'

-- name: by_vendor_id
SELECT * FROM tasks
WHERE channel_id = :channel_id AND vendor_task_id = :vendor_task_id AND account_id = :account_id AND mode = :mode
  AND id <> :id
ORDER BY created_at DESC LIMIT 1

-- name: some
SELECT * FROM tasks
WHERE account_id = :account_id AND mode = :mode AND provider = :provider
  AND id IN (SELECT value FROM json_each(CAST(:ids AS TEXT)))

-- name: of_provider
SELECT * FROM tasks
WHERE account_id = :account_id AND mode = :mode AND provider = :provider
ORDER BY created_at DESC, id DESC LIMIT :limit OFFSET :offset

-- name: not_begun
SELECT * FROM tasks
WHERE account_id = :account_id AND mode = :mode AND provider = :provider AND finished_at IS NULL
  AND status IN ('queued', 'submitting', 'unknown') AND window_until IS NULL
ORDER BY created_at, id LIMIT :limit OFFSET :offset

-- name: load
SELECT channel_id, count(*) AS count FROM tasks
WHERE provider = :provider AND mode = :mode AND finished_at IS NULL AND channel_id IS NOT NULL
  AND (window_until IS NULL OR status <> 'queued')
GROUP BY channel_id

-- name: end_hook
UPDATE tasks SET hook_is_gone = 1 WHERE id = :id

-- name: remember_callback
INSERT INTO vendor_callbacks (channel_id, message, seen_at) VALUES (:channel_id, :message, now_ms())
ON CONFLICT (channel_id, message) DO NOTHING

-- name: forget_callbacks
DELETE FROM vendor_callbacks WHERE seen_at < now_ms() - CAST(:age_ms AS BIGINT)

-- name: look_now
UPDATE tasks SET next_look_at = now_ms()
WHERE channel_id = :channel_id AND vendor_task_id IN (SELECT value FROM json_each(CAST(:vendor_task_ids AS TEXT)))
  AND finished_at IS NULL AND node_id IS NULL AND (next_look_at IS NULL OR next_look_at > now_ms())

-- name: is_known_there
SELECT 1 AS found FROM tasks
WHERE channel_id = :channel_id AND vendor_task_id IN (SELECT value FROM json_each(CAST(:vendor_task_ids AS TEXT)))
LIMIT 1

-- name: look_around
UPDATE tasks SET next_look_at = now_ms()
WHERE id IN (
    SELECT id FROM tasks
    WHERE channel_id = :channel_id AND vendor_task_id IS NOT NULL AND finished_at IS NULL AND node_id IS NULL
      AND (next_look_at IS NULL OR next_look_at > now_ms())
    LIMIT :limit)
