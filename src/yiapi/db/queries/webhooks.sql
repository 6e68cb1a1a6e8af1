-- Endpoints, their secrets, and deliveries. A bound of time is written (SELECT now_ms()) where PostgreSQL is to use an
-- index for it: it takes the value of a subquery for fixed, and that of the function not.

-- name: insert_endpoint
INSERT INTO webhook_endpoints (id, account_id, mode, url, events, enabled, created_at)
VALUES (:id, :account_id, :mode, :url, :events, 1, now_ms())

-- name: endpoint_count
SELECT count(*) AS count FROM webhook_endpoints WHERE account_id = :account_id AND mode = :mode

-- name: endpoint
SELECT * FROM webhook_endpoints WHERE account_id = :account_id AND mode = :mode AND id = :id

-- name: endpoints
SELECT * FROM webhook_endpoints
WHERE account_id = :account_id AND mode = :mode
  AND (created_at < :before OR (created_at = :before AND id < :before_id))
ORDER BY created_at DESC, id DESC
LIMIT :limit

-- name: enabled_endpoints
SELECT * FROM webhook_endpoints WHERE account_id = :account_id AND mode = :mode AND enabled = 1

-- name: update_endpoint
UPDATE webhook_endpoints SET url = :url, events = :events WHERE id = :id

-- name: enable_endpoint
UPDATE webhook_endpoints SET enabled = 1, disabled_reason = NULL, disabled_at = NULL WHERE id = :id AND enabled = 0

-- name: disable_endpoint
UPDATE webhook_endpoints SET enabled = 0, disabled_reason = :reason, disabled_at = now_ms() WHERE id = :id AND enabled = 1

-- name: disable_failing
UPDATE webhook_endpoints SET enabled = 0, disabled_reason = :reason, disabled_at = now_ms()
WHERE id = :id AND enabled = 1 AND coalesce(last_success_at, 0) < :since

-- name: note_success
-- To the minute, so that a busy endpoint's row is not written for every delivery.
UPDATE webhook_endpoints SET last_success_at = now_ms()
WHERE id = :id AND coalesce(last_success_at, 0) < now_ms() - 60000

-- name: delete_endpoint
DELETE FROM webhook_endpoints WHERE id = :id

-- name: insert_secret
INSERT INTO webhook_secrets (id, owner, sealed, signs_until, created_at)
VALUES (:id, :owner, :sealed, NULL, now_ms())

-- name: retire_secrets
UPDATE webhook_secrets SET signs_until = now_ms() + :signs_ms WHERE owner = :owner AND signs_until IS NULL

-- name: delete_old_secrets
DELETE FROM webhook_secrets
WHERE owner = :owner AND signs_until IS NOT NULL
  AND (signs_until <= now_ms() OR id NOT IN (
    SELECT id FROM webhook_secrets WHERE owner = :owner ORDER BY created_at DESC, id DESC LIMIT :most))

-- name: delete_secrets
DELETE FROM webhook_secrets WHERE owner = :owner

-- name: secrets
SELECT id, owner, sealed FROM webhook_secrets
WHERE owner IN (SELECT value FROM json_each(CAST(:owners AS TEXT))) AND coalesce(signs_until, now_ms() + 1) > now_ms()
ORDER BY created_at DESC, id DESC

-- name: insert_delivery
INSERT INTO deliveries (id, account_id, mode, lane, endpoint_id, task_id, url, event_id, event_type, body, status,
    attempts, tries, round_began_at, next_attempt_at, fence, created_at)
VALUES (:id, :account_id, :mode, :lane, :endpoint_id, :task_id, :url, :event_id, :event_type, :body, 'pending',
    '[]', 0, now_ms(), now_ms(), 0, now_ms())

-- name: delivery
SELECT * FROM deliveries WHERE account_id = :account_id AND mode = :mode AND id = :id

-- name: deliveries
SELECT * FROM deliveries
WHERE account_id = :account_id AND mode = :mode
  AND (created_at < :before OR (created_at = :before AND id < :before_id))
  AND (:status = '' OR status = :status)
  AND (:endpoint_id = '' OR endpoint_id = :endpoint_id)
  AND (:task_id = '' OR task_id = :task_id)
ORDER BY created_at DESC, id DESC
LIMIT :limit

-- name: of_anybody
SELECT * FROM deliveries
WHERE (:status = '' OR status = :status) AND (:account_id = '' OR account_id = :account_id)
ORDER BY created_at DESC, id DESC
LIMIT :limit

