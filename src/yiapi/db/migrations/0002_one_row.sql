-- One row for a call that worked at once: its only attempt is in the row of the call, all other attempts are apart.
ALTER TABLE attempts RENAME TO attempts_apart;

-- Of the attempt that worked at once; null: the attempts are apart, or there was none.
ALTER TABLE requests ADD COLUMN channel_id TEXT;
ALTER TABLE requests ADD COLUMN credential_id TEXT;
ALTER TABLE requests ADD COLUMN tried_at BIGINT;
ALTER TABLE requests ADD COLUMN tried_ms BIGINT;

-- Every attempt, wherever it is, for whoever reads; one that failed is always apart. With types on both sides, SQLite
-- looks up each side by its own index.
CREATE VIEW attempts AS
SELECT request_id, number, channel_id, credential_id, fault, http_status, cost, started_at, duration_ms, detail
FROM attempts_apart
UNION ALL
SELECT id, CAST(1 AS INTEGER), channel_id, credential_id, CAST(NULL AS TEXT), CAST(200 AS INTEGER), cost, tried_at,
    tried_ms, CAST(NULL AS TEXT)
FROM requests WHERE channel_id IS NOT NULL;
