-- Money. Balances are written by the ledger alone; nothing here is decided outside a condition of its own statement.

-- name: take_turn
-- Writers of the ledger take turns until their commit, as SQLite's do anyway: all touch the same few rows, and in turn
-- they cannot block each other in a ring. A writer that stops in between loses its connection and with it the turn.
SELECT /*postgresql*/ pg_advisory_xact_lock(7426386),
    set_config('idle_in_transaction_session_timeout', '5000', true), /*end*/ now_ms() AS now

-- name: open_wallet
INSERT INTO ledger_accounts (id, kind, account_id, mode, posted, held)
VALUES (:id, 'wallet', :account_id, :mode, 0, 0) ON CONFLICT (id) DO NOTHING

-- name: account
SELECT posted, held, captured FROM ledger_accounts WHERE id = :id

-- name: holds_by_reference
SELECT id, reference, wallet, amount, expires_at FROM holds
WHERE reference IN (SELECT value FROM json_each(CAST(:refs AS TEXT)))

-- name: holds_by_id
SELECT h.id, h.wallet, h.amount, h.captured_below, h.parent_hold_id, h.key_id, h.budget_period, r.kind AS resolution,
    r.captured, r.above, r.uncovered
FROM holds h LEFT JOIN hold_resolutions r ON r.hold_id = h.id
WHERE h.id IN (SELECT value FROM json_each(CAST(:ids AS TEXT)))

-- name: reserve
UPDATE ledger_accounts SET held = held + :amount WHERE id = :wallet AND kind = 'wallet' AND posted - held >= :amount

-- name: reserve_many
UPDATE ledger_accounts SET held = held + n.amount
FROM (
    SELECT value /*postgresql*/ ::json /*end*/ ->> 'wallet' AS wallet,
        CAST(value /*postgresql*/ ::json /*end*/ ->> 'amount' AS BIGINT) AS amount
    FROM json_each(CAST(:wanted AS TEXT))
) AS n
WHERE ledger_accounts.id = n.wallet AND kind = 'wallet' AND posted - held >= n.amount
RETURNING id

-- name: unreserve
UPDATE ledger_accounts SET held = held - :amount WHERE id = :wallet

-- name: reserve_budget
INSERT INTO key_budgets (key_id, period, held, spent)
SELECT :key_id, :period, CAST(:amount AS BIGINT), 0 WHERE CAST(:amount AS BIGINT) <= CAST(:budget AS BIGINT)
ON CONFLICT (key_id, period) DO UPDATE SET held = key_budgets.held + excluded.held
WHERE key_budgets.held + key_budgets.spent + excluded.held <= CAST(:budget AS BIGINT)

-- name: unreserve_budget
UPDATE key_budgets SET held = held - :amount WHERE key_id = :key_id AND period = :period

-- name: insert_hold
INSERT INTO holds (id, reference, wallet, amount, parent_hold_id, owner, key_id, budget_period, expires_at, created_at)
VALUES (:id, :reference, :wallet, :amount, :parent_hold_id, :owner, :key_id, :budget_period, :expires_at, :now)

-- name: insert_allowance
INSERT INTO holds (id, reference, wallet, amount, owner, expires_at, created_at, is_allowance, spare)
VALUES (:id, :reference, :wallet, :amount, :owner, :expires_at, :now, 1, :amount)

-- name: may_take_allowance
-- A node whose lease others have ended takes none, and nobody does just after the wallet was called in.
SELECT id FROM nodes WHERE id = :owner AND lease_until > 0 AND NOT EXISTS (
    SELECT wallet FROM recalls
    WHERE wallet = :wallet AND asked_at BETWEEN now_ms() - :within_ms AND now_ms() + :within_ms)

-- name: allowances_by_id
SELECT id, amount, captured_below FROM holds
WHERE is_open = 1 AND is_allowance = 1 AND id IN (SELECT value FROM json_each(CAST(:ids AS TEXT)))

-- name: capture_allowance
UPDATE holds SET captured_below = captured_below + :captured, spare = :spare
WHERE id = :id AND is_open = 1 AND amount - captured_below >= :captured

-- name: shrink_allowance
UPDATE holds SET amount = amount - :amount, spare = CASE WHEN CAST(:spare AS BIGINT) < spare THEN :spare ELSE spare END
WHERE id = :id AND is_open = 1 AND is_allowance = 1 AND amount - captured_below >= :amount

-- name: note_spare
UPDATE holds SET spare = :spare WHERE id = :id AND is_open = 1 AND is_allowance = 1