-- name: tenant_of
SELECT account_id, mode FROM deliveries WHERE id = :id

-- name: due
SELECT lane, account_id, mode, next_attempt_at AS due_at FROM deliveries
WHERE next_attempt_at <= (SELECT now_ms())
ORDER BY next_attempt_at LIMIT :limit

-- name: lanes
-- Jumps from lane to lane in the index: the cost is that of the lanes, however many deliveries wait in each.
WITH RECURSIVE waiting (lane) AS (
    SELECT (SELECT lane FROM deliveries WHERE next_attempt_at IS NOT NULL ORDER BY lane LIMIT 1)
    UNION ALL
    SELECT (SELECT lane FROM deliveries WHERE next_attempt_at IS NOT NULL AND lane > waiting.lane ORDER BY lane LIMIT 1)
    FROM waiting WHERE waiting.lane IS NOT NULL
)
SELECT head.lane, head.account_id, head.mode, head.next_attempt_at AS due_at,
    (SELECT count(*) FROM (
        SELECT 1 FROM deliveries
        WHERE lane = waiting.lane AND next_attempt_at <= (SELECT now_ms()) LIMIT :counted) AS due) AS due
FROM waiting JOIN deliveries AS head ON head.id = (
    SELECT id FROM deliveries WHERE lane = waiting.lane AND next_attempt_at IS NOT NULL ORDER BY next_attempt_at LIMIT 1)

-- name: claim
WITH due AS MATERIALIZED (
    SELECT id FROM deliveries WHERE lane = :lane AND next_attempt_at <= (SELECT now_ms())
    ORDER BY next_attempt_at LIMIT :limit
    /*postgresql*/FOR UPDATE SKIP LOCKED/*end*/
)
UPDATE deliveries SET next_attempt_at = now_ms() + :lease_ms, fence = fence + 1 WHERE id IN (SELECT id FROM due)
RETURNING *, now_ms() AS now

-- name: endpoints_by_id
SELECT * FROM webhook_endpoints WHERE id IN (SELECT value FROM json_each(CAST(:ids AS TEXT)))

-- name: delivered
UPDATE deliveries SET status = 'delivered', attempts = :attempts, tries = :tries, next_attempt_at = NULL
WHERE id = :id AND fence = :fence

-- name: failed
UPDATE deliveries SET attempts = :attempts, tries = :tries, next_attempt_at = now_ms() + :pause_ms
WHERE id = :id AND fence = :fence

-- name: dead
UPDATE deliveries SET status = 'dead', dead_reason = :reason, attempts = :attempts, tries = :tries, next_attempt_at = NULL
WHERE id = :id AND fence = :fence

-- name: bury_lane
-- The fence goes up: what is being sent is not written down any more.
UPDATE deliveries SET status = 'dead', dead_reason = :reason, next_attempt_at = NULL, fence = fence + 1
WHERE id IN (SELECT id FROM deliveries WHERE lane = :lane AND next_attempt_at IS NOT NULL LIMIT :limit)

-- name: replay
UPDATE deliveries SET status = 'pending', dead_reason = NULL, tries = 0, round_began_at = now_ms(),
    next_attempt_at = now_ms(), fence = fence + 1
WHERE account_id = :account_id AND mode = :mode AND id = :id

-- name: replay_span
UPDATE deliveries SET status = 'pending', dead_reason = NULL, tries = 0, round_began_at = now_ms(),
    next_attempt_at = now_ms(), fence = fence + 1
WHERE id IN (
    SELECT id FROM deliveries
    WHERE account_id = :account_id AND mode = :mode AND status = :status AND next_attempt_at IS NULL
      AND created_at >= :from_ms AND created_at < :to_ms
      AND (:endpoint_id = '' OR endpoint_id = :endpoint_id)
      AND (endpoint_id IS NULL OR endpoint_id IN (
        SELECT id FROM webhook_endpoints WHERE account_id = :account_id AND mode = :mode AND enabled = 1))
    ORDER BY created_at LIMIT :limit)

-- name: sweep
DELETE FROM deliveries WHERE id IN (
    SELECT id FROM deliveries
    WHERE created_at < (SELECT now_ms() - CAST(:age_ms AS BIGINT)) AND next_attempt_at IS NULL
    ORDER BY created_at LIMIT :limit)

-- name: write_audit
INSERT INTO audit (id, actor, action, subject, detail, created_at)
VALUES (:id, :actor, :action, :subject, :detail, now_ms())
