-- The first schema. Times are milliseconds since 1970, amounts nano-dollars, JSON is text; ids are text of our own.
-- only: postgresql
CREATE FUNCTION now_ms() RETURNS BIGINT LANGUAGE sql VOLATILE AS $$
    SELECT coalesce(
        nullif(current_setting('yiapi.now_ms', true), '')::bigint,
        (extract(epoch FROM clock_timestamp()) * 1000)::bigint)
$$;
-- end

CREATE TABLE station (
    name TEXT PRIMARY KEY,   -- secret_fingerprint, …
    value TEXT NOT NULL
);

-- A snapshot in memory is exchanged when its version changes.
CREATE TABLE snapshots (
    name TEXT PRIMARY KEY,   -- accounts, keys, channels, prices, switches
    version BIGINT NOT NULL
);
INSERT INTO snapshots (name, version) VALUES ('accounts', 1), ('keys', 1), ('channels', 1), ('prices', 1), ('switches', 1);

CREATE TABLE nodes (
    id TEXT PRIMARY KEY,     -- one start of one process
    name TEXT NOT NULL,      -- the same at every start: gateway-0
    started_at BIGINT NOT NULL,
    lease_until BIGINT NOT NULL
);
CREATE INDEX nodes_by_lease ON nodes (lease_until);

-- Customers and keys

CREATE TABLE price_groups (
    name TEXT PRIMARY KEY,
    multiplier BIGINT NOT NULL CHECK (multiplier >= 0)   -- in millionths: 1000000 is the list price
);
INSERT INTO price_groups (name, multiplier) VALUES ('default', 1000000);

CREATE TABLE accounts (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    status TEXT NOT NULL,                 -- active, suspended
    price_group TEXT NOT NULL REFERENCES price_groups (name),
    parallel_max INTEGER NOT NULL,        -- requests at once
    open_tasks_max INTEGER NOT NULL,
    created_at BIGINT NOT NULL,
    version BIGINT NOT NULL
);

CREATE TABLE api_keys (
    id TEXT PRIMARY KEY,
    account_id TEXT REFERENCES accounts (id),   -- null: a key of the operator
    mode TEXT NOT NULL,                   -- live, test, admin
    hash TEXT NOT NULL UNIQUE,            -- keyed hash of the whole key
    hint TEXT NOT NULL,                   -- prefix and last four characters
    name TEXT NOT NULL,
    operations TEXT,                      -- JSON list of patterns; null: all
    models TEXT,                          -- JSON list of patterns; null: all
    ip_ranges TEXT,                       -- JSON list; null: everywhere
    budget BIGINT,                        -- null: the wallet is the only limit
    budget_period TEXT,                   -- day, month, total
    requests_per_minute INTEGER,
    tokens_per_minute INTEGER,
    parallel_max INTEGER,
    expires_at BIGINT,
    revoked_at BIGINT,
    created_at BIGINT NOT NULL,
    version BIGINT NOT NULL
);

CREATE TABLE key_budgets (
    key_id TEXT NOT NULL REFERENCES api_keys (id),
    period TEXT NOT NULL,                 -- 2026-11-23, 2026-11, total
    held BIGINT NOT NULL CHECK (held >= 0),
    spent BIGINT NOT NULL CHECK (spent >= 0),
    PRIMARY KEY (key_id, period)
);

-- The ledger

-- only: postgresql
-- A list as one parameter, in the words of SQLite: … IN (SELECT value FROM json_each(CAST(:ids AS TEXT))).
CREATE FUNCTION json_each(list TEXT, OUT value TEXT) RETURNS SETOF TEXT LANGUAGE sql IMMUTABLE STRICT ROWS 50 AS $$
    SELECT json_array_elements_text(list::json)
$$;
-- end

