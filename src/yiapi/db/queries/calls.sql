-- name: insert_request
INSERT INTO requests (id, account_id, mode, key_id, operation, provider, model, status, http_status, usage, is_estimated,
    is_partial, price_version, multiplier, charge, loss, cost, hold_id, settled_by, task_id, client_request_id, error_code,
    error_message, created_at, duration_ms, first_byte_ms)
VALUES (:id, :account_id, :mode, :key_id, :operation, :provider, :model, :status, :http_status, :usage, :is_estimated,
    :is_partial, :price_version, :multiplier, :charge, :loss, :cost, :hold_id, :settled_by, :task_id, :client_request_id, :error_code,
    :error_message, :created_at, :duration_ms, :first_byte_ms)
ON CONFLICT (id) DO NOTHING

-- name: forget_interrupted
DELETE FROM requests WHERE id = :id AND status = 'interrupted'

-- name: insert_attempt
INSERT INTO attempts_apart (request_id, number, channel_id, credential_id, fault, http_status, cost, started_at, duration_ms, detail)
VALUES (:request_id, :number, :channel_id, :credential_id, :fault, :http_status, :cost, :started_at, :duration_ms, :detail)
ON CONFLICT (request_id, number) DO NOTHING

-- name: request
SELECT * FROM requests WHERE account_id = :account_id AND mode = :mode AND id = :id

-- name: requests
SELECT * FROM requests
WHERE account_id = :account_id AND mode = :mode
  AND (created_at < :before OR (created_at = :before AND id < :before_id))
ORDER BY created_at DESC, id DESC
LIMIT :limit

-- name: attempts
SELECT * FROM attempts WHERE request_id = :request_id ORDER BY number

-- name: requests_between
SELECT operation, provider, model, key_id, created_at, usage, charge FROM requests
WHERE account_id = :account_id AND mode = :mode AND created_at >= :from_ms AND created_at < :to_ms

-- name: claim
INSERT INTO idempotency (account_id, mode, route, key, fingerprint, state, owner, request_id, created_at)
VALUES (:account_id, :mode, :route, :key, :fingerprint, 'running', :owner, :request_id, now_ms())
ON CONFLICT (account_id, mode, route, key) DO NOTHING

-- name: claimed
SELECT fingerprint, state, status, headers, body, task_id, coalesce(completed_at < now_ms() - :keep_ms, FALSE) AS is_old
FROM idempotency WHERE account_id = :account_id AND mode = :mode AND route = :route AND key = :key

-- name: free_claim
DELETE FROM idempotency
WHERE account_id = :account_id AND mode = :mode AND route = :route AND key = :key

-- name: free_own_claim
DELETE FROM idempotency
WHERE account_id = :account_id AND mode = :mode AND route = :route AND key = :key AND request_id = :request_id

-- name: finish_claim
UPDATE idempotency SET state = :state, status = :status, headers = :headers, body = :body, task_id = :task_id,
    completed_at = now_ms()
WHERE account_id = :account_id AND mode = :mode AND route = :route AND key = :key AND request_id = :request_id

-- name: orphan_claims
SELECT account_id, mode, route, key, request_id, task_id FROM idempotency
WHERE state = 'running'
  AND owner NOT IN (SELECT id FROM nodes WHERE lease_until > 0)
LIMIT :limit

-- name: forget_claims
DELETE FROM idempotency WHERE completed_at < now_ms() - :keep_ms

-- name: begin_node
INSERT INTO nodes (id, name, started_at, lease_until) VALUES (:id, :name, now_ms(), now_ms() + :lease_ms)

-- name: end_older_nodes
UPDATE nodes SET lease_until = 0 WHERE name = :name AND id <> :id AND lease_until > 0

-- name: renew_node
UPDATE nodes SET lease_until = now_ms() + :lease_ms WHERE id = :id AND lease_until > 0

-- name: end_node
UPDATE nodes SET lease_until = 0 WHERE id = :id

-- name: now
SELECT now_ms() AS now

-- name: revive_node
UPDATE nodes SET lease_until = now_ms() + :lease_ms WHERE id = :id

-- name: nodes_over
SELECT id FROM nodes WHERE lease_until > 0 AND lease_until < now_ms()

-- name: end_nodes
-- What is renewed meanwhile stays.
UPDATE nodes SET lease_until = 0
WHERE lease_until < now_ms() AND id IN (SELECT value FROM json_each(CAST(:ids AS TEXT)))

-- name: begin_journal
INSERT INTO journals (node_id, segment, position) VALUES (:node_id, 0, :position) ON CONFLICT (node_id) DO NOTHING

-- name: journal
SELECT segment, position FROM journals WHERE node_id = :node_id

-- name: advance_journal
UPDATE journals SET segment = :segment, position = :position
WHERE node_id = :node_id AND segment = :old_segment AND position = :old_position

-- name: end_journal
-- The row stays: whoever still reads the journal is told that there is nothing to settle.
UPDATE journals SET segment = :ended, position = 0 WHERE node_id = :node_id

-- name: journal_places
SELECT node_id, segment, position FROM journals
WHERE node_id IN (SELECT value FROM json_each(CAST(:ids AS TEXT)))

-- name: has_lease
SELECT id FROM nodes WHERE id = :id AND lease_until >= now_ms()