-- name: open_allowances
SELECT id, amount, captured_below, spare, answered FROM holds
WHERE wallet = :wallet AND is_open = 1 AND is_allowance = 1

-- name: allowances_of
SELECT id, wallet FROM holds WHERE owner = :owner AND is_open = 1 AND is_allowance = 1

-- name: recall
INSERT INTO recalls (wallet, number, asked_at) VALUES (:wallet, 1, now_ms())
ON CONFLICT (wallet) DO UPDATE SET number = recalls.number + 1, asked_at = excluded.asked_at
RETURNING number

-- name: recalled
SELECT wallet, number FROM recalls WHERE asked_at BETWEEN now_ms() - :within_ms AND now_ms() + :within_ms

-- name: answer_recall
UPDATE holds SET answered = :number
WHERE is_open = 1 AND is_allowance = 1 AND answered < :number
    AND id IN (SELECT value FROM json_each(CAST(:ids AS TEXT)))

-- name: capture_below
UPDATE holds SET captured_below = captured_below + :amount
WHERE id = :id AND is_open = 1 AND amount - captured_below >= :amount

-- name: available
SELECT posted - held AS available FROM ledger_accounts WHERE id = :wallet /*postgresql*/ FOR UPDATE /*end*/

-- name: debit
UPDATE ledger_accounts SET posted = posted - :amount WHERE id = :wallet AND kind = 'wallet' AND posted - held >= :amount

-- name: move_account
UPDATE ledger_accounts SET posted = posted + :posted, held = held + :held, captured = captured + :captured
WHERE id = :id

-- name: move_budget
UPDATE key_budgets SET held = held + :held, spent = spent + :spent WHERE key_id = :key_id AND period = :period

-- name: insert_resolution
INSERT INTO hold_resolutions (hold_id, kind, captured, above, uncovered, created_at)
VALUES (:hold_id, :kind, :captured, :above, :uncovered, :now)

-- name: close_holds
UPDATE holds SET is_open = 0 WHERE id IN (SELECT value FROM json_each(CAST(:ids AS TEXT)))

-- name: insert_posting
INSERT INTO postings (reference, ordinal, kind, source, destination, amount, corrects, hold_id, created_at)
VALUES (:reference, :ordinal, :kind, :source, :destination, :amount, :corrects, :hold_id, :now)

-- name: postings_of
SELECT kind, source, destination, amount, corrects FROM postings WHERE reference = :reference ORDER BY ordinal

-- name: expired_holds
SELECT id FROM holds WHERE is_open = 1 AND expires_at <= :now ORDER BY expires_at, id LIMIT :count_max

-- name: orphaned_holds
SELECT h.id, h.reference, h.wallet, h.amount, h.expires_at, h.is_allowance
FROM holds h LEFT JOIN nodes n ON n.id = h.owner
WHERE h.is_open = 1 AND h.owner IS NOT NULL AND (n.id IS NULL OR n.lease_until = 0)
ORDER BY h.owner, h.id LIMIT :count_max

-- The check: each statement finds what contradicts one invariant

-- name: begin_check
SELECT /*postgresql*/ set_config('statement_timeout', '0', true), set_config('work_mem', '64MB', true), /*end*/
    now_ms() AS now

-- name: check_counts
SELECT (SELECT COUNT(*) FROM postings) AS postings, (SELECT COUNT(*) FROM holds) AS holds,
    (SELECT COUNT(*) FROM hold_resolutions) AS resolutions

-- name: check_balances
SELECT a.id, a.posted, CAST(COALESCE(e.total, 0) AS BIGINT) AS entries
FROM ledger_accounts a LEFT JOIN (
    SELECT account, SUM(amount) AS total FROM (
        SELECT destination AS account, amount FROM postings
        UNION ALL SELECT source AS account, -amount AS amount FROM postings
    ) AS sides GROUP BY account
) AS e ON e.account = a.id
WHERE a.posted <> COALESCE(e.total, 0) LIMIT :count_max

-- name: check_sums
SELECT mode, CAST(SUM(posted) AS BIGINT) AS total FROM ledger_accounts
GROUP BY mode HAVING SUM(posted) <> 0 LIMIT :count_max

-- name: check_available
SELECT id, posted, held FROM ledger_accounts
WHERE held < 0 OR (kind = 'wallet' AND posted - held < 0) OR (kind <> 'wallet' AND held <> 0) LIMIT :count_max