CREATE TABLE ledger_accounts (
    id TEXT PRIMARY KEY,                  -- wallet:<account>:<mode>, revenue:<mode>, loss:<mode>, funding:<mode>
    kind TEXT NOT NULL,                   -- wallet, revenue, loss, funding
    account_id TEXT REFERENCES accounts (id),
    mode TEXT NOT NULL,
    posted BIGINT NOT NULL,
    held BIGINT NOT NULL CHECK (held >= 0),
    captured BIGINT NOT NULL DEFAULT 0 CHECK (captured >= 0),   -- of a wallet: all that was ever captured
    CHECK (kind <> 'wallet' OR posted - held >= 0),
    CHECK (posted BETWEEN -9000000000000000000 AND 9000000000000000000)   -- refused before it could wrap
);
INSERT INTO ledger_accounts (id, kind, account_id, mode, posted, held) VALUES
    ('revenue:live', 'revenue', NULL, 'live', 0, 0), ('revenue:test', 'revenue', NULL, 'test', 0, 0),
    ('loss:live', 'loss', NULL, 'live', 0, 0), ('loss:test', 'loss', NULL, 'test', 0, 0),
    ('funding:live', 'funding', NULL, 'live', 0, 0), ('funding:test', 'funding', NULL, 'test', 0, 0);

CREATE TABLE postings (
    reference TEXT NOT NULL,              -- the operation: postings under one reference are one transaction
    ordinal INTEGER NOT NULL,             -- of a settlement: 0 from the hold, 1 above it, 2 uncovered
    kind TEXT NOT NULL,                   -- top_up, grant, refund, adjustment, capture, uncovered
    source TEXT NOT NULL REFERENCES ledger_accounts (id),
    destination TEXT NOT NULL REFERENCES ledger_accounts (id),
    amount BIGINT NOT NULL CHECK (amount BETWEEN 0 AND 1000000000000000),
    corrects TEXT,                        -- the reference that this one corrects
    hold_id TEXT,                         -- the allowance that a batch of calls used up
    created_at BIGINT NOT NULL,
    PRIMARY KEY (reference, ordinal)
);

CREATE TABLE holds (
    id TEXT PRIMARY KEY,
    reference TEXT NOT NULL UNIQUE,       -- request or task: repeating it returns the first hold
    wallet TEXT NOT NULL REFERENCES ledger_accounts (id),
    amount BIGINT NOT NULL CHECK (amount BETWEEN 0 AND 1000000000000000),
    captured_below BIGINT NOT NULL DEFAULT 0 CHECK (captured_below >= 0),   -- by holds and calls below this one
    is_allowance INTEGER NOT NULL DEFAULT 0,    -- 1: a node's slice, for calls that it keeps in memory
    spare BIGINT NOT NULL DEFAULT 0,            -- of an allowance: what no call needs, as its node last said
    answered BIGINT NOT NULL DEFAULT 0,         -- of an allowance: the last recall of its wallet that its node answered
    parent_hold_id TEXT REFERENCES holds (id),
    owner TEXT,                           -- the node whose lease it shares; null: a task's
    key_id TEXT,                          -- a key with a budget, which moves along
    budget_period TEXT,
    expires_at BIGINT NOT NULL,
    is_open INTEGER NOT NULL DEFAULT 1 CHECK (is_open IN (0, 1)),   -- 1 until it has a resolution: for the indexes
    created_at BIGINT NOT NULL,
    CHECK (captured_below <= amount)
);
CREATE INDEX open_holds_by_expiry ON holds (expires_at) WHERE is_open = 1;
CREATE INDEX open_holds_by_owner ON holds (owner) WHERE is_open = 1 AND owner IS NOT NULL;
CREATE INDEX open_allowances ON holds (wallet) WHERE is_open = 1 AND is_allowance = 1;
CREATE INDEX holds_by_parent ON holds (parent_hold_id) WHERE parent_hold_id IS NOT NULL;

-- A wallet is short: its allowances are called in.
CREATE TABLE recalls (
    wallet TEXT PRIMARY KEY REFERENCES ledger_accounts (id),
    number BIGINT NOT NULL,               -- counts the recalls of the wallet
    asked_at BIGINT NOT NULL
);

