-- Never, unless it says when.
ALTER TABLE api_keys ADD COLUMN expires_at INTEGER;

-- Counts the transactions that changed what a verification may answer. The lock on its one row is held until the commit, so
-- that the order of epochs is the order of commits.
CREATE TABLE key_epoch (
    id INTEGER PRIMARY KEY NOT NULL CHECK (id = 1),
    value INTEGER NOT NULL
) STRICT;

INSERT INTO key_epoch (id, value) VALUES (1, 0);

-- Which keys each epoch changed. Nodes read it in order; what all of them have long read is removed.
CREATE TABLE key_changes (
    epoch INTEGER NOT NULL,
    key_id TEXT NOT NULL,
    PRIMARY KEY (epoch, key_id)
) STRICT;

-- The nodes that may answer from memory (Postgres only).
CREATE TABLE nodes (
    id TEXT PRIMARY KEY NOT NULL,
    started_at INTEGER NOT NULL,
    -- Every change up to here is in the node's memory.
    applied_epoch INTEGER NOT NULL,
    -- Grows with each renewal: a number that stands still tells that its node has not renewed.
    renewal INTEGER NOT NULL,
    -- How long one renewal lets the node answer, in milliseconds.
    lease_ms INTEGER NOT NULL,
    -- For people: by the node's own clock. No node relies on another's clock.
    lease_until INTEGER NOT NULL
) STRICT;

-- How often each key was verified, by code, in the hours that nodes still count. They add to it every second, so the rows of
-- an hour lie together: beside the month of their key, ten thousand keys would be ten thousand pages to write. On Postgres
-- their pages have room for the next version of a row, which then needs no new entry in an index.
CREATE TABLE key_usage_open (
    starts_at INTEGER NOT NULL,
    key_id TEXT NOT NULL,
    code TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (starts_at, key_id, code)
) STRICT, WITHOUT ROWID;

-- The same of hours that are over, an hour a row and a day a row. An hour counts in both, and goes after 40 days.
CREATE TABLE key_usage (
    key_id TEXT NOT NULL,
    -- Length of the span, in seconds: 3600 or 86400.
    seconds INTEGER NOT NULL,
    starts_at INTEGER NOT NULL,
    code TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (key_id, seconds, starts_at, code)
) STRICT, WITHOUT ROWID;

CREATE INDEX key_usage_by_age ON key_usage (seconds, starts_at);

-- The newest verification of each key.
CREATE TABLE key_last_used (
    key_id TEXT PRIMARY KEY NOT NULL,
    at INTEGER NOT NULL,
    address TEXT,
    user_agent TEXT
) STRICT, WITHOUT ROWID;

-- When the newest key was made that is older than counting: of keys up to here, silence is no evidence of disuse.
INSERT INTO installation (name, value)
SELECT 'last_uncounted_key_at', CAST(max(created_at) AS TEXT) FROM api_keys HAVING count(*) > 0;
