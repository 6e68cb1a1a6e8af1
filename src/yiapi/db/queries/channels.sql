-- Channels and their credentials. Every change raises the version of the snapshot and gives it to the channel.

-- name: version
SELECT version FROM snapshots WHERE name = 'channels'

-- name: lock_version
-- One change at a time: what it reads after this stays true until it commits.
SELECT version FROM snapshots WHERE name = 'channels' /*postgresql*/ FOR UPDATE /*end*/

-- name: raise_version
UPDATE snapshots SET version = version + 1 WHERE name = 'channels' RETURNING version

-- name: channels_since
SELECT * FROM channels WHERE version > :version

-- name: credentials_since
SELECT channel_credentials.* FROM channel_credentials JOIN channels ON channels.id = channel_credentials.channel_id
WHERE channels.version > :version ORDER BY channel_credentials.id

-- name: channel
SELECT * FROM channels WHERE id = :id

-- name: credentials_of
SELECT * FROM channel_credentials WHERE channel_id = :channel_id ORDER BY id

-- name: credential
SELECT * FROM channel_credentials WHERE id = :id

-- name: list_channels
SELECT * FROM channels ORDER BY provider, mode, priority DESC, id

-- name: list_credentials
SELECT id, channel_id, hint, enabled, reason FROM channel_credentials ORDER BY id

-- name: insert_channel
INSERT INTO channels (id, provider, name, mode, base_url, weight, priority, price_groups, models, model_names, settings,
    parallel_max, enabled, reason, created_at, version)
VALUES (:id, :provider, :name, :mode, :base_url, :weight, :priority, :price_groups, :models, :model_names, :settings,
    :parallel_max, 1, NULL, now_ms(), :version)

-- name: update_channel
UPDATE channels SET name = :name, base_url = :base_url, weight = :weight, priority = :priority,
    price_groups = :price_groups, models = :models, model_names = :model_names, settings = :settings,
    parallel_max = :parallel_max, version = :version
WHERE id = :id

-- name: switch_channel
UPDATE channels SET enabled = :enabled, reason = :reason, version = :version WHERE id = :id

-- name: touch_channel
UPDATE channels SET version = :version WHERE id = :id

-- name: insert_credential
INSERT INTO channel_credentials (id, channel_id, sealed, hint, enabled, reason, created_at)
VALUES (:id, :channel_id, :sealed, :hint, 1, NULL, now_ms())

-- name: delete_credentials
DELETE FROM channel_credentials WHERE channel_id = :channel_id

-- name: disable_credential
UPDATE channel_credentials SET enabled = 0, reason = :reason WHERE id = :id AND enabled = 1

-- name: enable_credentials
UPDATE channel_credentials SET enabled = 1, reason = NULL WHERE channel_id = :channel_id

-- name: write_audit
INSERT INTO audit (id, actor, action, subject, detail, created_at)
VALUES (:id, :actor, :action, :subject, :detail, now_ms())