CREATE TABLE hold_resolutions (
    hold_id TEXT PRIMARY KEY REFERENCES holds (id),   -- so a second resolution cannot be stored
    kind TEXT NOT NULL,                   -- captured, released, expired
    captured BIGINT NOT NULL CHECK (captured >= 0),               -- of the hold
    above BIGINT NOT NULL DEFAULT 0 CHECK (above >= 0),           -- what the balance gave beyond the hold
    uncovered BIGINT NOT NULL DEFAULT 0 CHECK (uncovered >= 0),   -- what it did not cover: the operator's loss
    created_at BIGINT NOT NULL
);

-- Entries are never changed or deleted: a correction is a new transaction.
-- only: sqlite
CREATE TRIGGER postings_stay BEFORE UPDATE ON postings BEGIN SELECT RAISE(ABORT, 'postings are append-only'); END;
CREATE TRIGGER postings_remain BEFORE DELETE ON postings BEGIN SELECT RAISE(ABORT, 'postings are append-only'); END;
CREATE TRIGGER resolutions_stay BEFORE UPDATE ON hold_resolutions BEGIN SELECT RAISE(ABORT, 'resolutions are append-only'); END;
CREATE TRIGGER resolutions_remain BEFORE DELETE ON hold_resolutions BEGIN SELECT RAISE(ABORT, 'resolutions are append-only'); END;
-- end
-- only: postgresql
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME;
END
$$;
CREATE TRIGGER postings_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON postings FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER resolutions_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON hold_resolutions FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
-- end

-- Prices

CREATE TABLE price_books (
    version BIGINT PRIMARY KEY,
    author TEXT NOT NULL,                 -- file, or the operator who edited
    note TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE prices (
    provider TEXT NOT NULL,
    sku TEXT NOT NULL,                    -- model, or model:variant; a pattern where it has a * or ?
    unit TEXT NOT NULL,
    sell BIGINT NOT NULL CHECK (sell >= 0),   -- nano-dollars per 1,000,000 units
    cost BIGINT NOT NULL CHECK (cost >= 0),
    quantity_max BIGINT,                  -- the most that one call can use, for the hold
    is_free INTEGER NOT NULL,             -- a price of 0 is meant
    author TEXT NOT NULL,                 -- file, or the operator: an import leaves the operator's rows alone
    from_version BIGINT NOT NULL REFERENCES price_books (version),
    to_version BIGINT,                    -- the first version where it no longer holds; null: still does
    PRIMARY KEY (provider, sku, unit, from_version)
);

-- Channels

CREATE TABLE channels (
    id TEXT PRIMARY KEY,
    provider TEXT NOT NULL,
    name TEXT NOT NULL,
    mode TEXT NOT NULL,                   -- live, test (a sandbox channel)
    base_url TEXT NOT NULL,
    weight INTEGER NOT NULL CHECK (weight >= 0),
    priority INTEGER NOT NULL,            -- higher first
    price_groups TEXT,                    -- JSON list of the groups it serves; null: all
    models TEXT,                          -- JSON list of patterns; null: all
    model_names TEXT,                     -- JSON object: our model name to this vendor account's own
    settings TEXT NOT NULL,               -- JSON object: the provider's own settings and limits
    parallel_max INTEGER,                 -- calls at once; null: no limit
    enabled INTEGER NOT NULL,
    reason TEXT,                          -- why it was switched off
    created_at BIGINT NOT NULL,
    version BIGINT NOT NULL
);

CREATE TABLE channel_credentials (
    id TEXT PRIMARY KEY,
    channel_id TEXT NOT NULL REFERENCES channels (id),
    sealed TEXT NOT NULL,
    hint TEXT NOT NULL,
    enabled INTEGER NOT NULL,
    reason TEXT,
    created_at BIGINT NOT NULL
);
CREATE INDEX credentials_by_channel ON channel_credentials (channel_id);

CREATE TABLE switches (
    name TEXT PRIMARY KEY,                -- operation:kling.text2video, model:kling/kling-v1
    enabled INTEGER NOT NULL,
    message TEXT NOT NULL,
    assets TEXT                           -- mirror, original; null: mirror
);

-- Calls

CREATE TABLE requests (
    id TEXT PRIMARY KEY,
    account_id TEXT NOT NULL,
    mode TEXT NOT NULL,
    key_id TEXT NOT NULL,
    operation TEXT NOT NULL,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    status TEXT NOT NULL,                 -- succeeded, failed, accepted (a task), cancelled, interrupted
    http_status INTEGER NOT NULL,
    usage TEXT NOT NULL,                  -- JSON list of {sku, unit, quantity}
    is_estimated INTEGER NOT NULL,
    is_partial INTEGER NOT NULL,
    price_version BIGINT NOT NULL,
    multiplier BIGINT NOT NULL,
    charge BIGINT NOT NULL,
    loss BIGINT NOT NULL,                 -- what the balance did not cover
    cost BIGINT NOT NULL,                 -- what all attempts cost us
    hold_id TEXT,
    settled_by TEXT,                      -- the batch whose posting paid for it; null: its hold's resolution did
    task_id TEXT,
    client_request_id TEXT,
    error_code TEXT,
    error_message TEXT,
    created_at BIGINT NOT NULL,
    duration_ms BIGINT NOT NULL,
    first_byte_ms BIGINT
);
CREATE INDEX requests_by_account ON requests (account_id, mode, created_at);
CREATE INDEX requests_by_task ON requests (task_id) WHERE task_id IS NOT NULL;

CREATE TABLE attempts (
    request_id TEXT NOT NULL,
    number INTEGER NOT NULL,
    channel_id TEXT NOT NULL,
    credential_id TEXT NOT NULL,
    fault TEXT,                           -- null: it worked
    http_status INTEGER,
    cost BIGINT NOT NULL,
    started_at BIGINT NOT NULL,
    duration_ms BIGINT NOT NULL,
    detail TEXT,                          -- the vendor's text, redacted
    PRIMARY KEY (request_id, number)
-- only: sqlite
) WITHOUT ROWID;
-- end
-- only: postgresql
);
-- end
CREATE INDEX failed_attempts ON attempts (channel_id, started_at) WHERE fault IS NOT NULL;

