-- Accounts and their keys. Every change raises the version of its snapshot and gives it to the rows that it touched.

-- name: versions
SELECT name, version FROM snapshots WHERE name IN ('accounts', 'keys')

-- name: raise_version
UPDATE snapshots SET version = version + 1 WHERE name = :name RETURNING version

-- name: accounts_since
SELECT * FROM accounts WHERE version > :version

-- name: keys_since
SELECT * FROM api_keys WHERE version > :version

-- name: account
SELECT * FROM accounts WHERE id = :id

-- name: key
SELECT * FROM api_keys WHERE id = :id

-- name: insert_account
INSERT INTO accounts (id, name, status, price_group, parallel_max, open_tasks_max, created_at, version)
VALUES (:id, :name, 'active', :price_group, :parallel_max, :open_tasks_max, now_ms(), :version)
RETURNING *

-- name: update_account
UPDATE accounts SET name = :name, price_group = :price_group, parallel_max = :parallel_max,
    open_tasks_max = :open_tasks_max, version = :version
WHERE id = :id
RETURNING *

-- name: set_status
UPDATE accounts SET status = :status, version = :version WHERE id = :id RETURNING *

-- name: price_group
SELECT name FROM price_groups WHERE name = :name

-- name: list_accounts
SELECT * FROM accounts WHERE id < :before ORDER BY id DESC LIMIT :count_max

-- name: insert_key
INSERT INTO api_keys (id, account_id, mode, hash, hint, name, operations, models, ip_ranges, budget, budget_period,
    requests_per_minute, tokens_per_minute, parallel_max, expires_at, revoked_at, created_at, version)
VALUES (:id, :account_id, :mode, :hash, :hint, :name, :operations, :models, :ip_ranges, :budget, :budget_period,
    :requests_per_minute, :tokens_per_minute, :parallel_max, :expires_at, NULL, now_ms(), :version)
RETURNING *

-- name: update_key
UPDATE api_keys SET name = :name, operations = :operations, models = :models, ip_ranges = :ip_ranges,
    budget = :budget, budget_period = :budget_period, requests_per_minute = :requests_per_minute,
    tokens_per_minute = :tokens_per_minute, parallel_max = :parallel_max, expires_at = :expires_at, version = :version
WHERE id = :id
RETURNING *

-- name: revoke_key
UPDATE api_keys SET revoked_at = now_ms(), version = :version WHERE id = :id RETURNING *

-- name: list_keys
SELECT * FROM api_keys WHERE id < :before ORDER BY id DESC LIMIT :count_max

-- name: list_keys_of
SELECT * FROM api_keys WHERE account_id = :account_id AND id < :before ORDER BY id DESC LIMIT :count_max

-- name: write_audit
INSERT INTO audit (id, actor, action, subject, detail, created_at)
VALUES (:id, :actor, :action, :subject, :detail, now_ms())
