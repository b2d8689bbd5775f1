-- The log in one file. A store of an older schema_version is migrated at open; a newer one is refused.
-- 1886745448 is "push" in ASCII: it tells our files from those of other programs.

-- Pages that become free go back to the file system in small steps (SqliteLog.vacuum). It cannot be set
-- later but by a VACUUM: `pushhub store compact`.
PRAGMA auto_vacuum = INCREMENTAL;

BEGIN IMMEDIATE;

PRAGMA application_id = 1886745448;
PRAGMA user_version = 2;

-- One row: the present epoch, and what notices a restored copy (store/lineage.py).
CREATE TABLE log (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    epoch TEXT NOT NULL,
    lineage TEXT NOT NULL,
    commits INTEGER NOT NULL,
    floor INTEGER NOT NULL DEFAULT 0    -- no offset of a removed channel is above it
);

INSERT INTO log VALUES (1, '', '', 0, 0);

-- A row outlives its channel's events, so that offsets never restart.
-- Kept are the events `oldest` to `top`, nothing when oldest = top + 1.
CREATE TABLE channels (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    oldest INTEGER NOT NULL,
    top INTEGER NOT NULL,
    last_epoch TEXT NOT NULL,       -- that the event `top` was born in
    keep_events INTEGER NOT NULL,   -- the retention of the last append
    keep_seconds REAL,              -- NULL: any age
    used INTEGER NOT NULL DEFAULT 0 -- the last append, in milliseconds since 1970; 0: not known
);

-- In the order of commits, so that a commit to many channels writes few pages; the channels' order is
-- the index's. A third faster than a table in the channels' order.
CREATE TABLE events (
    channel INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    time INTEGER NOT NULL,          -- milliseconds since 1970
    epoch TEXT NOT NULL,
    id TEXT NOT NULL,               -- empty: the cursor
    type TEXT NOT NULL,
    content_type TEXT NOT NULL,
    data BLOB NOT NULL
);

CREATE UNIQUE INDEX events_by_channel ON events (channel, offset);

-- Idempotency keys; they outlive the event that they stand for.
CREATE TABLE keys (
    channel INTEGER NOT NULL,
    key TEXT NOT NULL,
    time INTEGER NOT NULL,
    content BLOB NOT NULL,          -- the fingerprint of what was published
    epoch TEXT NOT NULL,
    offset INTEGER NOT NULL,
    id TEXT NOT NULL,
    PRIMARY KEY (channel, key)
) WITHOUT ROWID;

CREATE INDEX keys_by_time ON keys (time);

COMMIT;
