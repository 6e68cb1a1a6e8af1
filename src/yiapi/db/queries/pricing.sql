-- Prices, multipliers and switches. A book is never changed: an edit ends a row with one version and begins the next.

-- name: snapshot_version
SELECT version FROM snapshots WHERE name = :name

-- name: lock_snapshot
SELECT version FROM snapshots WHERE name = :name /*postgresql*/ FOR UPDATE /*end*/

-- name: bump_snapshot
UPDATE snapshots SET version = version + 1 WHERE name = :name

-- name: newest_version
SELECT version FROM price_books ORDER BY version DESC LIMIT 1

-- name: has_version
SELECT 1 AS is_there FROM price_books WHERE version = :version

-- name: rows_at
SELECT * FROM prices WHERE from_version <= :version AND (to_version IS NULL OR to_version > :version)

-- name: open_prices
SELECT * FROM prices WHERE provider = :provider AND to_version IS NULL

-- name: all_prices
SELECT * FROM prices WHERE CAST(:provider AS TEXT) IS NULL OR provider = :provider
ORDER BY provider, sku, unit, from_version

-- name: add_book
INSERT INTO price_books (version, author, note, created_at) VALUES (:version, :author, :note, now_ms())

-- name: close_price
UPDATE prices SET to_version = :version
WHERE provider = :provider AND sku = :sku AND unit = :unit AND to_version IS NULL

-- name: add_price
INSERT INTO prices (provider, sku, unit, sell, cost, quantity_max, is_free, author, from_version, to_version)
VALUES (:provider, :sku, :unit, :sell, :cost, :quantity_max, :is_free, :author, :version, NULL)

-- name: multipliers
SELECT name, multiplier FROM price_groups ORDER BY name

-- name: put_multiplier
INSERT INTO price_groups (name, multiplier) VALUES (:name, :multiplier)
ON CONFLICT (name) DO UPDATE SET multiplier = excluded.multiplier

-- name: switches
SELECT name, enabled, message, assets FROM switches ORDER BY name

-- name: put_switch
INSERT INTO switches (name, enabled, message, assets) VALUES (:name, :enabled, :message, :assets)
ON CONFLICT (name) DO UPDATE SET enabled = excluded.enabled, message = excluded.message, assets = excluded.assets

-- name: note_audit
INSERT INTO audit (id, actor, action, subject, detail, created_at)
VALUES (:id, :actor, :action, :subject, :detail, now_ms())