-- name: check_held
SELECT a.id, a.held, CAST(COALESCE(o.total, 0) AS BIGINT) AS holds
FROM ledger_accounts a LEFT JOIN (
    SELECT h.wallet, SUM(h.amount - h.captured_below) AS total
    FROM holds h LEFT JOIN hold_resolutions r ON r.hold_id = h.id
    WHERE r.hold_id IS NULL AND h.parent_hold_id IS NULL GROUP BY h.wallet
) AS o ON o.wallet = a.id
WHERE a.held <> COALESCE(o.total, 0) LIMIT :count_max

-- name: check_below
SELECT p.id, p.captured_below, CAST(COALESCE(b.total, 0) AS BIGINT) AS captured
FROM holds p LEFT JOIN (
    SELECT parent_hold_id, SUM(captured) AS total FROM (
        SELECT h.parent_hold_id, r.captured FROM holds h JOIN hold_resolutions r ON r.hold_id = h.id
        WHERE h.parent_hold_id IS NOT NULL
        UNION ALL SELECT hold_id AS parent_hold_id, amount AS captured FROM postings
        WHERE hold_id IS NOT NULL AND kind = 'capture'
    ) AS parts GROUP BY parent_hold_id
) AS b ON b.parent_hold_id = p.id
WHERE p.captured_below <> COALESCE(b.total, 0) OR p.captured_below > p.amount LIMIT :count_max

-- name: check_resolved_twice
SELECT hold_id AS id, COUNT(*) AS resolutions FROM hold_resolutions
GROUP BY hold_id HAVING COUNT(*) > 1 LIMIT :count_max

-- name: check_resolved_unknown
SELECT r.hold_id AS id FROM hold_resolutions r LEFT JOIN holds h ON h.id = r.hold_id
WHERE h.id IS NULL LIMIT :count_max

-- name: check_open
SELECT h.id, h.is_open FROM holds h LEFT JOIN hold_resolutions r ON r.hold_id = h.id
WHERE h.is_open <> CASE WHEN r.hold_id IS NULL THEN 1 ELSE 0 END LIMIT :count_max

-- name: check_overdue
SELECT h.id, h.expires_at FROM holds h LEFT JOIN hold_resolutions r ON r.hold_id = h.id
WHERE r.hold_id IS NULL AND h.expires_at < :now - 60000 LIMIT :count_max

-- name: check_captured
SELECT h.id, h.amount, r.kind, r.captured, r.above, r.uncovered
FROM holds h JOIN hold_resolutions r ON r.hold_id = h.id
WHERE r.captured < 0 OR r.captured > h.amount - h.captured_below
    OR (r.kind <> 'captured' AND r.captured + r.above + r.uncovered <> 0)
    OR (h.parent_hold_id IS NULL AND r.above + r.uncovered > 0 AND r.captured < h.amount - h.captured_below)
LIMIT :count_max

-- name: check_triggers
SELECT name FROM /*postgresql*/ (SELECT tgname AS name, 'trigger' AS type FROM pg_trigger WHERE tgenabled <> 'D') AS /*end*/
    sqlite_master
WHERE type = 'trigger'

-- name: check_charges
-- What a repeated settlement would answer is what was posted, from the wallet of the hold.
SELECT h.id, r.captured, r.above, r.uncovered, CAST(COALESCE(p.captured, 0) AS BIGINT) AS posted_captured,
    CAST(COALESCE(p.above, 0) AS BIGINT) AS posted_above, CAST(COALESCE(p.uncovered, 0) AS BIGINT) AS posted_uncovered
FROM hold_resolutions r JOIN holds h ON h.id = r.hold_id LEFT JOIN (
    SELECT reference, MAX(CASE WHEN kind = 'capture' THEN source END) AS wallet,
        SUM(CASE WHEN kind = 'capture' AND ordinal = 0 THEN amount ELSE 0 END) AS captured,
        SUM(CASE WHEN kind = 'capture' AND ordinal = 1 THEN amount ELSE 0 END) AS above,
        SUM(CASE WHEN kind = 'uncovered' AND ordinal = 2 THEN amount ELSE 0 END) AS uncovered
    FROM postings WHERE kind IN ('capture', 'uncovered') AND hold_id IS NULL GROUP BY reference
) AS p ON p.reference = r.hold_id
WHERE r.captured <> COALESCE(p.captured, 0) OR r.above <> COALESCE(p.above, 0)
    OR r.uncovered <> COALESCE(p.uncovered, 0) OR p.wallet <> h.wallet
LIMIT :count_max

-- name: check_charges_unknown
SELECT p.reference AS id, p.kind FROM postings p LEFT JOIN hold_resolutions r ON r.hold_id = p.reference
WHERE p.kind IN ('capture', 'uncovered') AND p.hold_id IS NULL AND r.hold_id IS NULL LIMIT :count_max

