-- People who are erased.
--
-- Whoever is being erased is nobody from the first step on: their row has lost its number and names, and only says that what is
-- left of them has to go, bit by bit. That they opted out outlives them: not with the number, but with a hash of it under a key of this
-- store's own, so that the number is found in no file and still recognised when it comes again.
ALTER TABLE people ADD COLUMN erased_at INTEGER;
CREATE INDEX people_erased ON people (user_id) WHERE erased_at IS NOT NULL;

CREATE TABLE hash_keys (
    name  TEXT NOT NULL PRIMARY KEY,
    bytes BLOB NOT NULL CHECK (length(bytes) = 32)
) STRICT, WITHOUT ROWID;

CREATE TABLE erased_consents (
    hash      BLOB    NOT NULL PRIMARY KEY CHECK (length(hash) = 32),
    opted_out INTEGER NOT NULL,
    said_at   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What a repeat of a request must be equal to is a hash of what was said: it goes with the person. Few receipts have one.
CREATE INDEX receipts_with_fingerprint ON receipts (user_id) WHERE fingerprint IS NOT NULL;