-- How far the journal of a node is settled.
CREATE TABLE journals (
    node_id TEXT PRIMARY KEY,
    segment BIGINT NOT NULL,
    position BIGINT NOT NULL
);

CREATE TABLE idempotency (
    account_id TEXT NOT NULL,
    mode TEXT NOT NULL,
    route TEXT NOT NULL,
    key TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    state TEXT NOT NULL,                  -- running, finished, partial
    owner TEXT NOT NULL,
    request_id TEXT NOT NULL,
    task_id TEXT,
    status INTEGER,
    headers TEXT,                         -- JSON list of pairs
    body BYTEA,
    created_at BIGINT NOT NULL,
    completed_at BIGINT,
    PRIMARY KEY (account_id, mode, route, key)
);
CREATE INDEX idempotency_by_owner ON idempotency (owner) WHERE state = 'running';
CREATE INDEX idempotency_by_age ON idempotency (completed_at) WHERE completed_at IS NOT NULL;

-- Tasks, assets

CREATE TABLE tasks (
    id TEXT PRIMARY KEY,                  -- in the shape of the vendor's dialect
    account_id TEXT NOT NULL REFERENCES accounts (id),
    mode TEXT NOT NULL,
    key_id TEXT NOT NULL,
    request_id TEXT NOT NULL,
    operation TEXT NOT NULL,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    status TEXT NOT NULL,                 -- submitting, queued, running, unknown; succeeded, failed, cancelled, expired
    progress INTEGER NOT NULL,
    version INTEGER NOT NULL,             -- counts every visible change
    bucket INTEGER,                       -- whose owner asks for it; null: there is nothing left to ask for
    node_id TEXT,                         -- who submits it; null: how the submission ended is written
    next_look_at BIGINT,                  -- when the bucket's owner takes it up; null: it has, or it is being submitted
    watched_until BIGINT,                 -- a caller waits for its end: look often until then
    hold_id TEXT NOT NULL REFERENCES holds (id),
    held BIGINT NOT NULL,
    captured BIGINT NOT NULL,
    usage TEXT NOT NULL,
    price_version BIGINT NOT NULL,
    multiplier BIGINT NOT NULL,
    channel_id TEXT,
    credential_id TEXT,
    vendor_task_id TEXT,
    external_id TEXT,                     -- the caller's own reference for it
    parent_id TEXT,                       -- the caller's earlier task that it goes on from
    names TEXT NOT NULL DEFAULT '{}',     -- JSON object: ids of the vendor that may stand in its texts, with ours
    asked TEXT,                           -- JSON: what the dialect shows of it until the vendor is asked
    answer TEXT,                          -- JSON: the vendor's last answer, links to our assets in it
    result TEXT,                          -- JSON: text and asset ids
    hook_url TEXT,
    hook_is_gone INTEGER NOT NULL DEFAULT 0,   -- its receiver said 410: it hears no more of this task
    metadata TEXT NOT NULL,
    error_code TEXT,
    error_message TEXT,
    window_until BIGINT,                  -- the vendor waits for words until then; null: no window, or it was used
    opened_by TEXT,                       -- the call that opened the window; null: it never was one
    succeeded_at BIGINT,                  -- the vendor's success was first seen; files are being copied since
    created_at BIGINT NOT NULL,
    started_at BIGINT,
    finished_at BIGINT,
    deadline_at BIGINT NOT NULL
);
CREATE INDEX tasks_by_account ON tasks (account_id, mode, created_at, id);
CREATE INDEX tasks_due ON tasks (next_look_at) WHERE next_look_at IS NOT NULL;
CREATE INDEX tasks_by_vendor_id ON tasks (channel_id, vendor_task_id) WHERE vendor_task_id IS NOT NULL;
CREATE INDEX open_tasks_by_channel ON tasks (provider, mode, channel_id) WHERE finished_at IS NULL;
CREATE INDEX tasks_by_bucket ON tasks (bucket, id) WHERE bucket IS NOT NULL;
CREATE INDEX tasks_by_node ON tasks (node_id) WHERE node_id IS NOT NULL;
CREATE UNIQUE INDEX tasks_by_external_id ON tasks (account_id, mode, provider, external_id) WHERE external_id IS NOT NULL;