-- name: check_operations
-- Every other operation is one posting between funding and a wallet of the same mode, and what it corrects is there.
SELECT p.reference AS id, p.kind, p.source, p.destination, p.corrects
FROM postings p JOIN ledger_accounts s ON s.id = p.source JOIN ledger_accounts d ON d.id = p.destination
    LEFT JOIN (SELECT DISTINCT reference FROM postings) AS c ON c.reference = p.corrects
WHERE p.kind NOT IN ('capture', 'uncovered') AND NOT (
    p.ordinal = 0 AND s.mode = d.mode AND (p.corrects IS NULL OR c.reference IS NOT NULL)
    AND ((s.kind = 'funding' AND d.kind = 'wallet' AND p.kind IN ('top_up', 'grant', 'adjustment'))
        OR (s.kind = 'wallet' AND d.kind = 'funding' AND p.kind IN ('refund', 'adjustment'))))
LIMIT :count_max

-- name: check_use
SELECT a.id, CAST(COALESCE(f.brought, 0) AS BIGINT) AS brought, CAST(COALESCE(f.used, 0) AS BIGINT) AS used,
    a.posted - a.held AS available, a.held, a.captured
FROM ledger_accounts a LEFT JOIN (
    SELECT account, SUM(brought) AS brought, SUM(used) AS used FROM (
        SELECT destination AS account, amount AS brought, 0 AS used FROM postings
        WHERE kind IN ('top_up', 'grant', 'refund', 'adjustment')
        UNION ALL SELECT source AS account, -amount AS brought, 0 AS used FROM postings
        WHERE kind IN ('top_up', 'grant', 'refund', 'adjustment')
        UNION ALL SELECT source AS account, 0 AS brought, amount AS used FROM postings WHERE kind = 'capture'
    ) AS sides GROUP BY account
) AS f ON f.account = a.id
WHERE a.kind = 'wallet' AND (COALESCE(f.brought, 0) <> a.posted + a.captured OR COALESCE(f.used, 0) <> a.captured)
LIMIT :count_max

-- name: check_budgets
SELECT b.key_id AS id, b.period, b.held, b.spent, CAST(COALESCE(u.held, 0) AS BIGINT) AS holds,
    CAST(COALESCE(u.spent, 0) AS BIGINT) AS captures
FROM key_budgets b LEFT JOIN (
    SELECT h.key_id, h.budget_period, SUM(CASE WHEN r.hold_id IS NULL THEN h.amount ELSE 0 END) AS held,
        SUM(COALESCE(r.captured + r.above, 0)) AS spent
    FROM holds h LEFT JOIN hold_resolutions r ON r.hold_id = h.id
    WHERE h.key_id IS NOT NULL GROUP BY h.key_id, h.budget_period
) AS u ON u.key_id = b.key_id AND u.budget_period = b.period
WHERE b.held <> COALESCE(u.held, 0) OR b.spent <> COALESCE(u.spent, 0) LIMIT :count_max

-- name: check_budgets_unknown
SELECT h.key_id AS id, h.budget_period AS period, COUNT(*) AS holds
FROM holds h LEFT JOIN key_budgets b ON b.key_id = h.key_id AND b.period = h.budget_period
WHERE h.key_id IS NOT NULL AND b.key_id IS NULL GROUP BY h.key_id, h.budget_period LIMIT :count_max

-- name: check_requests
SELECT q.id, q.hold_id, q.charge, q.loss, r.captured + r.above AS captured, r.uncovered
FROM requests q LEFT JOIN hold_resolutions r ON r.hold_id = q.hold_id
WHERE q.task_id IS NULL AND q.settled_by IS NULL AND q.status <> 'accepted' AND CASE
    WHEN q.hold_id IS NULL THEN q.charge + q.loss <> 0
    WHEN r.kind = 'captured' THEN r.captured + r.above <> q.charge OR r.uncovered <> q.loss
    ELSE r.hold_id IS NULL OR q.charge <> 0 END   -- a call that ended after its hold is all loss, and nothing moved
LIMIT :count_max

-- name: check_batches
-- What the calls of a batch were charged below an allowance is what the batch posted for it.
SELECT reference AS id, hold_id, CAST(SUM(charge) AS BIGINT) AS charge, CAST(SUM(loss) AS BIGINT) AS loss,
    CAST(SUM(captured) AS BIGINT) AS captured, CAST(SUM(uncovered) AS BIGINT) AS uncovered
