-- From schema 1: what idle channels need. A version that knows schema 1 alone refuses the file from here.

BEGIN IMMEDIATE;

ALTER TABLE log ADD COLUMN floor INTEGER NOT NULL DEFAULT 0;
ALTER TABLE channels ADD COLUMN used INTEGER NOT NULL DEFAULT 0;

PRAGMA user_version = 2;

COMMIT;