-- The tasks of a bucket are looked after by its owner alone; each of its writes names the fence.
CREATE TABLE task_buckets (
    number INTEGER PRIMARY KEY,           -- 0 to 255
    owner TEXT,                           -- a node; null: nobody
    lease_until BIGINT NOT NULL,
    fence BIGINT NOT NULL                 -- counts the owners: a write of an older one is refused
);
INSERT INTO task_buckets (number, owner, lease_until, fence)
WITH RECURSIVE numbers (number) AS (SELECT 0 UNION ALL SELECT number + 1 FROM numbers WHERE number < 255)
SELECT number, NULL, 0, 1 FROM numbers;

CREATE TABLE task_workers (
    node_id TEXT PRIMARY KEY              -- who shares the buckets, as long as its node lives
);

CREATE TABLE open_tasks (
    account_id TEXT NOT NULL REFERENCES accounts (id),
    mode TEXT NOT NULL,
    count BIGINT NOT NULL CHECK (count >= 0),   -- the tenant's tasks that have not ended
    PRIMARY KEY (account_id, mode)
);

CREATE TABLE assets (
    id TEXT PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    mode TEXT NOT NULL,
    request_id TEXT,
    task_id TEXT,
    type TEXT NOT NULL,                   -- image, video, audio, text
    content_type TEXT NOT NULL,
    size_bytes BIGINT NOT NULL,
    sha256 TEXT NOT NULL,
    width INTEGER,
    height INTEGER,
    duration_s DOUBLE PRECISION,
    original_url TEXT,                    -- the vendor's link, where the operator leaves it
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    deleted_at BIGINT                     -- the file is gone; the row says so
);
CREATE INDEX assets_by_account ON assets (account_id, mode, created_at, id);
CREATE INDEX assets_by_task ON assets (task_id) WHERE task_id IS NOT NULL;
CREATE INDEX assets_by_expiry ON assets (expires_at) WHERE deleted_at IS NULL;