FROM (
    SELECT settled_by AS reference, hold_id, charge, loss, 0 AS captured, 0 AS uncovered FROM requests
    WHERE settled_by IS NOT NULL
    UNION ALL SELECT reference, hold_id, 0 AS charge, 0 AS loss, CASE WHEN kind = 'capture' THEN amount ELSE 0 END AS captured,
        CASE WHEN kind = 'uncovered' THEN amount ELSE 0 END AS uncovered
    FROM postings WHERE hold_id IS NOT NULL
) AS sides GROUP BY reference, hold_id
HAVING SUM(charge) <> SUM(captured) OR SUM(loss) <> SUM(uncovered) LIMIT :count_max

-- name: check_batch_wallets
-- A batch is paid by the wallet of its allowance.
SELECT p.reference AS id, p.hold_id, p.kind, p.source, h.wallet
FROM postings p LEFT JOIN holds h ON h.id = p.hold_id
WHERE p.hold_id IS NOT NULL AND (h.id IS NULL OR h.is_allowance = 0 OR p.kind NOT IN ('capture', 'uncovered')
    OR (p.kind = 'capture' AND p.source <> h.wallet))
LIMIT :count_max

-- name: check_batch_tenants
-- A call is paid by an allowance of its own tenant.
SELECT q.id, q.account_id, q.mode, q.hold_id, h.wallet FROM requests q LEFT JOIN holds h ON h.id = q.hold_id
WHERE q.settled_by IS NOT NULL
    AND (h.id IS NULL OR h.is_allowance = 0 OR h.wallet <> 'wallet:' || q.account_id || ':' || q.mode)
LIMIT :count_max

-- name: check_spare
SELECT id, spare, amount - captured_below AS remaining FROM holds
WHERE is_allowance = 1 AND is_open = 1 AND (spare < 0 OR spare > amount - captured_below) LIMIT :count_max

-- name: check_tasks
SELECT t.id, t.hold_id, t.status, t.captured AS charge, r.captured + r.above AS captured
FROM tasks t LEFT JOIN hold_resolutions r ON r.hold_id = t.hold_id
WHERE t.status IN ('succeeded', 'failed', 'cancelled', 'expired')
    AND (r.hold_id IS NULL OR r.captured + r.above <> t.captured)
LIMIT :count_max

-- name: check_charges_unasked
SELECT r.hold_id AS id, r.captured + r.above AS captured, r.uncovered FROM hold_resolutions r LEFT JOIN (
    SELECT hold_id FROM requests WHERE hold_id IS NOT NULL UNION SELECT hold_id FROM tasks
) AS q ON q.hold_id = r.hold_id
WHERE r.captured + r.above + r.uncovered > 0 AND q.hold_id IS NULL LIMIT :count_max

-- name: priced_requests
SELECT id, provider, usage, price_version, multiplier, charge, loss FROM requests
WHERE id > :after AND task_id IS NULL AND status <> 'accepted' ORDER BY id LIMIT :count_max

-- name: priced_tasks
SELECT t.id, t.provider, CASE WHEN t.status = 'succeeded' THEN t.usage ELSE '[]' END AS usage, t.price_version, t.multiplier, r.captured + r.above AS charge, r.uncovered AS loss
FROM tasks t JOIN hold_resolutions r ON r.hold_id = t.hold_id
WHERE t.id > :after AND t.status IN ('succeeded', 'failed', 'cancelled', 'expired') ORDER BY t.id LIMIT :count_max

-- name: charges_and_costs
-- A charge counts for the channel of the last attempt, a cost for the channel that caused it.
SELECT channel_id, day, CAST(SUM(charge) AS BIGINT) AS charged, CAST(SUM(cost) AS BIGINT) AS cost FROM (
    SELECT a.channel_id, a.started_at / 86400000 AS day, 0 AS charge, a.cost FROM attempts a
    UNION ALL
    SELECT a.channel_id, a.started_at / 86400000 AS day, COALESCE(t.captured, q.charge) AS charge, 0 AS cost
    FROM requests q
    JOIN (SELECT request_id, MAX(number) AS number FROM attempts GROUP BY request_id) AS l ON l.request_id = q.id
    JOIN attempts a ON a.request_id = l.request_id AND a.number = l.number
    LEFT JOIN tasks t ON t.id = q.task_id AND t.request_id = q.id   -- other calls may name the task, and cost nothing
) AS sides GROUP BY channel_id, day HAVING SUM(charge) <> SUM(cost) ORDER BY day, channel_id LIMIT :count_max
