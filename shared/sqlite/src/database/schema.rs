//! What the database file holds, and how a file of an earlier format becomes one of this format.

/// What a file holds.
pub(crate) struct Schema {
    /// The format, in `PRAGMA user_version`.
    pub(crate) format: i64,
    /// The statements that create the tables in a new file.
    pub(crate) tables: &'static str,
    /// The statements that bring a file of an earlier format to the next one, by that earlier format.
    pub(crate) upgrades: &'static [(i64, &'static str)],
}

pub(super) const SCHEMA: Schema =
    Schema { format: 5, tables: TABLES, upgrades: &[(2, WITH_FAILURES), (3, WITH_FORWARDING), (4, WITH_SHORT_KEYS)] };

const TABLES: &str = "
CREATE TABLE queue (
    message_id INTEGER PRIMARY KEY AUTOINCREMENT,
    body TEXT NOT NULL,
    visible_at INTEGER NOT NULL DEFAULT 0,
    receive_count INTEGER NOT NULL DEFAULT 0,
    is_release INTEGER NOT NULL DEFAULT 0,
    last_error TEXT,
    failed_at INTEGER
) STRICT;
CREATE INDEX queue_by_visibility ON queue (visible_at, message_id);

CREATE TABLE dead_letters (
    message_id INTEGER PRIMARY KEY,
    body TEXT NOT NULL,
    receive_count INTEGER NOT NULL,
    is_release INTEGER NOT NULL DEFAULT 0,
    last_error TEXT,
    failed_at INTEGER
) STRICT;

CREATE TABLE payloads (
    key TEXT PRIMARY KEY,
    bytes BLOB NOT NULL
) STRICT;

CREATE TABLE ledger (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    partition TEXT NOT NULL,
    sort TEXT NOT NULL,
    entry TEXT NOT NULL,
    expires_at INTEGER,
    provider TEXT NOT NULL,
    outcome TEXT,
    received_at INTEGER
) STRICT;
CREATE INDEX ledger_by_key ON ledger (substr(partition, -12), sort);
CREATE INDEX ledger_by_time ON ledger (received_at) WHERE outcome IS NOT NULL;

CREATE TABLE delivery_records (
    delivery_id TEXT PRIMARY KEY,
    record TEXT NOT NULL,
    provider TEXT NOT NULL,
    received_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    body_key TEXT
) STRICT;
CREATE INDEX delivery_records_by_time ON delivery_records (received_at);
CREATE INDEX delivery_records_by_expiry ON delivery_records (expires_at);

CREATE TABLE forwarding (
    position INTEGER PRIMARY KEY,
    partition TEXT NOT NULL,
    sort TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    next_attempt_at INTEGER NOT NULL DEFAULT 0,
    is_unanswered INTEGER NOT NULL DEFAULT 0,
    last_error TEXT,
    given_up_at INTEGER
) STRICT;
CREATE INDEX forwarding_by_partition ON forwarding (partition, position) WHERE given_up_at IS NULL;

CREATE TABLE forwarding_cursor (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    position INTEGER NOT NULL
) STRICT;
";

/// A message knows why it failed last, and whether it is a release from quarantine.
const WITH_FAILURES: &str = "
ALTER TABLE queue ADD COLUMN is_release INTEGER NOT NULL DEFAULT 0;
ALTER TABLE queue ADD COLUMN last_error TEXT;
ALTER TABLE queue ADD COLUMN failed_at INTEGER;
ALTER TABLE dead_letters ADD COLUMN is_release INTEGER NOT NULL DEFAULT 0;
ALTER TABLE dead_letters ADD COLUMN last_error TEXT;
ALTER TABLE dead_letters ADD COLUMN failed_at INTEGER;
";

/// The ledger knows the order in which it recorded, and events wait to be forwarded. A replaced entry keeps its place.
const WITH_FORWARDING: &str = "
CREATE TABLE new_ledger (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    partition TEXT NOT NULL,
    sort TEXT NOT NULL,
    entry TEXT NOT NULL,
    expires_at INTEGER,
    provider TEXT NOT NULL,
    outcome TEXT,
    received_at INTEGER,
    UNIQUE (partition, sort)
) STRICT;
INSERT INTO new_ledger (partition, sort, entry, expires_at, provider, outcome, received_at)
    SELECT partition, sort, entry, expires_at, provider, outcome, received_at FROM ledger ORDER BY rowid;
DROP TABLE ledger;
ALTER TABLE new_ledger RENAME TO ledger;
CREATE INDEX ledger_by_time ON ledger (received_at) WHERE outcome IS NOT NULL;

CREATE TABLE forwarding (
    position INTEGER PRIMARY KEY,
    partition TEXT NOT NULL,
    sort TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    next_attempt_at INTEGER NOT NULL DEFAULT 0,
    is_unanswered INTEGER NOT NULL DEFAULT 0,
    last_error TEXT,
    given_up_at INTEGER
) STRICT;
CREATE INDEX forwarding_by_partition ON forwarding (partition, position) WHERE given_up_at IS NULL;

CREATE TABLE forwarding_cursor (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    position INTEGER NOT NULL
) STRICT;
";

/// An entry is found by the end of its partition, which is a third as long as the whole. Entries keep their positions.
const WITH_SHORT_KEYS: &str = "
CREATE TABLE new_ledger (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    partition TEXT NOT NULL,
    sort TEXT NOT NULL,
    entry TEXT NOT NULL,
    expires_at INTEGER,
    provider TEXT NOT NULL,
    outcome TEXT,
    received_at INTEGER
) STRICT;
INSERT INTO new_ledger (position, partition, sort, entry, expires_at, provider, outcome, received_at)
    SELECT position, partition, sort, entry, expires_at, provider, outcome, received_at FROM ledger ORDER BY position;
DROP TABLE ledger;
ALTER TABLE new_ledger RENAME TO ledger;
CREATE INDEX ledger_by_key ON ledger (substr(partition, -12), sort);
CREATE INDEX ledger_by_time ON ledger (received_at) WHERE outcome IS NOT NULL;
";