-- Hooks: who is told, what is on its way, and what vendors say to us

CREATE TABLE webhook_endpoints (
    id TEXT PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    mode TEXT NOT NULL,
    url TEXT NOT NULL,
    events TEXT,                          -- JSON list of event types; null: all
    enabled INTEGER NOT NULL,
    disabled_reason TEXT,                 -- asked, gone, failing; null while it is enabled
    disabled_at BIGINT,
    last_success_at BIGINT,               -- to the minute
    created_at BIGINT NOT NULL
);
CREATE INDEX webhook_endpoints_by_account ON webhook_endpoints (account_id, mode, created_at, id);

CREATE TABLE webhook_secrets (
    id TEXT PRIMARY KEY,
    owner TEXT NOT NULL,                  -- an endpoint's id, or hooks:<account>:<mode>
    sealed TEXT NOT NULL,
    signs_until BIGINT,                   -- null: the newest; another signs along until then
    created_at BIGINT NOT NULL
);
CREATE INDEX webhook_secrets_by_owner ON webhook_secrets (owner);

CREATE TABLE deliveries (
    id TEXT PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    mode TEXT NOT NULL,
    lane TEXT NOT NULL,                   -- what shares one receiver: an endpoint's id, or a group of a tenant's hooks
    endpoint_id TEXT,                     -- null: the task's own hook
    task_id TEXT NOT NULL,
    url TEXT,                             -- of the task's own hook; null: where the endpoint leads when it is sent
    event_id TEXT NOT NULL,               -- the same on every attempt: the receiver's key against doubles
    event_type TEXT NOT NULL,
    body TEXT NOT NULL,                   -- exactly what is sent and signed
    status TEXT NOT NULL,                 -- pending, delivered, dead
    dead_reason TEXT,                     -- attempts_used, gone, endpoint_disabled, endpoint_deleted
    attempts TEXT NOT NULL,               -- JSON list of {time, status, excerpt}, the latest of all rounds
    tries INTEGER NOT NULL,               -- attempts of this round; a replay begins a new round
    round_began_at BIGINT NOT NULL,
    next_attempt_at BIGINT,               -- null: none; while an attempt runs, when its lease is over
    fence BIGINT NOT NULL,                -- counts every claim: a write of an older holder is refused
    created_at BIGINT NOT NULL
);
CREATE INDEX deliveries_due ON deliveries (next_attempt_at) WHERE next_attempt_at IS NOT NULL;
CREATE INDEX deliveries_waiting ON deliveries (lane, next_attempt_at) WHERE next_attempt_at IS NOT NULL;
CREATE INDEX deliveries_by_account ON deliveries (account_id, mode, created_at, id);
CREATE INDEX deliveries_by_age ON deliveries (created_at);

CREATE TABLE vendor_callbacks (
    channel_id TEXT NOT NULL,
    message TEXT NOT NULL,                -- the vendor's id for it, else the hash of its body
    seen_at BIGINT NOT NULL,
    PRIMARY KEY (channel_id, message)
);

CREATE TABLE operators (
    email TEXT PRIMARY KEY,
    password_hash TEXT NOT NULL,          -- Argon2
    role TEXT NOT NULL,                   -- owner
    created_at BIGINT NOT NULL
);

CREATE TABLE audit (
    id TEXT PRIMARY KEY,
    actor TEXT NOT NULL,                  -- a key, or the operator at the machine
    action TEXT NOT NULL,                 -- channel.create
    subject TEXT NOT NULL,
    detail TEXT NOT NULL,                 -- JSON, without secrets
    created_at BIGINT NOT NULL
);
-- only: sqlite
CREATE TRIGGER audit_stays BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_remains BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
-- end
-- only: postgresql
CREATE TRIGGER audit_stays BEFORE UPDATE OR DELETE OR TRUNCATE ON audit FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
-- end
